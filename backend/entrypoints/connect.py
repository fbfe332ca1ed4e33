"""Connecting a project: what `prelabel connect`, `prelabel demo` and `prelabel doctor --fix` do in Label Studio."""

from backend.adapters.addresses import same_address
from backend.adapters.label_studio_errors import BLOCKED
from backend.bootstrap import App, build, webhook_secret
from backend.errors import LabelStudioError
from backend.ports import Job, ProjectInfo
from backend.settings import Settings
from backend.workflows.config_notes import why_nothing, why_unread
from backend.workflows.mirror import known_project

TITLE = "Prelabel"
SAMPLING = "Uncertainty sampling"
"""Label Studio's name for the queue that follows our scores."""


def connect_project(settings: Settings, project_id: int) -> tuple[str, str]:
    """Register the backend in a project with its webhook and settings, and ask for a first version.

    Safe to call again: what is there already is brought up to date. Returns why nothing can be suggested, and why what
    annotators see isn't read; "" each, where it is not so.

    Raises:
        LabelStudioError: Label Studio refused; the message says why, also when it can't reach this backend.
        ConfigurationError: a setting is missing, or Redis or the database doesn't answer.
    """
    app = build(settings)
    info = app.label_studio.project(project_id)
    key = app.key(info.uid)
    known_project(app.deps, key)
    register(app, info)
    repair_webhook(app, info)
    repair_settings(app, info)
    app.queue.request(Job.RECONCILE, key)
    config = app.deps.parse_label_config(info.label_config)
    return why_nothing(config), why_unread(app.deps, key, config)


def register(app: App, info: ProjectInfo) -> None:
    """Register the backend, with basic auth if it is set. Label Studio tries it out at once."""
    settings = app.settings
    password = settings.basic_auth_pass.get_secret_value()
    auth = (settings.basic_auth_user, password) if settings.basic_auth_user else None
    try:
        app.label_studio.connect(info.id, settings.public_url, TITLE, auth)
    except LabelStudioError as error:
        if error.status != 400 and BLOCKED not in str(error):
            raise
        raise LabelStudioError(explain_unreachable(settings.public_url, str(error)), error.status) from error


def explain_unreachable(url: str, said: str) -> str:
    """Why Label Studio can't use our address, with what to do."""
    if BLOCKED in said:
        return (
            f"Label Studio doesn't call private addresses like {url}: start it with ML_BLOCK_LOCAL_IP=false and "
            f"SSRF_PROTECTION_ENABLED=false, or set BACKEND_URL to a public address. It said: {said}"
        )
    return (
        f"Label Studio can't reach this backend at {url}. Is `prelabel up` running? BACKEND_URL must be the address as "
        f"Label Studio sees it (in Docker: http://host.docker.internal:{url.rsplit(':', 1)[-1]}). It said: {said}"
    )


def repair_webhook(app: App, info: ProjectInfo) -> None:
    """Make the project's webhook to us active, complete and signed with our secret."""
    secret = webhook_secret(app.settings.model_dir)
    url = f"{app.settings.public_url}/webhook"
    # One with our secret and another address is ours before it moved.
    known = app.label_studio.webhooks(info.id, secret)
    ours = [item for item in known if same_address(item.url, url)] or [item for item in known if item.has_secret]
    if not ours:
        app.label_studio.set_webhook(info.id, None, url, secret)
    for item in ours:
        if not (item.is_active and item.has_secret and item.sends_everything and same_address(item.url, url)):
            app.label_studio.set_webhook(info.id, item.id, url, secret)


def repair_settings(app: App, info: ProjectInfo) -> None:
    """Make the queue follow our scores, and annotators see our suggestions."""
    wanted = {"sampling": SAMPLING, "show_collab_predictions": True}
    if (info.sampling, info.shows_predictions) != tuple(wanted.values()):
        app.label_studio.update_project(info.id, wanted)
