"""The web service: Label Studio's ML backend protocol, in the shapes that Label Studio 1.23.2 sends and reads."""

import gc
import re
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import structlog
import uvicorn
from fastapi import BackgroundTasks, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.adapters.label_studio.json import format_result, project_uid
from backend.adapters.project_settings import NO_PARAMS
from backend.adapters.redaction import redact
from backend.adapters.webhook_secret import WebhookSecret
from backend.bootstrap import App, build, webhook_secret
from backend.entrypoints.web.access import BodyLimits, Guard, LimitedRoute, listen_address
from backend.entrypoints.web.connections import KEEP_ALIVE_S, bounded_protocol, connections_that_fit
from backend.entrypoints.web.metrics import Metrics
from backend.entrypoints.web.probes import add_probes
from backend.entrypoints.web.refusals import explain_address, explain_body
from backend.errors import BackendError, BadRequest, ConfigurationError, LabelStudioError, ModelMissing, RuleError
from backend.ports import ALL_PROJECTS, FORCED, Job, version_name
from backend.settings import Settings
from backend.workflows.suggest import answer
from backend.workflows.trained import TRAINED

STATUS = {BadRequest: 422, ConfigurationError: 503, LabelStudioError: 502, ModelMissing: 503, RuleError: 500}
"""HTTP status of each kind of error; anything else on purpose is 500."""
UID = r"^[0-9]{1,18}\.[0-9]{1,18}$"
"""A project uid becomes part of a folder's name, so nothing else may pass."""
REQUEST_ID = r"[A-Za-z0-9_.-]{1,64}"
"""A caller's own X-Request-ID; any other one is replaced."""
JOB = r"[A-Za-z0-9_.:-]{1,200}"
"""All that we or rq call a job; what is called otherwise is none, and Redis need not be asked."""
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
SWITCH_S = 0.0005
"""A webhook needs the interpreter for several moments, and need not wait 5 ms for each while predictions compute."""
EVENT_DELAY_S = 1.0
"""Events that follow each other within a second are read together."""
KNOWN_ACTIONS = {
    "START_TRAINING",
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_UPDATED",
    "ANNOTATION_DELETED",
    "ANNOTATIONS_DELETED",
    "TASK_CREATED",
    "TASKS_CREATED",
    "TASK_DELETED",
    "TASKS_DELETED",
    "PROJECT_CREATED",
    "PROJECT_UPDATED",
}
"""Annotations, tasks or settings changed; what else Label Studio may send doesn't concern us."""

log = structlog.get_logger()


