"""Suggest rules: proposed from people's labels, measured on labels that had no part in them, taken over one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backend.domain.audit.draw import is_audit
from backend.domain.codec import Json, JsonObject
from backend.domain.corpus import Corpus
from backend.domain.frame import Frame
from backend.domain.mining.measure import Precision, changed, is_mined, precision
from backend.domain.mining.mine import is_same
from backend.domain.mining.propose import Material, named, propose, told
from backend.domain.questions import Question, decisions
from backend.domain.questions.forms import ABSTAIN, Posteriors
from backend.domain.rules import Rule
from backend.domain.votes import VoteMatrix, apply_rules
from backend.errors import ConfigurationError, ModelMissing
from backend.ports import Deps, Progress, RuleFiles
from backend.workflows.asked import config_of
from backend.workflows.embed import vectors_of
from backend.workflows.label_weights import weighed
from backend.workflows.llm.contents import Contents
from backend.workflows.llm.write_rules import written_rules
from backend.workflows.measure.audit import audited
from backend.workflows.rules import snippet

LEAST_LABELS = 40
"""Labeled tasks of a question, of which one half makes rules and the other one measures them."""
LEAST_MAKING = 10
"""Of these, tasks that rules may be made from."""
MOST_RULES = 10
"""Proposals for one question, those of an LLM apart."""
MOST_KEPT_BACK = 0.25
"""Of all tasks that are kept from the making of rules as audit tasks."""
N_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Change:
    """A task that gets another suggestion. before: "" for none."""

    task_id: int
    before: str
    after: str
    text: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rule that nobody uses yet.

    rule: as YAML has it. by: "labels", or the LLM that wrote it. n_votes: tasks of the project that it votes on, all
    `n_tasks` together. precision: on held-out labels. n_changed: tasks without a label that get another suggestion;
    examples: some of these.
    """

    name: str
    question: str
    rule: JsonObject
    by: str
    n_votes: int
    n_tasks: int
    precision: Precision
    n_changed: int
    examples: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class SuggestedRules:
    """What is proposed in a project, by question in the order of what each rule says. left_out: what nothing is
    proposed for, question or rule -> why."""

    proposals: list[Proposal]
    left_out: Mapping[str, str] = field(default_factory=dict)


def suggest_rules(
    deps: Deps, key: str, files: RuleFiles, progress: Progress, *, asks_llm: bool = True
) -> SuggestedRules:
    """Propose rules for all questions of a project. Nothing is changed.

    The tasks are drawn that rules are made from; all others that people labeled, audit tasks among them, only measure.

    Args:
        deps: the ports.
        key: the project.
        files: reads what is proposed.
        progress: told what is being done.
        asks_llm: an LLM that is set up writes rules too, for its price. Else those that it has written count.

    Raises:
        ConfigurationError: nothing is known of the project yet.
    """
    corpus = _read(deps, key)
    left_out = {item.name: "rules for spans are not proposed" for item in corpus.config.spans}
    left_out |= {name: f"it isn't answered: {reason}" for name, reason in corpus.config.unsupported.items()}
    makes = _makers(deps, corpus)
    proposals: list[Proposal] = []
    taken = {rule.name for rule in deps.rules.load().rules}
    for question in corpus.questions:
        why = _why_none(corpus, question, makes)
        if why:
            left_out[question.name] = why
            continue
        project = _Project(deps, corpus, question, makes)
        found: list[tuple[JsonObject, str]] = [
            (named(rule, told(rule), taken), "labels") for rule in project.mined(progress)
        ]
        if deps.llm is not None:
            written = written_rules(deps, corpus, question, np.flatnonzero(makes), asks=asks_llm)
            specs, refused = files.parse(written.text) if written.text else ((), {})
            left_out |= {f"{question.name}, {written.by}": written.problem} if written.problem else {}
            left_out |= {f"{written.by}: {name}": reason for name, reason in refused.items()}
            found += [(named({**spec, "question": question.name}, told(spec), taken), written.by) for spec in specs]
        kept, reasons = project.measured(files, found)
        proposals += kept
        left_out |= reasons
        if not kept and not reasons:
            left_out[question.name] = (
                "nothing was found that goes with a label often enough, and that the rules in use don't say already"
            )
    return SuggestedRules(proposals, left_out)


