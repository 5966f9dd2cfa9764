"""``python -m spinlock``."""

from spinlock.cli import main

if __name__ == "__main__":
    main()
