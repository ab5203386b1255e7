#!/usr/bin/env python3
"""Adapts a model to a handful of outlined images; see ``--help``."""

from mito_instance.cli.finetune import main

raise SystemExit(main())
