"""Rules from YAML files: each type is one of the constructors in `backend.domain.rules`, with the same words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backend.adapters.rules.models import HttpModel, load_model
from backend.adapters.rules.tables import Tables
from backend.adapters.rules.yaml_file import YamlFile
from backend.domain.rules import (
    Field,
    Not,
    Rule,
    Vote,
    When,
    compare_rule,
    gazetteer_rule,
    heuristic_rule,
    history_rule,
    keyword_rule,
    lookup_rule,
    model_rule,
    regex_rule,
)
from backend.errors import RuleError

Spec = Mapping[str, Any]
"""One rule as it is written, checked against the schema."""
DEFAULT_TIME_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class YamlRules:
    """What a file gave. `set_aside`: rule -> why it can't be used, with file and line."""

    rules: tuple[Rule, ...]
    set_aside: Mapping[str, str]


def load_yaml_rules(text: bytes, name: str, tables: Tables) -> YamlRules:
    """The rules of a YAML file. A rule that can't be used is set aside; the others still count.

    Args:
        text: the file's bytes.
        name: what errors call it.
        tables: where rules look values up.

    Raises:
        RuleError: the file as a whole can't be used: it isn't YAML, or not a list of rules.
    """
    file = YamlFile(text, name)
    file.check("file")
    rules: list[Rule] = []
    set_aside: dict[str, str] = {}
    for place, spec in enumerate(file.content["rules"]):
        path = ("rules", place)
        called = spec.get("name") if isinstance(spec, dict) else None
        label = called if isinstance(called, str) else f"rule {place + 1}"
        try:
            file.check("rule", path)
            if any(rule.name == called for rule in rules):
                raise file.error(f"another rule is called {called!r}", file.line([*path, "name"]))
            rules.append(_build(spec, file, path, tables))
        except RuleError as error:
            # A doubled name must not hide the reason of the first one.
            set_aside[label if label not in set_aside else f"{label} (rule {place + 1})"] = str(error)
    return YamlRules(tuple(rules), set_aside)


def _build(spec: Spec, file: YamlFile, path: tuple[str | int, ...], tables: Tables) -> Rule:
    common = {
        "question": spec.get("question", file.content.get("question")),
        "description": spec.get("description", ""),
    }
    try:
        return replace(_BUILDERS[spec["type"]](spec, common, tables), place=file.place(path))
    except RuleError as error:
        raise file.error(str(error).removeprefix(f"{spec['name']}: "), file.line(path)) from error


def _keyword(spec: Spec, common: dict[str, Any], _: Tables) -> Rule:
    return keyword_rule(
        spec["name"],
        field=spec["field"],
        keywords=_words(spec["keywords"]),
        vote=_vote(spec["vote"]),
        negated_by=_words(spec.get("negated_by", ())),
        **_given(spec, "window", "min_count", "ignore_case"),
        **common,
    )


def _regex(spec: Spec, common: dict[str, Any], _: Tables) -> Rule:
    return regex_rule(
        spec["name"],
        field=spec["field"],
        pattern=spec["pattern"],
        vote=_vote(spec["vote"]),
        negated_by=_words(spec.get("negated_by", ())),
        **_given(spec, "whole_words", "window", "ignore_case"),
        **common,
    )


def _gazetteer(spec: Spec, common: dict[str, Any], tables: Tables) -> Rule:
    if sum(name in spec for name in ("terms", "file", "database")) != 1:
        raise RuleError("give either `terms`, `file` or `database`")
    options = {"field": spec["field"], **_given(spec, "ignore_case"), **common}
    if "terms" in spec:
        if "vote" not in spec or "votes" in spec or "value" in spec:
            raise RuleError("`terms` need a `vote`; `value` and `votes` belong to a table")
        return gazetteer_rule(spec["name"], terms=_words(spec["terms"]), vote=_vote(spec["vote"]), **options)
    found = {term: vote for term, vote in _table(spec, tables).items() if term.strip()}
    if not found:
        raise RuleError("the table has no term")
    return gazetteer_rule(spec["name"], terms=found, **options)


def _heuristic(spec: Spec, common: dict[str, Any], _: Tables) -> Rule:
    return heuristic_rule(
        spec["name"],
        field=spec["field"],
        measure=spec["measure"],
        vote=_vote(spec["vote"]),
        **_given(spec, "above", "at_least", "below", "at_most"),
        **common,
    )


