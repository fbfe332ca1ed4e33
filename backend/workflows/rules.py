"""Rules: what each does in a project, where people disagree with it, and what an edit would change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backend.domain.corpus import Corpus
from backend.domain.frame import Frame
from backend.domain.model.project import ProjectModel, rules_only
from backend.domain.outside import one_line
from backend.domain.questions import Question, decisions
from backend.domain.rule_diff import QuestionDiff, changed_votes, compare_suggestions
from backend.domain.rule_report import RuleReport, mistakes_of, report_rules, stale_labels
from backend.domain.rules import Rule
from backend.domain.tasks import user_fields
from backend.domain.votes import RuleFaults, apply_rules
from backend.errors import ConfigurationError, ModelMissing, RuleError
from backend.ports import Deps, LoadedRules, version_name
from backend.workflows.asked import config_of

SNIPPET = 120
"""Characters of a task's data that are shown beside a mistake."""


@dataclass(frozen=True, slots=True)
class RulesReport:
    """All rules of a project. `learned_by`: the version whose label model the learned accuracies are of.

    `faults`: rule -> number of faults and the first reason. `set_aside`: file or rule -> why it isn't used.
    """

    learned_by: str
    n_tasks: int
    rules: list[RuleReport]
    faults: Mapping[str, tuple[int, str]]
    set_aside: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MistakenTask:
    """A task on which people disagree with a rule; `text`: the beginning of its data, to recognise it by."""

    task_id: int
    question: str
    voted: str
    given: str
    text: str


@dataclass(frozen=True, slots=True)
class RuleDiff:
    """One rule before and after an edit; None where it isn't there. `votes_changed`: on so many tasks."""

    name: str
    question: str
    votes_changed: int
    before: RuleReport | None
    after: RuleReport | None

    @property
    def change(self) -> str:
        """`added`, `removed` or `changed`."""
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


@dataclass(frozen=True, slots=True)
class RulesDiff:
    """What an edit changes. `set_aside`: what of the edited rules can't be used, and why.

    faults: of the edited rules, name -> number of faults and the first reason. stale: those about a question that they
    aren't used for, because it doesn't have all their labels, name -> why.
    """

    rules: list[RuleDiff]
    questions: list[QuestionDiff]
    set_aside: Mapping[str, str]
    faults: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    stale: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_usable(self) -> bool:
        """Whether all of the edited rules can be used."""
        return not self.set_aside and not self.stale


def report(deps: Deps, key: str, name: str | None = None) -> RulesReport:
    """What each rule in use, or one of them, does in a project.

    Raises:
        ConfigurationError: nothing is known of the project yet.
        RuleError: there is no rule of this name.
    """
    corpus = _corpus_of(deps, key)
    loaded = deps.rules.load()
    rules = _of_project(deps, key, loaded)
    frame, faults = _apply(corpus, rules)
    number, model = _current_model(deps, key)
    reports = report_rules(rules, frame, _learned(model, frame), faults)
    if name is not None:
        _check_name(name, rules, loaded)
        reports = [item for item in reports if item.name == name]
    reasons = {rule: fault for rule, fault in _first_faults(faults).items() if name is None or rule == name}
    return RulesReport(version_name(number), len(corpus.items), reports, reasons, dict(loaded.set_aside))


def faults_of(deps: Deps, key: str, name: str) -> tuple[int, str] | None:
    """Number of faults of a rule in use over all tasks of a project, and the first reason; None without any.

    Raises:
        ConfigurationError: nothing is known of the project yet.
    """
    rules = [rule for rule in _of_project(deps, key, deps.rules.load()) if rule.name == name]
    return _first_faults(_apply(_corpus_of(deps, key), rules)[1]).get(name)


def mistakes(deps: Deps, key: str, name: str) -> list[MistakenTask]:
    """The tasks on which people disagree with a rule in use.

    Raises:
        ConfigurationError: nothing is known of the project yet.
        RuleError: there is no rule of this name.
    """
    corpus = _corpus_of(deps, key)
    loaded = deps.rules.load()
    rules = _of_project(deps, key, loaded)
    _check_name(name, rules, loaded)
    frame, _ = _apply(corpus, [rule for rule in rules if rule.name == name])
    found = []
    for item in mistakes_of(name, frame):
        task = corpus.items[item.row].task
        found.append(MistakenTask(task.id, item.question, item.voted, item.given, _snippet(task.data)))
    return found


