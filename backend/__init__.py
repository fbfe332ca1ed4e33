"""Prelabel: a Label Studio ML backend.

scikit-learn imports pandas wherever it is installed, for one helper that isn't ours: 90 MiB in each process, the web
service among them, which handles no data frames. So that module of scikit-learn is imported as if pandas weren't there.
What needs pandas (cleanlab, modAL), and pyarrow, are imported where they are used, which is in jobs.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType


class _WithoutPandas(SourceFileLoader):
    """Loads a module that believes pandas isn't installed."""

    def exec_module(self, module: ModuleType) -> None:
        """Load it."""
        if "pandas" in sys.modules:
            super().exec_module(module)
            return
        sys.modules["pandas"] = None  # type: ignore[assignment]  # Python's way to say: not to be imported.
        try:
            super().exec_module(module)
        finally:
            del sys.modules["pandas"]


class _Finder:
    """Finds the one module of scikit-learn that is to be loaded so. It loads nothing before somebody needs it."""

    MODULE = "sklearn.utils.fixes"

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Where the module is and how to load it; None for all other modules."""
        spec = PathFinder.find_spec(name, path, target) if name == self.MODULE else None
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _WithoutPandas(name, spec.loader.path)
        return spec


if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
    sys.meta_path.insert(0, _Finder())
