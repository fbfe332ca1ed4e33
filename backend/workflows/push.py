"""Push: predictions on their way to Label Studio, with what it refuses, drops or no longer has a task for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from backend.domain.questions import Question
from backend.errors import LabelStudioAuthError, LabelStudioError
from backend.ports import Deps, Prediction, ProjectInfo, ProjectRecord, version_name

NOT_ACCEPTED = {400, 404}
"""What Label Studio answers when a task is gone or a prediction doesn't fit it. All else is a real failure."""


@dataclass(slots=True)
class Push:
    """The predictions of one version on their way, and what became of them. Those of deleted tasks go nowhere.

    stored, refused and dropped hold task ids. refused: with the reason; trying again would not help. dropped: left out
    of a bulk import without a word. What was stored or refused is remembered as suggested at once, so that a killed
    worker's successor doesn't send it twice.

    Methods raise LabelStudioError when Label Studio fails for a reason that isn't a task's or a prediction's.
    """

    deps: Deps
    record: ProjectRecord
    info: ProjectInfo
    number: int
    questions: Sequence[Question]
    """Of today's label config."""
    stored: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    _shown: bool = False

    @property
    def name(self) -> str:
        """The version string."""
        return version_name(self.number)

    @property
    def note(self) -> str:
        """What a person should know; "" when all went well."""
        lost = len(self.refused) + len(self.dropped)
        if not lost:
            return ""
        reason = f": {next(iter(self.refused.values()))}" if self.refused else ""
        return f"Label Studio stored {len(self.stored)} of {len(self.stored) + lost} predictions{reason}"

    def fitting(self, wanted: Sequence[Prediction]) -> list[Prediction]:
        """Those that fit today's label config, whose form would show nothing of the others."""
        asked = {question.name: question for question in self.questions}
        fit = [item for item in wanted if _fits(item, asked)]
        lost = {item.task_id for item in wanted} - {item.task_id for item in fit}
        self._refuse(lost, "the answer doesn't fit the label config")
        return fit

    def singly(self, predictions: Sequence[Prediction], progress: Callable[[int, int], None]) -> None:
        """Push one by one: fast for a few, whatever the size of the project."""
        alive: set[int] | None = None
        for done, prediction in enumerate(predictions):
            progress(done, len(predictions))
            task_id = prediction.task_id
            try:
                self.deps.label_studio.push_one(self.name, prediction, self.questions)
            except LabelStudioAuthError:
                raise
            except LabelStudioError as error:
                if error.status not in NOT_ACCEPTED:
                    raise
                if alive is None or task_id in alive:
                    alive = self._alive()
                if task_id in alive:
                    self._refuse({task_id}, str(error))
            else:
                self._remember({task_id})

    def together(self, predictions: Sequence[Prediction], progress: Callable[[int, int], None]) -> None:
        """Push in one request, whose cost grows with the project and not with the number of predictions.

        It drops what Label Studio's form takes, but its check for imports doesn't (`<choice>` among `<Choice>`): such
        ones go one by one.
        """
        project_id = self.record.project_id
        known = self.deps.label_studio.acceptable(self.info.label_config, predictions, self.questions)
        of_known = {item.task_id for item in known}
        self.singly([item for item in predictions if item.task_id not in of_known], progress)
        predictions = known
        try:
            created = self.deps.label_studio.push_all(project_id, self.name, predictions, self.questions)
        except LabelStudioError as error:
            if error.status != 400:
                raise
            # One deleted task makes Label Studio refuse the whole request: ask which ones are left, and send those.
            alive = self._alive()
            predictions = [item for item in predictions if item.task_id in alive]
            created = self.deps.label_studio.push_all(project_id, self.name, predictions, self.questions)
        sent = {item.task_id for item in predictions}
        stored = sent if created == len(sent) else sent & self.deps.label_studio.predicted_tasks(project_id, self.name)
        self.dropped |= sent - stored
        self._remember(stored)

    def show(self) -> None:
        """Make the project show this version. Nothing is sent when it does: each change comes back as an event."""
        if self.stored and not self._shown and self.info.model_version != self.name:
            self.deps.label_studio.update_project(self.info.id, {"model_version": self.name})
            self._shown = True

    def _remember(self, task_ids: set[int]) -> None:
        self.stored |= task_ids
        self.deps.database.mark_suggested(self.record.key, task_ids, self.number)

    def _refuse(self, task_ids: set[int], reason: str) -> None:
        self.refused |= dict.fromkeys(task_ids, reason)
        self.deps.database.mark_suggested(self.record.key, task_ids, self.number)

    def _alive(self) -> set[int]:
        """Ids of the tasks that Label Studio has now; the mirror forgets all others."""
        alive = self.deps.label_studio.task_ids(self.record.project_id)
        self.deps.database.keep_tasks(self.record.key, alive)
        return alive


def _fits(prediction: Prediction, asked: Mapping[str, Question]) -> bool:
    answers = {} if prediction.withheld else prediction.suggestion.answers
    return all(name in asked and set(asked[name].read(answer)) == set(answer) for name, answer in answers.items())
