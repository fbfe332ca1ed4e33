"""Prelabel: a Label Studio ML backend.

scikit-learn imports pandas wherever it is installed, for one helper that isn't ours: 90 MiB in each process, the web
service among them, which handles no data frames. So it is imported here first, as if pandas weren't there. What needs
pandas (cleanlab, modAL), and pyarrow, are imported where they are used, which is in jobs.
"""

import sys

if "pandas" not in sys.modules:
    sys.modules["pandas"] = None  # type: ignore[assignment]  # Python's way to say: not to be imported.
    try:
        import sklearn.utils  # noqa: F401
    finally:
        del sys.modules["pandas"]
