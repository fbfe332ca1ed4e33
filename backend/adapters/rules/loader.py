"""Labeling functions from the files of a folder: the `RuleLoader` port."""

import hashlib
import os
import sys
import threading
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType, ModuleType

from backend.adapters.rules.tables import Tables
from backend.domain.rules import Rule
from backend.domain.rules.contained import RULES_MODULE, described, off_main_thread
from backend.errors import ConfigurationError, RuleError
from backend.ports import LoadedRules, RuleSample

RULE_SUFFIXES = frozenset({".py", ".yaml", ".yml"})
DATA_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".json", ".skops"})
"""What rules may read: when such a file changes, rules are loaded again."""


@dataclass(frozen=True, slots=True)
class FileRules:
    """What one file gives. `set_aside`: "file" or "file: rule" -> why it can't be used."""

    rules: tuple[Rule, ...]
    set_aside: Mapping[str, str]


class FolderRules:
    """Loads every Python and YAML file of a folder, sorted; what can't be used is set aside with its reason.

    Files and folders whose names begin with `_` or `.` are left alone. `databases`: name -> SQLAlchemy URL, for rules
    that look values up. `aside`: files and rules to leave out.
    """

    def __init__(
        self, folder: Path, databases: Mapping[str, str] | None = None, aside: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder
        self._tables = Tables(folder, databases or {})
        self._aside = aside or {}
        self._loaded: LoadedRules | None = None
        self._loading = threading.Lock()

    def load(self) -> LoadedRules:
        """The current rules. Files are loaded again only when one of them changed.

        Raises:
            ConfigurationError: the folder doesn't exist.
        """
        if not self._folder.is_dir():
            raise no_such_folder(self._folder)
        signature = state_of(files_of(self._folder))
        with self._loading:
            if self._loaded is None or self._loaded.signature != signature:
                self._loaded = off_main_thread(lambda: self._load(signature))
            return self._loaded

    def is_tried(self, sample_ids: Set[str]) -> bool:  # noqa: ARG002 - the port's
        """Always: without a try-out, what is in the folder is in use."""
        return True

    def try_out(self, samples: Sequence[RuleSample]) -> LoadedRules:  # noqa: ARG002 - the port's
        """Nothing to do."""
        return self.load()

    def names(self) -> list[str]:
        """The files that rules are made of, as paths in the folder, in the order in which they are loaded."""
        return [str(path.relative_to(self._folder)) for path in files_of(self._folder) if path.suffix in RULE_SUFFIXES]

    def read(self, name: str, taken: Set[str], signature: str = "") -> FileRules:
        """One file's rules; it may raise anything, which sets it aside.

        Args:
            name: one of `names`.
            taken: keys of the rules of other files; a rule with one of these is set aside.
            signature: changes with the folder's files.
        """
        path = self._folder / name
        try:
            found, problems = self._rules_of(path, name, signature)
        except RuleError as error:
            return FileRules((), {name: described(error)})
        except BaseException as error:  # noqa: BLE001 - a user's file may raise anything; the others count
            return FileRules((), {name: f"it can't be read: {described(error)}"})
        set_aside = {f"{name}: {rule}": reason for rule, reason in problems.items()}
        folder = "" if path.parent == self._folder else path.relative_to(self._folder).parts[0]
        rules: dict[str, Rule] = {}
        for rule in (replace(rule, folder=folder, place=rule.place or _defined_at(rule)) for rule in found):
            if rule.key in rules or rule.key in taken:
                set_aside[f"{name}: {rule.name}"] = "another rule has this name: rename one of them"
            else:
                rules[rule.key] = rule
        return FileRules(tuple(rules.values()), set_aside)

    def _load(self, signature: str) -> LoadedRules:
        rules: dict[str, Rule] = {}
        set_aside: dict[str, str] = {}
        for name in (name for name in self.names() if name not in self._aside):
            found = self.read(name, rules.keys(), signature)
            set_aside |= found.set_aside
            rules |= {rule.key: rule for rule in found.rules}
        used = tuple(rule for rule in rules.values() if rule.key not in self._aside)
        return LoadedRules(used, set_aside, signature)

    def _rules_of(self, path: Path, name: str, signature: str) -> tuple[Sequence[Rule], Mapping[str, str]]:
        """A file's rules, and those it can't give, with their reasons."""
        if path.suffix == ".py":
            defined = (value for value in vars(_import(path, signature)).values() if isinstance(value, Rule))
            # One rule may have two names in its file.
            return list({id(rule): rule for rule in defined}.values()), {}
        # Most folders have none, and a schema takes long to load.
        from backend.adapters.rules.yaml_rules import load_yaml_rules  # noqa: PLC0415

        written = load_yaml_rules(path.read_bytes(), name, self._tables)
        return written.rules, written.set_aside


def _defined_at(rule: Rule) -> str:
    """File and line of the function of users' that a rule is made of; "" for none."""
    function = rule.batch or rule.function
    if not isinstance(function, FunctionType) or not function.__module__.startswith(RULES_MODULE):
        return ""
    return f"{Path(function.__code__.co_filename).name}, line {function.__code__.co_firstlineno}"


def no_such_folder(folder: Path) -> ConfigurationError:
    """The error for a rules' folder that isn't there."""
    return ConfigurationError(f"LF_RULES_DIR is {folder}, which is not a folder. Make it, or correct LF_RULES_DIR.")


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
    name = f"{RULES_MODULE}{signature}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
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