class SetupRequest(BaseModel):
    """What Label Studio sends when it connects, and at each load of some of its pages."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)
    project: str = Field(pattern=UID)
    label_config: str = Field(default="<View/>", alias="schema")
    extra_params: Any = None


class TaskItem(BaseModel):
    """A task to suggest for. All else that Label Studio sends with it is left alone."""

    model_config = ConfigDict(extra="ignore")
    id: int | None = None
    data: dict[str, Any] | None = None
    is_labeled: bool | None = None


class PredictRequest(BaseModel):
    """Tasks to suggest for, with the label config to do it in."""

    model_config = ConfigDict(extra="ignore")
    tasks: list[TaskItem]
    project: str = Field(pattern=UID)
    label_config: str


class EventRequest(BaseModel):
    """A webhook event, or the Start Training button. `project` is Label Studio's project, or its uid (`/train`).

    A webhook that is set to send no payload names no project.
    """

    model_config = ConfigDict(extra="ignore")
    action: str = "START_TRAINING"
    project: dict[str, Any] | str | None = None
    annotation: Any = None


class JobRequest(BaseModel):
    """A job to ask about."""

    job: str


def create_app(settings: Settings) -> FastAPI:
    """The web application. It starts whether or not Redis, the database and Label Studio answer."""
    app = build(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        webhook_secret(settings.model_dir)
        with app.mark.watched():
            yield

    api = FastAPI(
        title="Prelabel",
        version="0.1.0",
        lifespan=lifespan,
        description="A Label Studio ML backend that learns from every annotation.",
    )
    api.state.app = app
    api.state.metrics = Metrics(app)
    api.state.limits = BodyLimits(settings.max_json_depth, settings.max_text_chars)
    api.router.route_class = LimitedRoute
    api.add_middleware(Guard, settings=settings, secret=WebhookSecret(settings.model_dir).current)
    # Added last, so it is the outermost: what is refused counts too.
    api.add_middleware(_Measure, metrics=api.state.metrics)
    api.exception_handler(BackendError)(_explain)
    api.exception_handler(RequestValidationError)(explain_body)
    api.exception_handler(StarletteHTTPException)(explain_address)
    for route in (add_probes, _add_protocol, _add_events):
        route(api)
    return api


def run_web(settings: Settings) -> None:
    """Serve until stopped."""
    # A folder that can't be written to, or a secret that is none, is one sentence here, and a traceback later.
    webhook_secret(settings.model_dir)
    host, why = listen_address(settings)
    if why:
        log.warning(why)
    # Else the first `/predict` would load all of scikit-learn.
    import backend.adapters.versions.models  # noqa: F401, PLC0415

    api = create_app(settings)
    ended = api.state.metrics.ended
    most = connections_that_fit(settings.max_connections)
    protocol = bounded_protocol(settings.request_timeout_s, most, lambda reason: ended.labels(reason).inc())
    _stay_prompt()
    uvicorn.run(
        api,
        host=host,
        port=settings.port,
        http=protocol,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
        log_config=None,
        access_log=False,
    )


def _stay_prompt() -> None:
    """Keep this process from making requests wait."""
    sys.setswitchinterval(SWITCH_S)
    # Looking for garbage among all that was imported takes a quarter of a second, in which nothing else runs.
    gc.collect()
    gc.freeze()


def _app(request: Request) -> App:
    found: App = request.app.state.app
    return found


def _metrics(request: Request) -> Metrics:
    found: Metrics = request.app.state.metrics
    return found


class _Measure:
    """Counts and times requests, and gives each an id, for its log lines and its answer.

    Plain ASGI: Starlette's own middleware base costs a webhook a tenth of its time.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if re.fullmatch(REQUEST_ID, given) else uuid.uuid4().hex

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            with structlog.contextvars.bound_contextvars(request=request_id):
                await self._app(scope, receive, send_and_note)
        finally:
            # The route's own path and known methods, so that unknown ones can't fill the registry.
            path = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.requests.labels(method, path, str(status)).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - started)


