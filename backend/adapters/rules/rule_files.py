"""Files of proposed rules: read as YAML, never run, and written beside other rules, never over them."""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from backend.adapters.rules.tables import Tables
from backend.adapters.rules.yaml_file import YamlFile
from backend.adapters.rules.yaml_rules import load_yaml_rules
from backend.domain.codec import Json, JsonObject
from backend.domain.outside import one_line, storable
from backend.errors import ConfigurationError, RuleError
from backend.ports.rules import ProposedRules

TYPES = frozenset({"keyword", "regex", "heuristic", "compare"})
"""Types of rules that look at the task alone. The others ask models, files and databases, or what people answered."""
FENCE = re.compile(r"```[a-zA-Z]*\n(.*?)```", re.DOTALL)
MOST_RULES = 50
"""Of one text."""


@dataclass(frozen=True, slots=True)
class RuleFiles:
    """The `RuleFiles` port. folder: `LF_RULES_DIR`."""

    folder: Path

    @staticmethod
    def read(specs: Sequence[JsonObject]) -> ProposedRules:
        """See the port."""
        loaded = load_yaml_rules(_dumped({"rules": list(specs)}).encode(), "proposed rules", _nowhere())
        by_name = {str(spec.get("name")): spec for spec in specs}
        return ProposedRules(tuple(by_name[rule.name] for rule in loaded.rules), loaded.rules, loaded.set_aside)

    @staticmethod
    def parse(text: str) -> tuple[tuple[JsonObject, ...], Mapping[str, str]]:
        """See the port."""
        fenced = FENCE.search(text)
        try:
            file = YamlFile((fenced[1] if fenced else text).encode(errors="replace"), "the reply")
            found = file.content
            if isinstance(found, list):
                file = YamlFile(_dumped({"rules": found}).encode(), "the reply")
            file.check("file")
        except RuleError as error:
            return (), {"the reply": str(error)}
        question = file.content.get("question")
        common = {} if question is None else {"question": question}
        specs: list[dict[str, Json]] = []
        refused: dict[str, str] = {}
        for place, spec in enumerate(file.content["rules"], start=1):
            name = one_line(str(spec.get("name", ""))) if isinstance(spec, dict) else ""
            called = name or f"rule {place}"
            if place > MOST_RULES:
                refused[called] = f"only the first {MOST_RULES} rules of a reply are read"
            elif not isinstance(spec, dict) or spec.get("type") not in TYPES:
                refused[called] = f"its type must be one of {', '.join(sorted(TYPES))}"
            else:
                specs.append({**common, **spec, "name": called})
        return tuple(specs), refused

    def add(self, folder: str, spec: JsonObject, comment: str) -> Path:
        """See the port."""
        place = self.folder / folder if folder else self.folder
        content = "".join(f"# {storable(line)}\n" for line in comment.splitlines()) + _dumped({"rules": [spec]})
        if not self.folder.is_dir():
            raise ConfigurationError(f"LF_RULES_DIR is {self.folder}, which is not a folder. Make it, or correct it.")
        name = re.sub(r"[^\w-]+", "_", str(spec["name"])).lstrip("_.") or "suggested"
        path = place / f"{name}.yaml"
        try:
            place.mkdir(exist_ok=True)
            # Whole from the first moment on: files are looked at as soon as they are there.
            descriptor, temporary = tempfile.mkstemp(prefix=".suggested-", dir=place)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(content)
                Path(temporary).chmod(0o644)
                # Unlike a rename, it never replaces what is there.
                os.link(temporary, path)
            finally:
                Path(temporary).unlink()
        except FileExistsError as error:
            raise ConfigurationError(f"{path} is there already: rename or delete it first.") from error
        except OSError as error:
            raise ConfigurationError(f"{path} can't be written ({error.strerror}): check LF_RULES_DIR.") from error
        return path


def _nowhere() -> Tables:
    """No table can be looked up: none of `TYPES` does."""
    return Tables(Path(os.devnull), {})


class _Dumper(yaml.SafeDumper):
    """Writes what is there twice twice: rule files have no aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - yaml's
        """Always."""
        return True


def _dumped(content: JsonObject) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
