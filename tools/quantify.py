#!/usr/bin/env python3
"""Counts and measures mitochondria in micrographs; see ``--help``."""

from mito_instance.cli.quantify import main

if __name__ == "__main__":
    raise SystemExit(main())
