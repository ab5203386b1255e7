#!/usr/bin/env python3
"""Checks a COCO JSON; see ``--help``."""

from mito_instance.cli.check import main

raise SystemExit(main())
