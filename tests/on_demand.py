"""What takes long beside tests of the same thing that are always run."""

import os

import pytest

slow = pytest.mark.skipif(not os.environ.get("SLOW"), reason="takes seconds: SLOW=1 runs it")