def take_over(deps: Deps, key: str, files: RuleFiles, proposal: Proposal) -> str:
    """Write a proposed rule among those in use; returns its file. Deleting the file undoes it.

    Raises:
        ConfigurationError: the file can't be written, or is there already.
    """
    of = proposal.precision
    low, high = of.interval
    comment = (
        f"Proposed by `prelabel rules suggest`, from {proposal.by}. It was right on {of.n_right} of {of.n} labels that "
        f"it wasn't made from (90 % interval: {100 * low:.0f} to {100 * high:.0f} %).\nDelete this file to undo it."
    )
    return str(files.add(deps.policy(key).rules, proposal.rule, comment))


def _read(deps: Deps, key: str) -> Corpus:
    record = deps.database.project(key)
    if record is None or not record.label_config:
        raise ConfigurationError("Nothing is known of this project yet: `prelabel connect` it and wait for v1.")
    return Corpus(key, config_of(deps, key, record.label_config), deps.database.tasks(key)).fitted()


def _makers(deps: Deps, corpus: Corpus) -> NDArray[np.bool_]:
    """Which tasks rules may be made from: bool (n_tasks,)."""
    share = min(deps.policy(corpus.key).audit_share, MOST_KEPT_BACK)
    rows = [is_mined(corpus.key, task) and not is_audit(corpus.key, task, share) for task in corpus.ids.tolist()]
    return np.array(rows, dtype=np.bool_)


def _why_none(corpus: Corpus, question: Question, makes: NDArray[np.bool_]) -> str:
    """Why no rules can be proposed for a question; "" when they can."""
    if corpus.units[question.name].of_task is not None:
        return "rules for parts of a task are not proposed"
    labeled = corpus.frame.labeled(question)
    if labeled.sum() < LEAST_LABELS:
        return f"{int(labeled.sum())} tasks are labeled; {LEAST_LABELS} are needed"
    n_making = int((labeled & makes).sum())
    if n_making < LEAST_MAKING:
        return (
            f"of {int(labeled.sum())} labeled tasks {n_making} may make rules, the others are kept to measure them; "
            f"{LEAST_MAKING} are needed"
        )
    given = [corpus.gold[item.key][labeled & makes] for item in decisions(question)]
    if not any(np.unique(of_decision).size > 1 for of_decision in given):
        return "all labels are the same"
    return ""


