#!/usr/bin/env python3
"""Writes a COCO JSON as ImageJ ROI zips; see ``--help``."""

from mito_instance.cli.export_roi import main

raise SystemExit(main())
