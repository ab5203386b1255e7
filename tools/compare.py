#!/usr/bin/env python3
"""Compares evaluations of several predictions; see ``--help``."""

from mito_instance.cli.compare import main

if __name__ == "__main__":
    raise SystemExit(main())
