"""Labels of a project: which came later, which were renamed, and what that means for old answers."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backend.domain.corpus import Corpus
from backend.domain.frame import Frame
from backend.domain.label_changes import added
from backend.domain.questions import Question
from backend.errors import BadRequest, ConfigurationError
from backend.ports import Deps, ProjectRecord, SuspectStatus
from backend.workflows.asked import config_of

if TYPE_CHECKING:
    # Types only: every process that reads the mirror imports this module, and these bring scikit-learn.
    from scipy.sparse import csr_matrix

    from backend.domain.added_labels import Later

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LabelLine:
    """One label. since: Label Studio's newest change when we saw it first; "" = it was always there. n_tasks: with an
    answer that has it. known: the question has it today. renamed_from: old names that count as it."""

    question: str
    label: str
    since: str
    n_tasks: int
    known: bool
    renamed_from: tuple[str, ...] = ()


def note_changes(deps: Deps, before: ProjectRecord, after: ProjectRecord) -> None:
    """Remember the labels that a new label config adds, and forget renames of labels that are there again.

    When it was changed nobody tells: what people answered until we saw it counts as answered before.
    """
    if not before.label_config or before.label_config == after.label_config:
        return
    try:
        old, new = (deps.parse_label_config(record.label_config) for record in (before, after))
    except BadRequest as error:
        log.warning("Project %s: what its new label config adds isn't known: %s", after.key, error)
        return
    deps.database.save_added_labels(after.key, dict.fromkeys(added(old, new), after.cursor or ""))
    labels = {(question.name, label) for question in new.answered for label in question.labels}
    for place in deps.database.renamed_labels(after.key).keys() & labels:
        deps.database.save_renamed_label(after.key, place, None)
        log.warning("Project %s: %r is a label again, so it isn't read as another one any more", after.key, place[1])


def later_in(deps: Deps, corpus: Corpus) -> "dict[str, Later]":
    """By question the labels that came after others; questions without any are left out.

    A label that another one was renamed to is as old as that one.
    """
    from backend.domain.added_labels import Later  # noqa: PLC0415 - see above

    since = deps.database.added_labels(corpus.key)
    if not since:
        return {}
    inherited = {(question, now) for (question, _), now in deps.database.renamed_labels(corpus.key).items()}
    suspects = deps.database.suspects(corpus.key)
    places = {task: row for row, task in enumerate(corpus.ids.tolist())}
    found = {}
    for question in corpus.questions:
        name = question.name
        mine = {
            label: since[name, label]
            for label in question.labels
            if (name, label) in since and (name, label) not in inherited
        }
        if mine:
            confirmed = {
                places[item.task_id]
                for item in suspects
                if item.question == name
                and item.status is SuspectStatus.CONFIRMED
                # Who confirmed a label against another one said nothing of these.
                and mine.keys() & set(item.expected)
                and item.task_id in places
            }
            found[name] = Later(mine, frozenset(confirmed))
    return found


def without_old_evidence(deps: Deps, corpus: Corpus, frame: Frame, features: "Callable[[], csr_matrix]") -> Frame:
    """The frame in which no old answer speaks against a label that came later.

    Of several answers, an old one doesn't say no to it. Of one, tasks that may be of it teach nothing until a person
    has saved or confirmed them since.

    Args:
        deps: the ports.
        corpus: the project.
        frame: its, with votes and gold.
        features: makes them, (n_tasks, d), where they are needed.
    """
    from backend.domain.added_labels import gold_without_old_evidence  # noqa: PLC0415 - see above

    later = later_in(deps, corpus)
    if not later:
        return frame
    # What is known of whole tasks, to which a type of question may add.
    of_tasks, gold = features(), dict(frame.gold)
    for question in (item for item in frame.questions if item.name in later):
        inputs = question.unit_features(frame.units[question.name], corpus.data, of_tasks)
        gold |= gold_without_old_evidence(question, later[question.name], corpus.labeled, frame, inputs)
    return replace(frame, gold=gold)


def lines(deps: Deps, key: str) -> list[LabelLine]:
    """All labels of a project, and those that only answers have; without those of spans.

    Raises:
        ConfigurationError: nothing is known of the project yet.
    """
    corpus = _corpus(deps, key)
    since, renames = deps.database.added_labels(key), deps.database.renamed_labels(key)
    found: list[LabelLine] = []
    for question in corpus.questions:
        given = _given(question, corpus)
        old_names: dict[str, list[str]] = {}
        for (name, old), now in renames.items():
            if name == question.name:
                old_names.setdefault(now, []).append(old)
        for label in dict.fromkeys([*question.labels, *given]):
            place = question.name, label
            renamed_from = tuple(sorted(old_names.get(label, ())))
            known = question.index(label) is not None
            found.append(
                LabelLine(question.name, label, since.get(place, ""), given.get(label, 0), known, renamed_from)
            )
    return found


def rename(deps: Deps, key: str, question: str | None, old: str, new: str) -> int:
    """Let an old label of answers count as a label of today; returns in how many tasks it does.

    Raises:
        ConfigurationError: nothing is known of the project yet.
        BadRequest: the label can't be renamed; the message says why.
    """
    corpus = _corpus(deps, key)
    if question in {item.name for item in corpus.config.spans}:
        raise BadRequest(f"{question!r} marks spans: their labels can't be renamed here.")
    asked = [item for item in corpus.questions if question in (None, item.name)]
    fitting = [item for item in asked if item.index(new) is not None and item.index(old) is None]
    fitting = [item for item in fitting if old in _given(item, corpus)] or fitting
    if len(fitting) != 1:
        raise BadRequest(_why_not(asked, question, old, new, len(fitting)))
    (found,) = fitting
    n_tasks = _given(found, corpus).get(old, 0)
    if not n_tasks:
        raise BadRequest(f"No answer to {found.name!r} has the label {old!r}: there is nothing to rename.")
    deps.database.save_renamed_label(key, (found.name, old), new)
    return n_tasks


def undo_rename(deps: Deps, key: str, question: str | None, old: str) -> None:
    """Let answers with an old label count as what they say again.

    Raises:
        BadRequest: it wasn't renamed.
    """
    places = [place for place in deps.database.renamed_labels(key) if place[1] == old and question in (None, place[0])]
    if not places:
        raise BadRequest(f"{old!r} was not renamed, so there is nothing to undo.")
    for place in places:
        deps.database.save_renamed_label(key, place, None)


def _why_not(asked: Sequence[Question], question: str | None, old: str, new: str, n_fitting: int) -> str:
    if not asked:
        return f"There is no question {question!r}."
    if n_fitting > 1:
        return f"Several questions have a label {new!r}: name one with --question."
    if any(item.index(old) is not None for item in asked):
        return f"{old!r} is a label of today: only one that the label config doesn't have any more can be renamed."
    return f"No question has a label {new!r}: rename it in the label config first."


def _corpus(deps: Deps, key: str) -> Corpus:
    record = deps.database.project(key)
    if record is None or not record.label_config:
        raise ConfigurationError("Nothing is known of this project yet: `prelabel connect` it and wait for v1.")
    return Corpus(key, config_of(deps, key, record.label_config), deps.database.tasks(key))


def _given(question: Question, corpus: Corpus) -> dict[str, int]:
    """Labels that answers to a question have, with the number of tasks."""
    counts: Counter[str] = Counter()
    for answers in corpus.answers:
        labels = {label for answer in answers for label in _labels(question, answer.get(question.name, ()))}
        counts.update(labels)
    return dict(counts)


def _labels(question: Question, answer: Sequence[str]) -> set[str]:
    """Labels in an answer, by the names of today where it has them."""
    return set(question.read(answer)) | {label for label in answer if not question.has(label)}
