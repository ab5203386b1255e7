#!/usr/bin/env python3
"""Counts and measures outlined mitochondria; see ``--help``."""

from mito_instance.cli.measure import main

if __name__ == "__main__":
    raise SystemExit(main())
