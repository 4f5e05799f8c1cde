"""``python -m scanlens.cli``."""

import sys

from scanlens.cli import main

sys.exit(main())
