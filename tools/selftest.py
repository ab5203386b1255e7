#!/usr/bin/env python3
"""Checks an installation; see ``--help``."""

from mito_instance.cli.selftest import main

raise SystemExit(main())
