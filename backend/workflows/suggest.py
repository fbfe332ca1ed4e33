"""Suggest: tasks in, one suggestion for each of them out, in order, before a deadline."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from backend.domain.audit.draw import is_audit
from backend.domain.features.vectors import Vectors
from backend.domain.frame import Frame, frame_of
from backend.domain.label_config import LabelConfig
from backend.domain.model.project import ProjectModel, rules_only
from backend.domain.questions import Question
from backend.domain.rules import History, Rule
from backend.domain.suggestions import Suggestion, suggest
from backend.domain.tasks import MirroredTask
from backend.domain.votes import RuleFaults
from backend.errors import ModelMissing
from backend.ports import Deps, version_name
from backend.workflows.asked import config_of
from backend.workflows.embed import vectors_of
from backend.workflows.llm.contents import Contents
from backend.workflows.marking import marked_too
from backend.workflows.votes import cast_votes

CHUNK = 50
"""Tasks answered at once; after each chunk the answers so far are safe from the deadline."""


def answered(
    model: ProjectModel | None, data: Sequence[Mapping[str, object]], frame: Frame, vectors: Vectors | None = None
) -> Frame:
    """The frame with posteriors by its votes and the data of its tasks.

    A question that the model wasn't trained on as it is now (no version yet, or the label config changed) is answered
    from the rules alone.
    """
    posteriors = model.posteriors(data, frame, vectors) if model is not None else {}
    unknown = [question for question in frame.questions if model is None or not model.knows(question)]
    if unknown:
        untrained = frame.only(unknown)
        posteriors = posteriors | rules_only(untrained).posteriors(data, untrained)
    return replace(frame, posteriors=posteriors)


def history_of(items: Sequence[MirroredTask], own: Sequence[int]) -> History:
    """What annotators answered, for rules that vote by it. `own`: see `History`."""
    answers = [[entry.answers for entry in item.labels] for item in items]
    return History([item.task.data for item in items], answers, own)


def _history_for(annotated: Sequence[MirroredTask], tasks: Sequence[Mapping[str, object]]) -> History:
    """The same for tasks of which only the data are known: they are told by these."""
    data = [item.task.data for item in annotated]
    return history_of(annotated, [data.index(task) if task in data else -1 for task in tasks])


@dataclass(frozen=True, slots=True)
class Answers:
    """Suggestions in the order of the tasks.

    late: tasks that the deadline left without an answer. problem: why the current version could not be used, so that
    the rules answered alone.
    """

    version: str
    questions: tuple[Question, ...]
    suggestions: list[Suggestion]
    faults: RuleFaults
    late: int = 0
    problem: str = ""


def answer(
    deps: Deps,
    key: str,
    label_config: str,
    tasks: Sequence[Mapping[str, object]],
    deadline_s: float,
    open_ids: Sequence[int | None] = (),
) -> Answers:
    """Suggest for tasks that Label Studio asks about; of open audit tasks, the suggestion is withheld.

    Args:
        deps: the ports.
        key: the project.
        label_config: the label config as Label Studio sent it.
        tasks: task data.
        deadline_s: after so many seconds what is known is returned; the other tasks get abstentions.
        open_ids: the tasks' ids, None for those that have all their annotations; () when they aren't known.

    Raises:
        BadRequest: the label config can't be parsed.
        ModelMissing: which version is current can't be read.
    """
    number = deps.versions.current(key)
    config = config_of(deps, key, label_config, number)
    if not config.answered:
        return Answers(version_name(number), (), [Suggestion() for _ in tasks], RuleFaults())
    filling = _Filling(deps, key, config, tasks, number)
    filling.run(deadline_s)
    done = list(filling.suggestions)
    known = _withheld(deps, key, [item or Suggestion() for item in done], open_ids)
    late = sum(item is None for item in done)
    return Answers(version_name(number), config.answered, known, filling.faults(), late, filling.problem)


class _Filling:
    """Suggestions that a thread fills in, chunk by chunk. It may go on for a while after the deadline."""

    def __init__(
        self, deps: Deps, key: str, config: LabelConfig, tasks: Sequence[Mapping[str, object]], number: int
    ) -> None:
        self.suggestions: list[Suggestion | None] = [None] * len(tasks)
        """In the order of the tasks; None: not answered yet."""
        self.problem = ""
        """Why the version's model could not be used."""
        self._deps, self._key, self._config, self._tasks, self._number = deps, key, config, tasks, number
        self._faults: list[RuleFaults] = []
        """One for each chunk, as complete as it will ever be."""
        self._failures: list[Exception] = []
        self._expired = threading.Event()

    def run(self, deadline_s: float) -> None:
        """Fill until all is there, or the deadline is; raises what the thread failed with."""
        thread = threading.Thread(target=self._fill, daemon=True)
        thread.start()
        thread.join(deadline_s)
        self._expired.set()
        if self._failures:
            raise self._failures[0]

    def faults(self) -> RuleFaults:
        """The rules' faults in the chunks so far."""
        counted = RuleFaults()
        for of_chunk in tuple(self._faults):
            counted.merge(of_chunk)
        return counted

    def _fill(self) -> None:
        deps, key = self._deps, self._key
        try:
            rules = deps.rules.load().of(deps.policy(key).rules)
            model, self.problem = _model(deps, key, self._number)
            needs_history = any(rule.needs_history for rule in rules)
            known = deps.database.tasks(key) if needs_history else []
            annotated = [item for item in known if item.labels]
            for start in range(0, len(self._tasks), CHUNK):
                if self._expired.is_set():
                    return
                self._fill_chunk(start, rules, model, annotated)
        except Exception as error:  # noqa: BLE001 - handed to the caller's thread
            self._failures.append(error)

    def _fill_chunk(
        self, start: int, rules: Sequence[Rule], model: ProjectModel | None, annotated: Sequence[MirroredTask]
    ) -> None:
        deps, key = self._deps, self._key
        chunk = self._tasks[start : start + CHUNK]
        contents = Contents(deps, key, self._config, chunk)
        units = frame_of(self._config.questions, chunk)
        frame, faults = cast_votes(deps, units, contents, rules, _history_for(annotated, chunk))
        vectors = vectors_of(deps, key, contents) if model is not None and model.space else None
        if self._config.questions:
            decided = suggest(answered(model, chunk, frame, vectors))
        else:
            decided = [Suggestion() for _ in chunk]
        found, faults_of_spans = marked_too(decided, model, deps, contents, rules)
        faults.merge(faults_of_spans)
        self._faults.append(faults)
        self.suggestions[start : start + len(chunk)] = found


def _model(deps: Deps, key: str, number: int) -> tuple[ProjectModel | None, str]:
    """The model of a version, and why there is none although there is a version."""
    try:
        return deps.versions.model(key, number) if number else None, ""
    except ModelMissing as error:
        return None, str(error)


def _withheld(
    deps: Deps, key: str, suggestions: Sequence[Suggestion], open_ids: Sequence[int | None]
) -> list[Suggestion]:
    """The suggestions, with those of open audit tasks emptied."""
    share, found = deps.policy(key).audit_share, list(suggestions)
    for place, task_id in enumerate(open_ids):
        if task_id is not None and is_audit(key, task_id, share):
            found[place] = Suggestion()
    return found
