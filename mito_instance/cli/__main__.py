"""``python -m mito_instance.cli NAME`` is ``mito NAME``."""

from mito_instance.cli import main

raise SystemExit(main())
