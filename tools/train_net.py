#!/usr/bin/env python3
"""Trains or evaluates a model by config; see ``--help``."""

from mito_instance.cli.train_net import main

if __name__ == "__main__":  # worker processes import this file
    raise SystemExit(main())
