"""``python -m nestree`` is the command line."""

import sys

from nestree.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
