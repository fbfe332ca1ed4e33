"""Rules: what each does in a project, where people disagree with it, and what an edit would change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backend.domain.corpus import Corpus
from backend.domain.frame import Frame
from backend.domain.label_config import LabelConfig
from backend.domain.marking.learn import Gold
from backend.domain.marking.learn import gold_of as spans_of_people
from backend.domain.marking.report import (
    SpanMistake,
    SpanRuleReport,
    SpansDiff,
    changed_marks,
    compare_marking,
    mistakes_in_marking,
    report_marking,
)
from backend.domain.marking.votes import SpanVotes, apply_marking_rules, trimmed
from backend.domain.model.project import ProjectModel, rules_only
from backend.domain.outside import one_line
from backend.domain.questions import Question, Spans, decisions
from backend.domain.rule_diff import QuestionDiff, changed_votes, compare_suggestions
from backend.domain.rule_report import RuleReport, mistakes_of, report_rules, stale_labels
from backend.domain.rules import Rule
from backend.domain.tasks import user_fields
from backend.domain.votes import RuleFaults, apply_rules
from backend.errors import ConfigurationError, ModelMissing, RuleError
from backend.ports import Deps, LoadedRules, version_name
from backend.workflows.asked import config_of

_Reports = Mapping[tuple[str, str], RuleReport | SpanRuleReport]
"""By question and rule."""

SNIPPET = 120
"""Characters of a task's data that are shown beside a mistake."""


