#!/usr/bin/env python3
"""Converts ImageJ ROIs to COCO JSON; see ``--help``."""

from mito_instance.cli.convert_roi import main

if __name__ == "__main__":
    raise SystemExit(main())
