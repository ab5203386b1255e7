#!/usr/bin/env python3
"""The whole way on a few synthetic micrographs; see ``--help``."""

from mito_instance.cli.demo import main

raise SystemExit(main())
