#!/usr/bin/env python3
"""Compares evaluations of several predictions; see ``--help``."""

from mito_instance.cli.compare import main

raise SystemExit(main())
