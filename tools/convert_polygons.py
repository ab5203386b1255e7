#!/usr/bin/env python3
"""Converts Labelme and YOLO polygons to COCO JSON; see ``--help``."""

from mito_instance.cli.convert_polygons import main

if __name__ == "__main__":
    raise SystemExit(main())