@dataclass(frozen=True)
class _Project:
    """A question of a project."""

    deps: Deps
    corpus: Corpus
    question: Question
    makes: NDArray[np.bool_]

    def mined(self, progress: Progress) -> list[dict[str, Json]]:
        """Rules made from labels, without names."""
        corpus, key, question = self.corpus, self.corpus.key, self.question
        gold = {item.key: np.where(self.makes, self.frame.gold[item.key], -1) for item in decisions(question)}
        frame = replace(self.frame, gold=gold, votes=self.votes_in_use)
        contents = Contents(self.deps, key, corpus.config, corpus.data)
        material = Material(
            question,
            frame,
            corpus.data,
            self.deps.versions.features(key, corpus.data, corpus.compared, corpus.hashes),
            vectors_of(self.deps, key, contents, progress),
            corpus.hashes,
        )
        progress(f"looking for rules for {question.name}", 0, 1)
        return propose(material, MOST_RULES)

    @cached_property
    def frame(self) -> Frame:
        """The question's, with what people chose, as far as it counts while it is suspect."""
        return weighed(self.deps, self.corpus).only((self.question,))

    @cached_property
    def votes_in_use(self) -> Mapping[str, VoteMatrix]:
        """Votes of the rules in use, without those that vote what people answered."""
        rules = self.deps.rules.load().of(self.deps.policy(self.corpus.key).rules)
        return apply_rules(rules, self.corpus.data, (self.question,))[0]

    def measured(
        self, files: RuleFiles, found: Sequence[tuple[JsonObject, str]]
    ) -> tuple[list[Proposal], dict[str, str]]:
        """The proposals of rules that can be used and say something new, and by name why the others are left out.

        None is left out for what the labels that measure say of it: then the intervals wouldn't hold.
        """
        read = files.read([spec for spec, _ in found])
        by = {str(spec["name"]): author for spec, author in found}
        votes, faults = apply_rules(read.rules, self.corpus.data, (self.question,))
        left_out = dict(read.set_aside)
        before = [_said(self.votes_in_use, self.question, place) for place in range(_n_sources(self.votes_in_use))]
        proposals: list[Proposal] = []
        for spec, rule in zip(read.specs, read.rules, strict=True):
            if not rule.answers(self.question):
                left_out[rule.name] = "it votes for a label that the question doesn't have"
                continue
            place = next(iter(votes.values())).sources.index(rule.name)
            said = _said(votes, self.question, place)
            if rule.name in faults.counts:
                left_out[rule.name] = faults.reasons[rule.name]
            elif not (said != ABSTAIN).any():
                left_out[rule.name] = "it votes on no task of the project"
            elif is_same(said, before):
                left_out[rule.name] = "another rule says nearly the same"
            else:
                before.append(said)
                proposals.append(self._proposal(spec, rule, by[rule.name], votes))
        return proposals, left_out

    def _proposal(self, spec: JsonObject, rule: Rule, by: str, votes: Mapping[str, VoteMatrix]) -> Proposal:
        asked = decisions(self.question)
        rows = np.flatnonzero(~self.makes)
        audit = audited(self.corpus, self.deps.policy(self.corpus.key).audit_share, self.question.name)[rows]
        stated = precision(
            [(votes[item.key].rows(rows), self.frame.gold[item.key][rows]) for item in asked], rule.name, audit
        )
        changes = self._changes(rule, votes, stated)
        voted = np.any([_any_vote(votes[item.key], rule.name) for item in asked], axis=0)
        return Proposal(
            name=rule.name,
            question=self.question.name,
            rule=spec,
            by=by,
            n_votes=int(voted.sum()),
            n_tasks=len(self.corpus.items),
            precision=stated,
            n_changed=len(changes),
            examples=tuple(changes[:N_EXAMPLES]),
        )

    def _changes(self, rule: Rule, votes: Mapping[str, VoteMatrix], stated: Precision) -> list[Change]:
        """The tasks without a label that get another suggestion."""
        question, now = self.question, self._suggested
        after = {
            item.key: changed(item, now[item.key], votes[item.key], rule.name, stated.mean)
            for item in decisions(question)
        }
        before = {item.key: item.choose(now[item.key]) for item in decisions(question)}
        differs = np.any([after[key] != before[key] for key in after], axis=0)
        rows = np.flatnonzero(differs & ~np.array([bool(entries) for entries in self.corpus.labeled], dtype=np.bool_))
        return [
            Change(
                int(self.corpus.ids[row]),
                _answer(question, before, int(row)),
                _answer(question, after, int(row)),
                snippet(self.corpus.data[row]),
            )
            for row in rows.tolist()
        ]

    @cached_property
    def _suggested(self) -> Posteriors:
        """What the version in use says of each task, by `Decision.key`; NaN rows where it says nothing."""
        asked = decisions(self.question)
        nothing = {item.key: np.full((len(self.corpus.items), len(item.classes)), np.nan) for item in asked}
        try:
            number = self.deps.versions.current(self.corpus.key)
            if not number or self.question not in self.deps.versions.questions(self.corpus.key, number):
                return nothing
            ids, posteriors = self.deps.versions.held_out(self.corpus.key, number)
        except ModelMissing:
            return nothing
        places = {task: place for place, task in enumerate(ids.tolist())}
        pairs = [(row, places[task]) for row, task in enumerate(self.corpus.ids.tolist()) if task in places]
        rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        for item in asked:
            nothing[item.key][rows[:, 0]] = posteriors[item.key][rows[:, 1]]
        return nothing


def _n_sources(votes: Mapping[str, VoteMatrix]) -> int:
    return len(next(iter(votes.values())).sources)


def _said(votes: Mapping[str, VoteMatrix], question: Question, place: int) -> NDArray[np.int16]:
    """All that one source says, for labels and against them."""
    columns = [votes[item.key].votes[:, place] for item in decisions(question)]
    for matrix in (votes[item.key] for item in decisions(question)):
        if matrix.excluded is not None:
            columns.append(matrix.excluded[:, place])
    return np.concatenate(columns)


def _any_vote(matrix: VoteMatrix, source: str) -> NDArray[np.bool_]:
    place = matrix.sources.index(source)
    against = False if matrix.excluded is None else matrix.excluded[:, place] != ABSTAIN
    return np.asarray((matrix.votes[:, place] != ABSTAIN) | against)


def _answer(question: Question, classes: Mapping[str, NDArray[np.int64]], row: int) -> str:
    """What is suggested for a task; "" for nothing."""
    of_task = [int(classes[item.key][row]) for item in decisions(question)]
    return ", ".join(question.form.answer(of_task)) if min(of_task) >= 0 else ""
