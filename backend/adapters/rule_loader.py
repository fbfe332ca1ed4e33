"""Labeling functions from the files of a folder: the `RuleLoader` port."""

import hashlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from backend.adapters.rule_files.tables import Tables
from backend.adapters.rule_files.yaml_rules import load_yaml_rules
from backend.domain.rules import Rule
from backend.errors import ConfigurationError, RuleError
from backend.ports import LoadedRules, RuleSample

RULE_SUFFIXES = frozenset({".py", ".yaml", ".yml"})
DATA_SUFFIXES = frozenset({".csv", ".tsv", ".json", ".skops"})
"""What rules may read: when such a file changes, rules are loaded again."""


class FolderRules:
    """Loads every Python and YAML file of a folder, sorted; what can't be used is set aside with its reason.

    Files and folders whose names begin with `_` or `.` are left alone. `databases`: name -> SQLAlchemy URL, for rules
    that look values up. `aside`: files and rules to leave out. `begins` is told of each file before it is loaded.
    """

    def __init__(
        self,
        folder: Path,
        databases: Mapping[str, str] | None = None,
        aside: Mapping[str, str] | None = None,
        begins: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._tables = Tables(folder, databases or {})
        self._aside = aside or {}
        self._begins = begins
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
        files = files_of(self._folder)
        signature = state_of(files)
        with self._loading:
            if self._loaded is None or self._loaded.signature != signature:
                self._loaded = self._load(files, signature)
            return self._loaded

    def is_tried(self, sample_ids: Set[str]) -> bool:  # noqa: ARG002 - the port's
        """Always: without a try-out, what is in the folder is in use."""
        return True

    def try_out(self, samples: Sequence[RuleSample]) -> LoadedRules:  # noqa: ARG002 - the port's
        """Nothing to do."""
        return self.load()

    def _load(self, files: list[Path], signature: str) -> LoadedRules:
        rules: dict[str, Rule] = {}
        set_aside: dict[str, str] = {}
        for path in (path for path in files if path.suffix in RULE_SUFFIXES):
            name = str(path.relative_to(self._folder))
            if name in self._aside:
                continue
            self._begins(name)
            try:
                found, problems = self._rules_of(path, name, signature)
            except RuleError as error:
                set_aside[name] = str(error)
                continue
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's file may raise anything; the others count
                set_aside[name] = f"it can't be read: {type(error).__name__}: {error}"
                continue
            set_aside |= {f"{name}: {rule}": reason for rule, reason in problems.items()}
            folder = "" if path.parent == self._folder else path.relative_to(self._folder).parts[0]
            for rule in (replace(rule, folder=folder) for rule in found):
                if rule.key in rules:
                    set_aside[f"{name}: {rule.name}"] = "another rule has this name: rename one of them"
                else:
                    rules[rule.key] = rule
        used = tuple(rule for rule in rules.values() if rule.key not in self._aside)
        return LoadedRules(used, set_aside, signature)

    def _rules_of(self, path: Path, name: str, signature: str) -> tuple[Sequence[Rule], Mapping[str, str]]:
        """A file's rules, and those it can't give, with their reasons."""
        if path.suffix == ".py":
            defined = (value for value in vars(_import(path, signature)).values() if isinstance(value, Rule))
            # One rule may have two names in its file.
            return list({id(rule): rule for rule in defined}.values()), {}
        written = load_yaml_rules(path.read_bytes(), name, self._tables)
        return written.rules, written.set_aside


def files_of(folder: Path) -> list[Path]:
    """All files that rules are made of or read, sorted."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in RULE_SUFFIXES | DATA_SUFFIXES
        and not any(part.startswith(("_", ".")) for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def _import(path: Path, signature: str) -> ModuleType:
    # A name of its own for each state of the folder: an edited file is a new module, and no file shadows a package.
    name = f"_prelabel_rules_{signature}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    # Compiled here and not by Python's import, which takes an edit for the file it knows if both have the same length
    # and were saved within a second, and writes its cache among the user's files.
    code = compile(path.read_bytes(), str(path), "exec")
    sys.modules[name] = module
    try:
        exec(code, vars(module))  # noqa: S102 - the operator's own code
    finally:
        del sys.modules[name]
    return module


def state_of(files: list[Path]) -> str:
    """Changes when a file does; cheap, because it looks at times and sizes only."""
    state = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files]
    return hashlib.sha256(repr(state).encode()).hexdigest()[:12]
