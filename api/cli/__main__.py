"""`python -m api.cli` is `solvent`."""

import sys

from api.cli import main

sys.exit(main())
