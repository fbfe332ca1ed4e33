"""Rules that were tried out before they are used: the `RuleLoader` port.

`MODEL_DIR/rules/` holds copies of the last states of the rules' folder that were tried out, and `in-use.json`, which
names the one in use and what of it is set aside. Every process reads its rules from there: an edit that was not tried
out yet, or that breaks a file, changes nothing for them.
"""

import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.adapters.rules.loader import FolderRules, files_of, no_such_folder, state_of
from backend.adapters.rules.trial import TrialLimits
from backend.adapters.rules.tryout import try_out
from backend.errors import ConfigurationError
from backend.ports import LoadedRules, RuleSample

KEPT = 2
"""States of the folder that stay on disk: a process may still be reading the one before."""


@dataclass(frozen=True, slots=True)
class _InUse:
    """in-use.json. `kept`: files of which the last good version is used; `samples`: ids of those they were tried on."""

    state: str
    set_aside: Mapping[str, str]
    kept: Mapping[str, str]
    samples: Sequence[str]

    @property
    def signature(self) -> str:
        """Changes with the rules that vote."""
        return _digest([self.state.encode(), json.dumps([self.set_aside, self.kept], sort_keys=True).encode()])


class TriedRules:
    """Loads the rules that passed their try-out."""

    def __init__(
        self, folder: Path, store: Path, databases: Mapping[str, str] | None = None, limits: TrialLimits | None = None
    ) -> None:
        """`folder`: what people edit. `store`: `MODEL_DIR/rules`."""
        self._folder = folder
        self._store = store
        self._databases = dict(databases or {})
        self._limits = limits or TrialLimits()
        self._seen = ""
        self._content: tuple[str, str] = ("", "")
        self._loaded: LoadedRules | None = None
        self._loading = threading.Lock()

    def load(self) -> LoadedRules:
        """The rules in use; none before the first try-out."""
        in_use = self._in_use()
        if in_use is None:
            return LoadedRules((), {}, "")
        with self._loading:
            if self._loaded is None or self._loaded.signature != in_use.signature:
                plain = FolderRules(self._store / in_use.state, self._databases, in_use.set_aside).load()
                set_aside = {**plain.set_aside, **in_use.set_aside, **in_use.kept}
                self._loaded = LoadedRules(plain.rules, set_aside, in_use.signature)
            return self._loaded

    def changed(self) -> bool:
        """Whether the folder is in another state than when this was asked before, and than what is in use."""
        if not self._folder.is_dir():
            return False
        seen = state_of(files_of(self._folder))
        if seen == self._seen:
            return False
        self._seen = seen
        in_use = self._in_use()
        return in_use is None or in_use.state != self._state()

    def is_tried(self, sample_ids: Set[str]) -> bool:
        """Whether the folder as it is now was tried out on all these samples; if it is gone, what is in use stays so.

        Raises:
            ConfigurationError: the folder doesn't exist, and nothing is in use.
        """
        in_use = self._in_use()
        if not self._folder.is_dir():
            if in_use is not None:
                return True
            raise no_such_folder(self._folder)
        return in_use is not None and in_use.state == self._state() and sample_ids <= set(in_use.samples)

    def try_out(self, samples: Sequence[RuleSample]) -> LoadedRules:
        """Try the folder out, and use what passes. A file that can't be loaded is used as it last could.

        Raises:
            ConfigurationError: the rules can't be tried out at all, or `MODEL_DIR` can't be written to.
        """
        before, state = self._in_use(), self._state()
        copy = self._store / state
        try:
            if before is not None and before.state == state and copy.is_dir():
                # Only the samples are new: others are reading this copy, with the files that were brought back into it.
                kept = before.kept
                aside = try_out(copy, self._databases, samples, self._limits)
            else:
                self._copy_to(copy)
                aside = try_out(copy, self._databases, samples, self._limits)
                kept = self._bring_back(copy, before, aside)
                if kept:
                    known = {name: reason for name, reason in aside.items() if name not in kept}
                    aside = try_out(copy, self._databases, samples, self._limits, known)
            self._use(_InUse(state, aside, kept, sorted(sample.id for sample in samples)))
        except OSError as error:
            raise ConfigurationError(f"The rules can't be copied to MODEL_DIR ({error}).") from error
        return self.load()

    def _in_use(self) -> _InUse | None:
        try:
            return _InUse(**json.loads((self._store / "in-use.json").read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{self._store / 'in-use.json'} can't be read ({error}): delete it, and the rules are tried out anew."
            ) from error

    def _state(self) -> str:
        """A digest of what is in the folder's files, the same on every machine."""
        files = files_of(self._folder)
        seen = state_of(files)
        if self._content[0] != seen:
            parts = []
            for path in files:
                parts += [os.fsencode(path.relative_to(self._folder)), path.read_bytes()]
            self._content = (seen, _digest(parts))
        return self._content[1]

    def _copy_to(self, copy: Path) -> None:
        """Copy the folder's files, all or none."""
        self._store.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".rules-", dir=self._store))
        try:
            for path in files_of(self._folder):
                target = temporary / path.relative_to(self._folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
            shutil.rmtree(copy, ignore_errors=True)
            temporary.rename(copy)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _bring_back(self, copy: Path, before: _InUse | None, aside: Mapping[str, str]) -> dict[str, str]:
        """Replace files that can't be loaded by those in use; returns these with the reason."""
        kept = {}
        for name, reason in aside.items():
            if before is None or before.state == copy.name or name in before.set_aside:
                continue
            last_good = self._store / before.state / name
            if (copy / name).is_file() and last_good.is_file():
                shutil.copy2(last_good, copy / name)
                kept[name] = f"{reason}. Its last good version is in use."
        return kept

    def _use(self, in_use: _InUse) -> None:
        temporary = self._store / f".in-use-{os.getpid()}-{threading.get_ident()}"
        temporary.write_text(json.dumps(asdict(in_use), indent=1))
        temporary.replace(self._store / "in-use.json")
        copies = [path for path in self._store.iterdir() if path.is_dir() and not path.name.startswith(".")]
        others = [path for path in copies if path.name != in_use.state]
        for old in sorted(others, key=lambda path: path.stat().st_mtime)[: -(KEPT - 1)]:
            shutil.rmtree(old, ignore_errors=True)


def _digest(parts: Sequence[bytes]) -> str:
    # With their lengths, so that no two lists of parts look alike.
    joined = b"".join(b"%d:" % len(part) + part for part in parts)
    return hashlib.sha256(joined).hexdigest()[:16]
