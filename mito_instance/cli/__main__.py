"""``python -m mito_instance.cli NAME`` is ``mito NAME``."""

from mito_instance.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
