"""Notices code that changes the modules which everything else uses: `time.sleep = ...`, `sys.modules["json"] = ...`."""

import os
import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType

WATCHED = frozenset({*sys.stdlib_module_names, "backend", "numpy"})
"""Packages whose names are remembered; of all others only that they are there: they have five times as many."""
_IN_MODULES = (FunctionType, BuiltinFunctionType, ModuleType, type)
_IN_CLASSES = (FunctionType, classmethod, staticmethod, property)


class ModuleWatch:
    """Remembers the loaded modules, the functions, classes and modules in those of `WATCHED`, and the working folder.

    What code adds to a module, as an import does, and plain values, which modules change themselves, don't count.
    """

    def __init__(self) -> None:
        self._modules = {name: module for name, module in sys.modules.items() if name != "__main__"}
        self._working_folder = os.getcwd
        self._was_in = os.getcwd()
        self._look_ups: list[Callable[[str], object]] = []
        self._names: list[str] = []
        self._values: list[object] = []
        self._owners: list[str] = []
        for name, module in self._modules.items():
            if name.split(".")[0] not in WATCHED or not isinstance(module, ModuleType):
                continue
            self._remember(module, module.__name__, _IN_MODULES)
            for found in _classes(module):
                self._remember(found, f"{module.__name__}.{found.__qualname__}", _IN_CLASSES)

    def _remember(self, owner: ModuleType | type, called: str, kinds: tuple[type, ...]) -> None:
        space = vars(owner)
        for name, value in list(space.items()):
            if isinstance(value, kinds) and _is_public(name):
                self._look_ups.append(space.get)
                self._names.append(name)
                self._values.append(value)
                self._owners.append(called)

    def changed(self) -> str:
        """The first thing that isn't any more what it was, as people write it; "" for none."""
        for name, module in self._modules.items():
            if sys.modules.get(name) is not module:
                return f'sys.modules["{name}"]'
        pairs = zip(self._look_ups, self._names, self._values, strict=True)
        same = [look_up(name) is value for look_up, name, value in pairs]
        if not all(same):
            place = same.index(False)
            return f"{self._owners[place]}.{self._names[place]}"
        return "" if self._working_folder() == self._was_in else "the working folder"


def _classes(module: ModuleType) -> Iterator[type]:
    for name, value in list(vars(module).items()):
        if isinstance(value, type) and _is_public(name) and value.__module__ == module.__name__:
            yield value


def _is_public(name: str) -> bool:
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))