def diff(deps: Deps, key: str, edited: LoadedRules) -> RulesDiff:
    """What changes in a project when edited rules take the place of those in use.

    Raises:
        ConfigurationError: nothing is known of the project yet.
    """
    corpus = _corpus_of(deps, key)
    in_use = deps.rules.load()
    before, old, _ = _measure(corpus, _of_project(deps, key, in_use))
    rules_after = _of_project(deps, key, edited)
    after, new, faults = _measure(corpus, rules_after)
    changed = changed_votes(before, after)
    stale = _stale(rules_after, corpus.questions)
    # A new rule that isn't used adds nothing.
    names = dict.fromkeys([*old, *(item for item in new if item[1] not in stale)])
    rules = [
        RuleDiff(name, question, changed.get((question, name), 0), old.get((question, name)), new.get((question, name)))
        for question, name in names
        if (question, name) in changed or (question, name) not in old or (question, name) not in new
    ]
    return RulesDiff(
        rules=rules,
        questions=compare_suggestions(before, after),
        set_aside=dict(edited.set_aside),
        faults=_first_faults(faults),
        stale=stale,
    )


def _stale(rules: Sequence[Rule], questions: Sequence[Question]) -> dict[str, str]:
    """Rules that can't be used for a question that they are about, with the labels that it doesn't have."""
    found = {}
    for rule in rules:
        for question in questions:
            missing = stale_labels(rule, question, questions)
            if missing:
                said = ", ".join(map(repr, missing))
                found[rule.name] = f"it isn't used: {question.name!r} has no label {said}" + (
                    f" ({rule.place})" if rule.place else ""
                )
    return found


def _first_faults(faults: RuleFaults) -> dict[str, tuple[int, str]]:
    return {rule: (count, faults.reasons[rule]) for rule, count in faults.counts.items()}


def _corpus_of(deps: Deps, key: str) -> Corpus:
    record = deps.database.project(key)
    if record is None or not record.label_config:
        raise ConfigurationError("Nothing is known of this project yet: `prelabel connect` it and wait for v1.")
    return Corpus(key, config_of(deps, key, record.label_config), deps.database.tasks(key))


def _apply(corpus: Corpus, rules: Sequence[Rule]) -> tuple[Frame, RuleFaults]:
    """The corpus's frame with the votes of some rules."""
    votes, faults = apply_rules(rules, corpus.data, corpus.questions, corpus.history)
    return corpus.frame.with_votes(votes), faults


def _measure(corpus: Corpus, rules: Sequence[Rule]) -> tuple[Frame, dict[tuple[str, str], RuleReport], RuleFaults]:
    """The frame with votes, reports by question and rule, and faults."""
    frame, faults = _apply(corpus, rules)
    reports = report_rules(rules, frame, {}, faults)
    return frame, {(item.question, item.name): item for item in reports}, faults


def _current_model(deps: Deps, key: str) -> tuple[int, ProjectModel | None]:
    """Number and model of the current version; 0 and None when there is none that can be read."""
    try:
        number = deps.versions.current(key)
        return number, deps.versions.model(key, number) if number else None
    except ModelMissing:
        return 0, None


def _learned(model: ProjectModel | None, frame: Frame) -> dict[str, dict[str, float]]:
    """Learned accuracies by `Decision.key` and rule; of questions that the model doesn't know, from agreement alone."""
    models = dict(model.decisions) if model is not None else {}
    unknown = [question for question in frame.questions if model is None or not model.knows(question)]
    models |= rules_only(frame.only(unknown)).decisions
    return {
        decision.key: dict(
            zip(models[decision.key].sources, models[decision.key].label_model.accuracies.tolist(), strict=True)
        )
        for question in frame.questions
        for decision in decisions(question)
    }


def _of_project(deps: Deps, key: str, loaded: LoadedRules) -> tuple[Rule, ...]:
    return loaded.of(deps.policy(key).rules)


def _check_name(name: str, rules: Sequence[Rule], loaded: LoadedRules) -> None:
    if name in {rule.name for rule in rules}:
        return
    # A rule that can't be read is named with its file, one that failed its try-out with its folder.
    ends = (f": {name}", f"/{name}")
    reasons = [
        f"{where}: {reason}" for where, reason in loaded.set_aside.items() if where == name or where.endswith(ends)
    ]
    raise RuleError(f"There is no rule {name!r} in use." + "".join(f" It is set aside: {item}" for item in reasons))


def _snippet(data: Mapping[str, object]) -> str:
    """The beginning of a task's data on one line, without characters that a terminal would obey."""
    return one_line(" | ".join(str(value) for value in user_fields(data).values() if value is not None), SNIPPET)
