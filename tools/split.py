#!/usr/bin/env python3
"""Splits a COCO JSON into parts; see ``--help``."""

from mito_instance.cli.split import main

raise SystemExit(main())
