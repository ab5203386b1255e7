#!/usr/bin/env python3
"""Converts mask images to COCO JSON; see ``--help``."""

from mito_instance.cli.convert_masks import main

if __name__ == "__main__":
    raise SystemExit(main())
