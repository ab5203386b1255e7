#!/usr/bin/env python3
"""Writes a COCO JSON as ImageJ ROI zips; see ``--help``."""

from mito_instance.cli.export_roi import main

if __name__ == "__main__":
    raise SystemExit(main())
