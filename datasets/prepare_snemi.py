#!/usr/bin/env python3
"""SNEMI3D to COCO JSON; see ``--help``."""

from mito_instance.cli.prepare import main

if __name__ == "__main__":
    raise SystemExit(main("snemi"))
