"""Labeling functions from the files of a folder: the `RuleLoader` port."""

import hashlib
import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType

from backend.domain.rules import Rule
from backend.errors import ConfigurationError
from backend.ports import LoadedRules


class FolderRules:
    """Imports every `*.py` of a folder, sorted; a file or rule that can't be used is set aside with its reason."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: LoadedRules | None = None
        self._loading = threading.Lock()

    def load(self) -> LoadedRules:
        """The current rules. Files are imported again only when one of them changed.

        Raises:
            ConfigurationError: the folder doesn't exist.
        """
        if not self._folder.is_dir():
            raise ConfigurationError(
                f"LF_RULES_DIR is {self._folder}, which is not a folder. Make it, or correct LF_RULES_DIR."
            )
        files = sorted(path for path in self._folder.rglob("*.py") if not path.name.startswith(("_", ".")))
        signature = _signature(files)
        with self._loading:
            if self._loaded is None or self._loaded.signature != signature:
                self._loaded = _load(self._folder, files, signature)
            return self._loaded


def _load(folder: Path, files: list[Path], signature: str) -> LoadedRules:
    rules: dict[str, Rule] = {}
    set_aside: dict[str, str] = {}
    for path in files:
        name = str(path.relative_to(folder))
        try:
            module = _import(path, signature)
        except Exception as error:  # noqa: BLE001 - a user's file may raise anything; the other files still count
            set_aside[name] = f"it can't be imported: {type(error).__name__}: {error}"
            continue
        for rule in (value for value in vars(module).values() if isinstance(value, Rule)):
            if rule.name in rules and rules[rule.name] is not rule:
                set_aside[f"{name}: {rule.name}"] = "another rule has this name: rename one of them"
            else:
                rules[rule.name] = rule
    return LoadedRules(tuple(rules.values()), set_aside, signature)


def _import(path: Path, signature: str) -> ModuleType:
    # A name of its own for each state of the folder: an edited file is a new module, and no file shadows a package.
    name = f"_prelabel_rules_{signature}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


def _signature(files: list[Path]) -> str:
    state = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files]
    return hashlib.sha256(repr(state).encode()).hexdigest()[:12]
