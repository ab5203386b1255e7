#!/usr/bin/env python3
"""CDeep3M to COCO JSON; see ``--help``."""

from mito_instance.cli.prepare import main

raise SystemExit(main("cdeep3m"))
