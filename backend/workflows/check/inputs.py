"""Inputs of the search for wrong labels: all that is known of a project's labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.added_labels import gold_without_old_evidence, with_changed_labels
from backend.domain.corpus import Corpus
from backend.domain.frame import Frame
from backend.domain.label_config import LabelConfig
from backend.domain.label_errors.consensus import MAX_TASKS, Consensus, consensus_of
from backend.domain.label_errors.crowd import Labels
from backend.domain.label_errors.held_out import groups_of
from backend.domain.label_errors.multi_annotator import labels_of
from backend.domain.label_errors.records import Findings, SearchInputs
from backend.domain.label_errors.rubber_stamped import is_rubber_stamped
from backend.domain.label_errors.search import search
from backend.domain.posterior import first_known
from backend.domain.questions import Question, decisions
from backend.domain.questions.forms import ABSTAIN
from backend.domain.questions.units import Units, same_units
from backend.domain.reports.check import QuestionCheck
from backend.domain.tasks import Annotation, MirroredTask, user_fields
from backend.domain.votes import VoteMatrix
from backend.errors import ModelMissing
from backend.ports import Deps
from backend.workflows.embed import vectors_of
from backend.workflows.labels import later_in
from backend.workflows.llm.contents import Contents

Value = TypeVar("Value", np.float64, np.int16)


@dataclass(frozen=True)
class Crowd:
    """What the annotators of one question said of its units, and what they agree on; by `Decision.key`.

    people: user ids of the annotators 0..m - 1.
    """

    units: Units
    people: tuple[int, ...]
    labels: Mapping[str, Labels]
    consensus: Mapping[str, Consensus]


@dataclass(frozen=True)
class SearchResult:
    """What was found in each question that the version knows, and the tasks that were searched.

    features, embedded: (n, d) and (n, m) of all tasks of the project; see `SearchInputs`. spans: what the report says
    of questions of spans.
    """

    task_ids: tuple[int, ...]
    findings: Mapping[str, Findings]
    features: csr_matrix
    embedded: csr_matrix | None
    crowds: Mapping[str, Crowd] = field(default_factory=dict)
    spans: Mapping[str, QuestionCheck] = field(default_factory=dict)


def search_labels(deps: Deps, number: int, corpus: Corpus) -> SearchResult:
    """Judge today's labels by what version `number` made of the tasks without them, row by row.

    The classifier's own posteriors are taken where there are any: the votes are a member of their own, and would count
    twice in the model's posterior. That one is taken for a version that didn't keep the classifier's, and for a
    decision with too few labels for a classifier.

    Raises:
        ModelMissing: the version can't be read.
    """
    key, config = corpus.key, corpus.config
    task_ids, held_out = deps.versions.held_out(key, number)
    places = {task_id: place for place, task_id in enumerate(corpus.ids.tolist())}
    rows = np.array([row for row, task_id in enumerate(task_ids.tolist()) if task_id in places], dtype=np.int64)
    ids = tuple(int(task_id) for task_id in task_ids[rows])
    searched = [places[task_id] for task_id in ids]
    mine = Corpus(key, config, [corpus.items[place] for place in searched])
    # Of all tasks, as in training: of some of them, the cache would be made anew, twice.
    features, embedded = (
        deps.versions.features(key, corpus.data, corpus.compared, corpus.hashes).matrix,
        _embedded(deps, number, corpus),
    )
    said = _Said(deps, key, number, task_ids, held_out)
    texts = [texts_of(config, item) for item in mine.items]
    groups = groups_of([corpus.hashes[place] for place in searched])
    annotators = np.array([_annotator(entries) for entries in mine.labeled], dtype=np.int64)
    later = later_in(deps, mine)
    findings, crowds = {}, {}
    for question in config.questions:
        units = mine.units[question.name]
        found = said.of(question, units, mine)
        if found is None:
            # The label config changed; the training that follows will know this question.
            continue
        rubber_stamped = [
            is_rubber_stamped(entries, question.name, text) for entries, text in zip(mine.labeled, texts, strict=True)
        ]
        crowd = crowd_of(question, units, mine.labeled, texts, found.held_out)
        about = SearchInputs(
            features=question.unit_features(units, mine.data, features[searched]),
            embedded=None if embedded is None else units.spread_rows(embedded[searched]),
            groups=units.spread(groups),
            annotators=units.spread(annotators),
            rubber_stamped=units.spread(np.array(rubber_stamped, dtype=np.bool_)),
            labels=crowd.labels,
            consensus=crowd.consensus,
        )
        came = later.get(question.name)
        told = found
        if came is not None:
            gold = gold_without_old_evidence(question, came, mine.labeled, found, about.joined)
            told = replace(found, gold=gold)
        searched_for = search(question, told, about)
        findings[question.name] = with_changed_labels(searched_for, question, came, mine.labeled, found, about.joined)
        crowds[question.name] = crowd
    return SearchResult(ids, findings, features, embedded, crowds)


class _Said:
    """What a version said of its tasks, int64 (n_tasks,) their ids, with its held-out posteriors by `Decision.key`."""

    def __init__(
        self,
        deps: Deps,
        key: str,
        number: int,
        task_ids: NDArray[np.int64],
        held_out: Mapping[str, NDArray[np.float64]],
    ) -> None:
        self._task_ids, self._held_out = task_ids, held_out
        self._units = deps.versions.units(key, number)
        self._held_out_classifier = deps.versions.held_out_classifier(key, number)
        self._votes = deps.versions.votes(key, number)

    def of(self, question: Question, units: Units, corpus: Corpus) -> Frame | None:
        """A question's frame in some of the tasks, with the votes that the version was made of; None for a question
        that the version doesn't know as it is now."""
        name = question.name
        rows = same_units(units, corpus.ids, self._units.get(name, Units(len(self._task_ids))), self._task_ids)
        found = posteriors_without_labels(question, self._held_out, self._held_out_classifier, rows)
        if found is None:
            return None
        asked = decisions(question)
        votes = {}
        for decision in (decision for decision in asked if decision.key in self._votes):
            sources, cast = self._votes[decision.key]
            votes[decision.key] = VoteMatrix(decision, sources, _taken(cast, rows, ABSTAIN))
        gold = {decision.key: corpus.gold[decision.key] for decision in asked}
        return Frame((question,), {name: units}, votes=votes, gold=gold, held_out=found)


