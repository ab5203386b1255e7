#!/usr/bin/env python3
"""Checks a COCO JSON; see ``--help``."""

from mito_instance.cli.check import main

if __name__ == "__main__":
    raise SystemExit(main())