async def _explain(request: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    log.warning("request failed", path=request.url.path, status=status, error=str(error))
    return JSONResponse({"detail": redact(str(error))}, status)


def _save_params(app: App, key: str, params: str) -> None:
    """Keep what `/setup` brought for a project. Label Studio doesn't wait for it."""
    try:
        app.project_settings.save(key, params)
    except (ConfigurationError, OSError) as error:
        log.error("settings of the project can't be kept: save the backend in Label Studio again", error=str(error))


def _add_protocol(api: FastAPI) -> None:
    @api.post("/setup", tags=["protocol"])
    def setup(body: SetupRequest, request: Request, background: BackgroundTasks) -> dict[str, str]:
        """The version that is current. Nothing is waited for: what follows from the call is done after the answer."""
        app = _app(request)
        key = app.key(body.project)
        config = app.deps.parse_label_config(body.label_config)
        for name, reason in config.unsupported.items():
            log.warning("control is left empty", project=key, control=name, reason=reason)
        try:
            params = app.project_settings.checked(body.extra_params)
            if app.project_settings.is_known(key):
                background.add_task(_save_params, app, key, params)
            elif params != NO_PARAMS:
                # Anyone may make a uid up: a worker asks Label Studio before anything is written for it.
                background.add_task(app.queue.leave_params, key, params)
        except BadRequest as error:
            # Label Studio would show no reason and call the backend broken: it works, with what was set before.
            log.error("settings of the project are left as they were", project=key, error=str(error))
        background.add_task(app.queue.request, Job.RECONCILE, key, delay_s=EVENT_DELAY_S)
        return {"model_version": version_name(app.versions.current(key))}

    @api.post("/predict", tags=["protocol"])
    def predict(body: PredictRequest, request: Request) -> dict[str, Any]:
        """One result for each task, in order; an abstention or withheld suggestion is empty, with score 0."""
        return _suggest(_app(request), _metrics(request), body)

    @api.get("/versions", tags=["protocol"])
    def versions(request: Request, project: Annotated[str | None, Query(pattern=UID)] = None) -> dict[str, list[str]]:
        """Versions of a project. Label Studio names none, which is clear only while there is one project."""
        app = _app(request)
        keys = [app.key(project)] if project else [item.key for item in app.projects()]
        if len(keys) > 1:
            # Label Studio then shows what /setup told it of this project.
            raise HTTPException(404, "Name one of the projects: /versions?project=<id>.<seconds>.")
        records = [record for key in keys for record in app.database.versions(key) if record.status in TRAINED]
        return {"versions": [record.name for record in records]}

    @api.post("/job_status", tags=["protocol"])
    def job_status(body: JobRequest, request: Request) -> dict[str, str]:
        """State of a job: queued, started, finished or failed; 410 when nobody knows it any more."""
        queue = _app(request).queue
        kind, _, key = body.job.partition(":")
        status = None
        if re.fullmatch(JOB, body.job):
            status = queue.request_status(Job(kind), key) if kind in set(Job) else queue.status(body.job)
        if status is None:
            raise HTTPException(410, "This job is not known any more.")
        return {"job_status": "queued" if status in {"scheduled", "deferred"} else status}


def _suggest(app: App, metrics: Metrics, body: PredictRequest) -> dict[str, Any]:
    """The answer to `/predict`, counted in the metrics and with a line in the log where something was amiss."""
    most = app.settings.max_tasks_per_request
    if len(body.tasks) > most:
        message = (
            f"{len(body.tasks):,} tasks are too many for one request: select at most {most:,} at a time, or raise "
        )
        raise HTTPException(413, f"{message}MAX_TASKS_PER_REQUEST.")
    tasks = [task.data or {} for task in body.tasks]
    open_ids = [None if task.is_labeled else task.id for task in body.tasks]
    deadline_s = app.settings.predict_deadline_s
    answers = answer(app.deps, app.key(body.project), body.label_config, tasks, deadline_s, open_ids)
    for rule, count in answers.faults.counts.items():
        metrics.faults.labels(rule).inc(count)
    if answers.problem:
        log.error("answered from the rules alone", project=body.project, error=answers.problem)
    if answers.late:
        log.warning("deadline reached", project=body.project, tasks=len(tasks), without_answer=answers.late)
    results = [
        {
            "result": format_result(suggestion, answers.questions),
            "score": round(suggestion.score, 6),
            "model_version": answers.version,
        }
        for suggestion in answers.suggestions
    ]
    abstained = sum(not item["result"] for item in results)
    metrics.suggested.labels("abstention").inc(abstained)
    metrics.suggested.labels("answer").inc(len(results) - abstained)
    return {"results": results, "model_version": answers.version}


def _add_events(api: FastAPI) -> None:
    @api.post("/webhook", status_code=201, tags=["events"])
    @api.post("/train", status_code=201, tags=["events"])
    async def webhook(body: EventRequest, request: Request) -> dict[str, str]:
        """Take an event. It is only a hint: the job it asks for reads Label Studio. Answers after one Redis write."""
        app = _app(request)
        _metrics(request).events.labels(body.action if body.action in KNOWN_ACTIONS else "other").inc()
        _metrics(request).note_lag(body.annotation)
        if body.project is None and body.action in KNOWN_ACTIONS - {"START_TRAINING"}:
            await app.events.request(Job.RECONCILE, ALL_PROJECTS, delay_s=EVENT_DELAY_S)
            return {"status": "accepted", "job": f"{Job.RECONCILE.value}:{ALL_PROJECTS}"}
        uid = body.project if isinstance(body.project, str) else project_uid(body.project or {})
        key = app.key(_checked_uid(uid))
        if body.action == "START_TRAINING":
            await app.events.request(Job.TRAIN, key, options=FORCED)
            return {"status": "accepted", "job": f"{Job.TRAIN.value}:{key}"}
        if body.action in KNOWN_ACTIONS:
            await app.events.request(Job.RECONCILE, key, delay_s=EVENT_DELAY_S)
            return {"status": "accepted", "job": f"{Job.RECONCILE.value}:{key}"}
        return {"status": "ignored"}


def _checked_uid(uid: str) -> str:
    if not re.fullmatch(UID, uid):
        raise BadRequest("project must be Label Studio's uid, <id>.<seconds>, or its project with id and created_at.")
    return uid
