#!/usr/bin/env python3
"""The whole way on a few synthetic micrographs; see ``--help``."""

from mito_instance.cli.demo import main

if __name__ == "__main__":
    raise SystemExit(main())
