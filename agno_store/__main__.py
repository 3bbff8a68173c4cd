"""``python -m agno_store`` is ``agno-store``."""

from agno_store.cli import main

if __name__ == "__main__":
    main()
