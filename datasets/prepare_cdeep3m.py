#!/usr/bin/env python3
"""CDeep3M to COCO JSON; see ``--help``."""

from mito_instance.cli.prepare import main

if __name__ == "__main__":
    raise SystemExit(main("cdeep3m"))
