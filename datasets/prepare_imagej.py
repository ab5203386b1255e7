#!/usr/bin/env python3
"""Images outlined in ImageJ to COCO JSON; see ``--help``."""

from mito_instance.cli.prepare import main

raise SystemExit(main("imagej"))