@dataclass(frozen=True, slots=True)
class RulesReport:
    """All rules of a project. `learned_by`: the version whose label model the learned accuracies are of.

    `faults`: rule -> number of faults and the first reason. `set_aside`: file or rule -> why it isn't used. `spans`: of
    the rules that mark spans.
    """

    learned_by: str
    n_tasks: int
    rules: list[RuleReport]
    faults: Mapping[str, tuple[int, str]]
    set_aside: Mapping[str, str]
    spans: list[SpanRuleReport] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MistakenTask:
    """A task on which people disagree with a rule; `text`: the beginning of its data, to recognise it by, or of a span,
    in [ ], what stands around it."""

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
    before: RuleReport | SpanRuleReport | None
    after: RuleReport | SpanRuleReport | None

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
    aren't used for, because it doesn't have all their labels, name -> why. marking: what becomes of questions of spans.
    """

    rules: list[RuleDiff]
    questions: list[QuestionDiff]
    set_aside: Mapping[str, str]
    faults: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    stale: Mapping[str, str] = field(default_factory=dict)
    marking: list[SpansDiff] = field(default_factory=list)

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
    marked, marking_faults = _mark(corpus, rules)
    faults.merge(marking_faults)
    number, model = _current_model(deps, key)
    reports = report_rules(rules, frame, _learned(model, frame), faults)
    spans = [line for item in marked for line in (*item.report(model), *item.stale(rules, corpus.config))]
    if name is not None:
        _check_name(name, rules, loaded)
        reports = [item for item in reports if item.name == name]
        spans = [item for item in spans if item.name == name]
    reasons = {rule: fault for rule, fault in _first_faults(faults).items() if name is None or rule == name}
    return RulesReport(version_name(number), len(corpus.items), reports, reasons, dict(loaded.set_aside), spans)


def faults_of(deps: Deps, key: str, name: str) -> tuple[int, str] | None:
    """Number of faults of a rule in use over all tasks of a project, and the first reason; None without any.

    Raises:
        ConfigurationError: nothing is known of the project yet.
    """
    rules = [rule for rule in _of_project(deps, key, deps.rules.load()) if rule.name == name]
    corpus = _corpus_of(deps, key)
    faults = _apply(corpus, rules)[1]
    faults.merge(_mark(corpus, rules)[1])
    return _first_faults(faults).get(name)


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
    asked = [rule for rule in rules if rule.name == name]
    found = []
    for item in mistakes_of(name, _apply(corpus, asked)[0]):
        task = corpus.items[item.row].task
        found.append(MistakenTask(task.id, item.question, item.voted, item.given, snippet(task.data)))
    for mistake in (line for marked in _mark(corpus, asked)[0] for line in marked.mistakes(name)):
        task = corpus.items[mistake.row].task
        found.append(MistakenTask(task.id, mistake.question, mistake.marked, mistake.given, mistake.around))
    return found


def diff(deps: Deps, key: str, edited: LoadedRules) -> RulesDiff:
    """What changes in a project when edited rules take the place of those in use.

    Raises:
        ConfigurationError: nothing is known of the project yet.
    """
    corpus = _corpus_of(deps, key)
    rules_before = _of_project(deps, key, deps.rules.load())
    rules_after = _of_project(deps, key, edited)
    before, old, _ = _measure(corpus, rules_before)
    after, new, faults = _measure(corpus, rules_after)
    marked_before, _ = _mark(corpus, rules_before)
    marked_after, marking_faults = _mark(corpus, rules_after)
    faults.merge(marking_faults)
    changed = changed_votes(before, after)
    reports: tuple[_Reports, _Reports] = ({**old, **_by_rule(marked_before)}, {**new, **_by_rule(marked_after)})
    marking = []
    for was, now in zip(marked_before, marked_after, strict=True):
        changed |= {(now.question.name, name): n for name, n in changed_marks(was.votes, now.votes).items()}
        marking.append(compare_marking(now.question, was.votes, now.votes, now.gold, now.texts))
    stale = _stale(rules_after, corpus.config.answered)
    return RulesDiff(
        rules=_changes(*reports, changed, stale),
        questions=compare_suggestions(before, after),
        set_aside=dict(edited.set_aside),
        faults=_first_faults(faults),
        stale=stale,
        marking=marking,
    )


def _changes(
    old: _Reports, new: _Reports, changed: Mapping[tuple[str, str], int], stale: Mapping[str, str]
) -> list[RuleDiff]:
    # A new rule that isn't used adds nothing.
    names = dict.fromkeys([*old, *(item for item in new if item[1] not in stale)])
    return [
        RuleDiff(name, question, changed.get((question, name), 0), old.get((question, name)), new.get((question, name)))
        for question, name in names
        if (question, name) in changed or (question, name) not in old or (question, name) not in new
    ]


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


@dataclass(frozen=True, slots=True)
class _Marked:
    """What some rules say of the texts of one question of spans, beside what people marked in them."""

    question: Spans
    votes: SpanVotes
    gold: Gold
    texts: list[str]

    def report(self, model: ProjectModel | None) -> list[SpanRuleReport]:
        learned = None if model is None else model.marking.get(self.question.name)
        return report_marking(self.question, self.votes, self.gold, {} if learned is None else learned.trust)

    def stale(self, rules: Sequence[Rule], config: LabelConfig) -> list[SpanRuleReport]:
        """Rules about labels that the question doesn't have, and so not used."""
        missing = {rule.name: stale_labels(rule, self.question, config.answered) for rule in rules}
        return [
            SpanRuleReport(name, self.question.name, flags=(f"stale label: {', '.join(labels)}",))
            for name, labels in missing.items()
            if labels
        ]

    def mistakes(self, name: str) -> list[SpanMistake]:
        return mistakes_in_marking(name, self.votes, self.gold, self.texts, self.question)


def _mark(corpus: Corpus, rules: Sequence[Rule]) -> tuple[list[_Marked], RuleFaults]:
    """What some rules say, for each question of spans; spans have no white space at their ends."""
    votes, faults = apply_marking_rules(rules, corpus.data, corpus.config.spans)
    found = []
    for question in corpus.config.spans:
        texts = [question.text(data) for data in corpus.data]
        people = spans_of_people(question, corpus.items)
        gold = [None if marks is None else trimmed(text, marks) for text, marks in zip(texts, people, strict=True)]
        found.append(_Marked(question, votes[question.name].trimmed(texts), gold, texts))
    return found, faults


def _by_rule(marked: Sequence[_Marked]) -> dict[tuple[str, str], SpanRuleReport]:
    return {(line.question, line.name): line for item in marked for line in item.report(None)}


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


def snippet(data: Mapping[str, object]) -> str:
    """The beginning of a task's data on one line, without characters that a terminal would obey."""
    return one_line(" | ".join(str(value) for value in user_fields(data).values() if value is not None), SNIPPET)
