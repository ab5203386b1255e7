#!/usr/bin/env python3
"""Splits a COCO JSON into parts; see ``--help``."""

from mito_instance.cli.split import main

if __name__ == "__main__":
    raise SystemExit(main())