def _taken(values: NDArray[Value], rows: NDArray[np.int64], missing: float) -> NDArray[Value]:
    """Some rows of an array; where one is -1, what is missing."""
    found = values[rows]
    if (rows < 0).any():
        found[rows < 0] = missing
    return found


def _embedded(deps: Deps, number: int, corpus: Corpus) -> csr_matrix | None:
    """Embeddings (n, m) in the space of the version, from the vectors that were kept; nothing is asked for."""
    try:
        space = deps.versions.model(corpus.key, number).space
    except ModelMissing:
        # Of another release. Its posteriors can be read all the same.
        return None
    if space is None:
        return None
    contents = Contents(deps, corpus.key, corpus.config, corpus.data)
    return space.transform(vectors_of(deps, corpus.key, contents), len(corpus.items))


def crowd_of(
    question: Question,
    units: Units,
    teaching: Sequence[Sequence[Annotation]],
    texts: Sequence[Sequence[str]],
    posteriors: Mapping[str, NDArray[np.float64]],
) -> Crowd:
    """What annotators agree on, suggestions that were accepted unread left out.

    Args:
        question: the question.
        units: of the tasks.
        teaching: of each task the annotations that teach.
        texts: of each task what annotators read.
        posteriors: float64 (n_units, k) by `Decision.key`, made without the task's own labels.
    """
    read = [
        [entry for entry in entries if not is_rubber_stamped([entry], question.name, text)]
        for entries, text in zip(teaching, texts, strict=True)
    ]
    labels, people = labels_of(question, units, read)
    n_labeled = int(units.spread(np.array([bool(entries) for entries in read])).sum())
    # CROWDLAB takes 11 s for 20,000 tasks; a question of many labels would take it that often.
    few = n_labeled * len(labels) <= MAX_TASKS
    consensus = {key: consensus_of(said, posteriors[key] if few else None) for key, said in labels.items()}
    return Crowd(units, people, labels, consensus)


def posteriors_without_labels(
    question: Question,
    held_out: Mapping[str, NDArray[np.float64]],
    held_out_classifier: Mapping[str, NDArray[np.float64]],
    rows: NDArray[np.int64],
) -> dict[str, NDArray[np.float64]] | None:
    """Held-out posteriors of the classifier where it has any, else of the whole model: float64 (n, k) by decision key,
    in some of the version's rows (int64 (n,), -1 = nothing known). None for a question that the version doesn't know
    as it is now."""
    found = {}
    for decision in decisions(question):
        if decision.key not in held_out or held_out[decision.key].shape[1] != len(decision.classes):
            return None
        posterior = _taken(held_out[decision.key], rows, np.nan)
        if decision.key in held_out_classifier:
            alone = _taken(held_out_classifier[decision.key], rows, np.nan)
            posterior = first_known(alone, posterior)
        found[decision.key] = posterior
    return found


def _annotator(entries: Sequence[Annotation]) -> int:
    """Who gave a label; -1 = unknown or several people."""
    who = {entry.annotator_id for entry in entries}
    only = who.pop() if len(who) == 1 else None
    return -1 if only is None else only


def texts_of(config: LabelConfig, item: MirroredTask) -> list[str]:
    """What annotators read of a task."""
    shown = user_fields(item.task.data)
    return [value for name in config.shown.texts if isinstance(value := shown.get(name), str)]
