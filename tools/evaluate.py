#!/usr/bin/env python3
"""Scores predictions against a truth; see ``--help``."""

from mito_instance.cli.evaluate import main

if __name__ == "__main__":
    raise SystemExit(main())
