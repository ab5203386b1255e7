#!/usr/bin/env python3
"""EPFL CA1 to COCO JSON; see ``--help``."""

from mito_instance.cli.prepare import main

raise SystemExit(main("epfl"))
