"""Connecting a project: what `prelabel connect`, `prelabel demo` and `prelabel doctor --fix` do in Label Studio."""

from backend.adapters.addresses import same_address
from backend.adapters.label_studio.errors import BLOCKED
from backend.adapters.webhook_secret import WebhookSecret
from backend.bootstrap import App, build, webhook_secret
from backend.entrypoints.failing import failing_of
from backend.errors import LabelStudioError
from backend.ports import Job, ProjectInfo, version_name
from backend.settings import Settings
from backend.workflows.asked import config_of
from backend.workflows.config_notes import why_content_is_ignored, why_nothing
from backend.workflows.mirror import known_project

TITLE = "Prelabel"
WEBHOOK = "/webhook"
"""Path that Label Studio sends events to."""
SAMPLING = "Uncertainty sampling"
"""Label Studio's name for the queue that follows our scores."""
NOT_LET_IN = "401 Client Error"
"""What Label Studio says of an answer to wrong or no credentials."""


def connect_project(settings: Settings, project_id: int) -> None:
    """Register the backend in a project with its webhook and settings, and ask for a first version.

    Safe to call again: what is there already is brought up to date.

    Raises:
        LabelStudioError: Label Studio refused; the message says why, also when it can't reach this backend.
        ConfigurationError: a setting is missing, or Redis or the database doesn't answer.
    """
    app = build(settings)
    info = app.label_studio.project(project_id)
    app.settle_mark()
    key = app.key(info.uid)
    known_project(app.deps, key)
    register(app, info)
    repair_webhook(app, info)
    repair_settings(app, info)
    app.queue.request(Job.RECONCILE, key)


def outlook(app: App, info: ProjectInfo) -> str:
    """What a person may expect after a project was connected, and what its label config leaves no hope for."""
    key = app.key(info.uid)
    config = config_of(app.deps, key, info.label_config)
    nothing, ignored = why_nothing(config), why_content_is_ignored(app.deps, key, config)
    if nothing:
        return f"But {nothing}"
    return what_comes_next(app, key) + (f" But {ignored}" if ignored else "")


def what_comes_next(app: App, key: str) -> str:
    """The same for a project in which something can be suggested."""
    failing = failing_of(app.queue, key).sentences
    if failing:
        return f"Nothing new comes, though: {'; '.join(failing)}. See `prelabel jobs`."
    number = app.versions.current(key)
    if number:
        return f"It has suggestions of {version_name(number)} already, and is compared with Label Studio now."
    return "Its first suggestions come in a moment: see `prelabel jobs`."


def register(app: App, info: ProjectInfo) -> None:
    """Register the backend, with basic auth if it is set. Label Studio tries it out at once."""
    settings = app.settings
    password = settings.basic_auth_pass.get_secret_value()
    auth = (settings.basic_auth_user, password) if settings.basic_auth_user else None
    try:
        app.label_studio.connect(info.id, settings.public_url, TITLE, auth, former_addresses(app, info))
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
    if NOT_LET_IN in said:
        return (
            f"Label Studio reaches this backend at {url}, which doesn't let it in. Give this command the "
            "BASIC_AUTH_USER and BASIC_AUTH_PASS that the backend runs with. Before 1.12.1 Label Studio sends neither: "
            f"`prelabel doctor` says which version it is. It said: {said}"
        )
    return (
        f"Label Studio can't reach this backend at {url}. Is `prelabel up` running? BACKEND_URL must be the address as "
        f"Label Studio sees it (in Docker: http://host.docker.internal:{url.rsplit(':', 1)[-1]}). It said: {said}"
    )


def former_addresses(app: App, info: ProjectInfo) -> list[str]:
    """Addresses that this backend had before: its webhooks went there, with the secret that nobody else has."""
    secret = WebhookSecret(app.settings.model_dir).read()
    known = app.label_studio.webhooks(info.id, secret) if secret else []
    addresses = [item.url.removesuffix(WEBHOOK) for item in known if item.has_secret]
    return [address for address in addresses if not same_address(address, app.settings.public_url)]


def repair_webhook(app: App, info: ProjectInfo) -> None:
    """Leave one webhook of ours in the project: active, complete, to our address, and with our secret."""
    secret = webhook_secret(app.settings.model_dir)
    url = f"{app.settings.public_url}{WEBHOOK}"
    # One with our secret and another address is ours before it moved.
    known = app.label_studio.webhooks(info.id, secret)
    ours = [item for item in known if same_address(item.url, url)]
    ours += [item for item in known if item.has_secret and item not in ours]
    if not ours:
        app.label_studio.set_webhook(info.id, None, url, secret)
        return
    kept = ours[0]
    if not (kept.is_active and kept.has_secret and kept.sends_everything and same_address(kept.url, url)):
        app.label_studio.set_webhook(info.id, kept.id, url, secret)
    for double in ours[1:]:
        app.label_studio.remove_webhook(double.id)


def repair_settings(app: App, info: ProjectInfo) -> None:
    """Make the queue follow our scores, and annotators see our suggestions."""
    wanted = {"sampling": SAMPLING, "show_collab_predictions": True}
    if (info.sampling, info.shows_predictions) != tuple(wanted.values()):
        app.label_studio.update_project(info.id, wanted)
