#!/usr/bin/env python3
"""Draws what a network would see in training; see ``--help``."""

from mito_instance.cli.preview import main

if __name__ == "__main__":
    raise SystemExit(main())