def _compare(spec: Spec, common: dict[str, Any], _: Tables) -> Rule:
    listed = spec["when"] if isinstance(spec["when"], list) else [spec["when"]]
    conditions = [When(**{key: _operand(value) for key, value in condition.items()}) for condition in listed]
    return compare_rule(spec["name"], when=conditions, vote=_vote(spec["vote"]), **common)


def _lookup(spec: Spec, common: dict[str, Any], tables: Tables) -> Rule:
    if ("file" in spec) == ("database" in spec):
        raise RuleError("give either `file` or `database`")
    table = _table(spec, tables)
    if not table:
        raise RuleError("the table has nothing that this rule could vote for")
    return lookup_rule(spec["name"], field=spec["field"], table=table, **_given(spec, "domain"), **common)


def _table(spec: Spec, tables: Tables) -> dict[str, Vote]:
    """What the keys of a rule's table vote for."""
    if "vote" in spec and ("votes" in spec or "value" in spec):
        raise RuleError("give either `vote`, for all that the table has, or `value` and `votes`")
    keys_only = "vote" in spec
    if "file" in spec:
        if "table" in spec:
            raise RuleError("`table` belongs to a `database`")
        found = tables.file(spec["file"], spec.get("key"), spec.get("value"), keys_only=keys_only)
    else:
        needed = ["table", "key"] if keys_only else ["table", "key", "value"]
        if missing := [name for name in needed if name not in spec]:
            raise RuleError(f"a `database` needs `{missing[0]}`")
        found = tables.query(spec["database"], spec["table"], spec["key"], spec.get("value"), keys_only=keys_only)
    if keys_only:
        return dict.fromkeys(found, _vote(spec["vote"]))
    if "votes" in spec:
        votes = _votes(spec["votes"])
        return {key: votes[said] for key, said in found.items() if said in votes}
    return dict(found)


def _model(spec: Spec, common: dict[str, Any], tables: Tables) -> Rule:
    if ("url" in spec) == ("file" in spec):
        raise RuleError("give either `url` or `file`")
    limits = _given(spec, "time_limit_s", "cache_size")
    votes = _votes(spec["votes"]) if "votes" in spec else None
    if "url" in spec:
        if "field" in spec or "min_confidence" in spec:
            raise RuleError("an endpoint gets `fields`; `field` and `min_confidence` belong to a `file`")
        model: Any = HttpModel(spec["url"], limits.get("time_limit_s", DEFAULT_TIME_LIMIT_S))
        return model_rule(spec["name"], model, fields=spec.get("fields"), votes=votes, **limits, **common)
    if "field" not in spec or "fields" in spec:
        raise RuleError("a `file` needs one `field`, whose text the model gets")
    confidence = _given(spec, "min_confidence")
    model = load_model(tables.path(spec["file"]))
    return model_rule(spec["name"], model, fields=spec["field"], votes=votes, **confidence, **limits, **common)


def _history(spec: Spec, common: dict[str, Any], _: Tables) -> Rule:
    return history_rule(spec["name"], field=spec["field"], **_given(spec, "domain", "min_count", "min_share"), **common)


_BUILDERS: Mapping[str, Callable[[Spec, dict[str, Any], Tables], Rule]] = {
    "keyword": _keyword,
    "regex": _regex,
    "gazetteer": _gazetteer,
    "heuristic": _heuristic,
    "compare": _compare,
    "lookup": _lookup,
    "model": _model,
    "history": _history,
}


def _given(spec: Spec, *names: str) -> dict[str, Any]:
    """What is written of some options; the constructors know the defaults of the others."""
    return {name: spec[name] for name in names if name in spec}


def _words(words: Sequence[str | int]) -> list[str]:
    return [str(word) for word in words]


def _operand(value: Any) -> Any:
    return Field(value["field"]) if isinstance(value, dict) else value


def _vote(written: Any) -> Vote:
    if isinstance(written, list):
        return tuple(_part(part) for part in written)
    return _part(written)


def _part(written: Any) -> str | Not:
    return Not(str(written["not"])) if isinstance(written, dict) else str(written)


def _votes(written: Mapping[str, Any]) -> dict[str, Vote]:
    return {said: _vote(vote) for said, vote in written.items()}
