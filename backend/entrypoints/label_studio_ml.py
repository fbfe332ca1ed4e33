"""Prelabel as a model of `label-studio-ml`, for teams that host their backends with it.

Works under both interfaces: 1.0.9 (`__init__(label_config, train_output, **kwargs)`, `predict(tasks, **kwargs)`,
`fit(tasks, workdir, **kwargs)`) and 2.x (`__init__(project_id, label_config)`, `predict(tasks, context)`,
`fit(event, data)`). The work is done by the same workflows as behind Prelabel's own web service: suggestions here,
training in Prelabel's workers.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from label_studio_ml.model import LabelStudioMLBase

from backend.adapters.label_studio.json import data_of, format_result
from backend.bootstrap import App, build, start_logging
from backend.errors import BadRequest
from backend.ports import FORCED, Job
from backend.settings import Settings
from backend.workflows.suggest import answer

EVENT_DELAY_S = 1.0
"""Events that follow each other within a second are read together."""


@functools.cache
def _app() -> App:
    settings = Settings()
    start_logging(settings)
    return build(settings)


class PrelabelModel(LabelStudioMLBase):  # type: ignore[misc] # label-studio-ml has no types
    """Answers `predict` from Prelabel's current version, and passes events on to Prelabel's workers."""

    TRAIN_EVENTS = (
        "ANNOTATION_CREATED",
        "ANNOTATIONS_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATION_DELETED",
        "ANNOTATIONS_DELETED",
        "TASKS_CREATED",
        "TASKS_DELETED",
        "PROJECT_UPDATED",
        "START_TRAINING",
    )
    """Under 1.0.9 the server calls `fit` for these only."""

    def predict(
        self,
        tasks: Sequence[Mapping[str, Any]],
        context: Mapping[str, Any] | None = None,  # noqa: ARG002 - the 2.x interface; nothing to draw on here
        **_: Any,
    ) -> list[dict[str, Any]]:
        """One prediction for each task, in order; an abstention or withheld suggestion has an empty result and score 0.

        Raises:
            BadRequest: the tasks don't say of which project they are.
        """
        if not tasks:
            return []
        app = _app()
        key = self._key(app, self._project_id(tasks))
        data = [data_of(task) for task in tasks]
        open_ids = [None if task.get("is_labeled") else task.get("id") for task in tasks]
        deadline_s = app.settings.predict_deadline_s
        answers = answer(app.deps, key, self.label_config or "<View/>", data, deadline_s, open_ids)
        return [
            {
                "result": format_result(suggestion, answers.questions),
                "score": suggestion.score,
                "model_version": answers.version,
            }
            for suggestion in answers.suggestions
        ]

    def fit(self, *args: Any, **kwargs: Any) -> dict[str, str]:
        """Pass an event on: 1.0.9 calls `fit((), event=..., data=...)`, 2.x `fit(event, data)`.

        Returns at once; the job that follows runs in Prelabel's workers.

        Raises:
            BadRequest: the event doesn't name a project.
        """
        event = kwargs.get("event") or (args[0] if args and isinstance(args[0], str) else "START_TRAINING")
        data = kwargs.get("data") or (args[1] if len(args) > 1 else {})
        project = data.get("project") if isinstance(data, Mapping) else None
        if not isinstance(project, Mapping) or "id" not in project:
            raise BadRequest("The event names no project: Label Studio sends it as project.id.")
        app = _app()
        key = self._key(app, int(project["id"]))
        if event == "START_TRAINING":
            app.queue.request(Job.TRAIN, key, options=FORCED)
            return {"job": f"{Job.TRAIN.value}:{key}"}
        app.queue.request(Job.RECONCILE, key, delay_s=EVENT_DELAY_S)
        return {"job": f"{Job.RECONCILE.value}:{key}"}

    def _project_id(self, tasks: Sequence[Mapping[str, Any]]) -> int:
        """2.x knows the uid; under 1.0.9 each task names its project."""
        uid = str(getattr(self, "project_id", "") or tasks[0].get("project") or "")
        number = uid.split(".", maxsplit=1)[0]
        if not number.isdigit():
            raise BadRequest("The tasks name no project: Label Studio sends it as the task's `project`.")
        return int(number)

    def _key(self, app: App, project_id: int) -> str:
        """The project's key: from the database, else, the first time, from Label Studio."""
        for record in app.projects():
            if record.project_id == project_id:
                return record.key
        return app.key(app.label_studio.project(project_id).uid)
