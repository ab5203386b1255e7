#!/usr/bin/env python3
"""Checks an installation; see ``--help``."""

from mito_instance.cli.selftest import main

if __name__ == "__main__":
    raise SystemExit(main())
