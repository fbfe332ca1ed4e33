"""Labeling functions from the files of a folder: the `RuleLoader` port."""

import hashlib
import importlib.util
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from backend.adapters.rule_files.tables import Tables
from backend.adapters.rule_files.yaml_rules import load_yaml_rules
from backend.domain.rules import Rule
from backend.errors import ConfigurationError, RuleError
from backend.ports import LoadedRules

RULE_SUFFIXES = frozenset({".py", ".yaml", ".yml"})
DATA_SUFFIXES = frozenset({".csv", ".tsv", ".json", ".skops"})
"""What rules may read: when such a file changes, rules are loaded again."""


class FolderRules:
    """Loads every Python and YAML file of a folder, sorted; what can't be used is set aside with its reason.

    Files and folders whose names begin with `_` or `.` are left alone. `databases`: name -> SQLAlchemy URL, for rules
    that look values up.
    """

    def __init__(self, folder: Path, databases: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._tables = Tables(folder, databases or {})
        self._loaded: LoadedRules | None = None
        self._loading = threading.Lock()

    def load(self) -> LoadedRules:
        """The current rules. Files are loaded again only when one of them changed.

        Raises:
            ConfigurationError: the folder doesn't exist.
        """
        if not self._folder.is_dir():
            raise ConfigurationError(
                f"LF_RULES_DIR is {self._folder}, which is not a folder. Make it, or correct LF_RULES_DIR."
            )
        files = _files(self._folder)
        signature = _signature(files)
        with self._loading:
            if self._loaded is None or self._loaded.signature != signature:
                self._loaded = _load(self._folder, files, self._tables, signature)
            return self._loaded


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in RULE_SUFFIXES | DATA_SUFFIXES
        and not any(part.startswith(("_", ".")) for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def _load(folder: Path, files: list[Path], tables: Tables, signature: str) -> LoadedRules:
    rules: dict[str, Rule] = {}
    set_aside: dict[str, str] = {}
    for path in (path for path in files if path.suffix in RULE_SUFFIXES):
        name = str(path.relative_to(folder))
        try:
            if path.suffix == ".py":
                found = _python_rules(path, signature)
            else:
                written = load_yaml_rules(path.read_bytes(), name, tables)
                set_aside |= {f"{name}: {rule}": reason for rule, reason in written.set_aside.items()}
                found = written.rules
        except RuleError as error:
            set_aside[name] = str(error)
            continue
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's file may raise anything; the others still count
            set_aside[name] = (
                f"it can't be {'imported' if path.suffix == '.py' else 'read'}: {type(error).__name__}: {error}"
            )
            continue
        for rule in found:
            if rule.name in rules and rules[rule.name] is not rule:
                set_aside[f"{name}: {rule.name}"] = "another rule has this name: rename one of them"
            else:
                rules[rule.name] = rule
    return LoadedRules(tuple(rules.values()), set_aside, signature)


def _python_rules(path: Path, signature: str) -> tuple[Rule, ...]:
    return tuple(value for value in vars(_import(path, signature)).values() if isinstance(value, Rule))


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
