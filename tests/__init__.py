"""Tests are a package, so that they can share their fakes."""

import os
import sys

# Each of hundreds of processes would compile all that it imports anew, which is most of what a short one does.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
