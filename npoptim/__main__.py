"""`python -m npoptim` is the command `npoptim`."""

import sys

from npoptim.cli import main

sys.exit(main())
