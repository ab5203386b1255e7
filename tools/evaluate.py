#!/usr/bin/env python3
"""Scores predictions against a truth; see ``--help``."""

from mito_instance.cli.evaluate import main

raise SystemExit(main())
