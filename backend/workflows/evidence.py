"""Evidence: all that is known of a project's labels, for the search for wrong ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.label_errors import Evidence, Findings, groups_of, is_unread, search
from backend.domain.model import gold_of
from backend.domain.posterior import is_known
from backend.domain.questions import Question, decisions
from backend.domain.tasks import Annotation, user_fields
from backend.domain.votes import VoteMatrix
from backend.errors import ModelMissing
from backend.ports import Deps, LabelConfig, MirroredTask
from backend.workflows.embed import vectors_of


@dataclass(frozen=True)
class Searched:
    """What was found in each question that the version knows, and the tasks that were searched.

    features, embedded: (n, d) and (n, m) of all tasks of the project; see `Evidence`.
    """

    task_ids: tuple[int, ...]
    findings: Mapping[str, Findings]
    features: csr_matrix
    embedded: csr_matrix | None


def search_labels(deps: Deps, key: str, number: int, config: LabelConfig, items: Sequence[MirroredTask]) -> Searched:
    """Judge today's labels by what version `number` made of the tasks without them, row by row.

    Of the posteriors, those of the classifier alone are taken where it has any: the votes are evidence of their own,
    and in the pooled posterior they would count twice. A version that didn't keep them, and a decision with too few
    labels for a classifier, bring the pooled ones.

    Raises:
        ModelMissing: the version can't be read.
    """
    task_ids, pooled = deps.versions.held_out(key, number)
    places = {item.task.id: place for place, item in enumerate(items)}
    rows = np.array([row for row, task_id in enumerate(task_ids.tolist()) if task_id in places], dtype=np.int64)
    ids = tuple(int(task_id) for task_id in task_ids[rows])
    mine = [items[places[task_id]] for task_id in ids]
    teaching = [[entry for entry in item.annotations if entry.teaches] for item in mine]
    gold = gold_of(config.questions, [[entry.answers for entry in entries] for entries in teaching])
    # Of all tasks, as in training: of some of them, the cache would be made anew, twice.
    data = [item.task.data for item in items]
    features, embedded = deps.versions.features(key, data).matrix, _embedded(deps, key, number, config, data)
    searched = [places[task_id] for task_id in ids]
    evidence = Evidence(
        votes=_votes(deps, key, number, config.questions, rows),
        features=features[searched],
        embedded=None if embedded is None else embedded[searched],
        groups=groups_of([item.task.data for item in mine]),
        annotators=np.array([_annotator(entries) for entries in teaching], dtype=np.int64),
    )
    of_classifier = deps.versions.classified(key, number)
    findings = {}
    for question in config.questions:
        found = _posteriors(question, pooled, of_classifier, rows)
        if found is None:
            # The label config changed; the training that follows will know this question.
            continue
        unread = [
            is_unread(entries, question.name, _texts(config, item))
            for item, entries in zip(mine, teaching, strict=True)
        ]
        known = {decision.key: gold[decision.key] for decision in decisions(question)}
        about = replace(evidence, unread=np.array(unread, dtype=np.bool_))
        findings[question.name] = search(question, found, known, about)
    return Searched(ids, findings, features, embedded)


def _embedded(
    deps: Deps, key: str, number: int, config: LabelConfig, data: Sequence[Mapping[str, object]]
) -> csr_matrix | None:
    """Embeddings (n, m) in the space of the version, from the vectors that were kept; nothing is asked for."""
    try:
        space = deps.versions.model(key, number).space
    except ModelMissing:
        # Of another release. Its posteriors can be read all the same.
        return None
    return None if space is None else space.transform(vectors_of(deps, key, config, data), len(data))


def _posteriors(
    question: Question,
    pooled: Mapping[str, NDArray[np.float64]],
    of_classifier: Mapping[str, NDArray[np.float64]],
    rows: NDArray[np.int64],
) -> dict[str, NDArray[np.float64]] | None:
    """(n, k) by decision key; None for a question that the version doesn't know as it is now."""
    found = {}
    for decision in decisions(question):
        if decision.key not in pooled or pooled[decision.key].shape[1] != len(decision.classes):
            return None
        posterior = pooled[decision.key][rows]
        if decision.key in of_classifier:
            alone = of_classifier[decision.key][rows]
            posterior = np.where(is_known(alone)[:, None], alone, posterior)
        found[decision.key] = posterior
    return found


def _votes(
    deps: Deps, key: str, number: int, questions: Sequence[Question], rows: NDArray[np.int64]
) -> dict[str, VoteMatrix]:
    """The votes that the version was made of; a question whose labels changed since is left out above."""
    asked = {decision.key: decision for question in questions for decision in decisions(question)}
    return {
        name: VoteMatrix(asked[name], sources, votes[rows])
        for name, (sources, votes) in deps.versions.votes(key, number).items()
        if name in asked
    }


def _annotator(entries: Sequence[Annotation]) -> int:
    """Who gave a label; -1 = unknown or several people."""
    who = {entry.annotator_id for entry in entries}
    only = who.pop() if len(who) == 1 else None
    return -1 if only is None else only


def _texts(config: LabelConfig, item: MirroredTask) -> list[str]:
    """What annotators read of a task."""
    shown = user_fields(item.task.data)
    return [value for name in config.shown.texts if isinstance(value := shown.get(name), str)]
