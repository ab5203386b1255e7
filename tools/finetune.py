#!/usr/bin/env python3
"""Adapts a model to a handful of outlined images; see ``--help``."""

from mito_instance.cli.finetune import main

if __name__ == "__main__":  # worker processes import this file
    raise SystemExit(main())
