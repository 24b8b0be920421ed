"""``python -m roadstead`` is the command ``roadstead``."""

import sys

from roadstead.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
