"""``python -m kerascw``."""

from kerascw.cli import main

if __name__ == "__main__":
    main()
