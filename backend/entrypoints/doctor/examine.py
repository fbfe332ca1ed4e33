"""`prelabel doctor`: what is wrong with the installation and with a project's connection, and how to repair it."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx

from backend.adapters.addresses import same_address
from backend.adapters.llm.calls import address_of
from backend.adapters.webhook_secret import WebhookSecret
from backend.bootstrap import WHICH_ONE, App
from backend.domain.outside import listed
from backend.domain.reports.version import VersionMetrics
from backend.domain.words import counted
from backend.entrypoints.connect import (
    SAMPLING,
    TITLE,
    WEBHOOK,
    explain_unreachable,
    former_addresses,
    register,
    repair_settings,
    repair_webhook,
)
from backend.entrypoints.doctor.config import examine_config
from backend.entrypoints.doctor.finding import REACH_TIMEOUT_S, Finding, unanswered
from backend.entrypoints.doctor.label_studio import examine_label_studio
from backend.entrypoints.failing import failing_of
from backend.entrypoints.foreign import foreign_sentence
from backend.entrypoints.held import held_sentence
from backend.entrypoints.run.embedded_redis import ASIDE, stamps_aside
from backend.entrypoints.web.access import is_own_name, listen_address, own_names
from backend.errors import BackendError, ConfigurationError, LabelStudioError, ReadOnlyDatabase, WrongDatabase
from backend.ports import FORCED, Job, JobOptions, ProjectInfo, version_name
from backend.ports.embeddings import ToEmbed
from backend.workflows.asked import config_of
from backend.workflows.check.tags import CHECK_KEY, ISSUE_KEY, by_name, foreign_tags
from backend.workflows.content import NOTHING_TO_READ, about_content
from backend.workflows.held import held_at
from backend.workflows.llm.view import contents_of, too_slow


def examine(app: App, project_id: int | None) -> Iterator[Finding]:
    """Look at everything, the parts that others depend on first."""
    yield from examine_label_studio(app)
    yield _examine_redis(app)
    yield _examine_processes(app)
    yield _examine_database(app)
    yield _examine_mark(app)
    yield _examine_folder(app)
    yield _examine_rules(app)
    yield _examine_backend(app)
    yield _examine_address(app)
    yield _examine_block(app)
    yield _examine_llm(app)
    yield _examine_embeddings(app)
    if project_id is None:
        yield _examine_jobs(app)
    else:
        yield from _examine_project(app, project_id)


def _examine_redis(app: App) -> Finding:
    if app.settings.redis_url:
        fix = (
            "Start it, or correct REDIS_URL. Its own log says why it ended. Files that it can't read may be removed: "
            "all that Prelabel keeps there is asked for anew."
        )
        return _redis_finding(app, "REDIS_URL answers", fix)
    folder, said = app.settings.redis_socket.parent, "the embedded Redis answers"
    stamps = stamps_aside(folder)
    if stamps:
        said = (
            f"{said}; it could not read its files at {stamps[-1].removeprefix(ASIDE)} and began anew: delete "
            f"{folder / ASIDE}* when you don't need them"
        )
    return _redis_finding(app, said, "Start `prelabel up`, which brings Redis, or set REDIS_URL.")


def _redis_finding(app: App, said: str, fix: str) -> Finding:
    try:
        return Finding("Redis", True, f"{said} ({app.queue.ping()})")
    except ConfigurationError as error:
        return Finding("Redis", False, str(error), fix)


def _examine_processes(app: App) -> Finding:
    name = "Worker and scheduler"
    try:
        workers, scheduler = app.queue.alive()
    except ConfigurationError as error:
        return Finding(name, False, str(error), "Repair Redis first.")
    missing = [what for what, there in (("worker", workers > 0), ("scheduler", scheduler)) if not there]
    if missing:
        fix = "Start `prelabel up`, or `prelabel worker` and `prelabel scheduler`."
        return Finding(name, False, f"no {' and no '.join(missing)} runs", fix)
    return Finding(name, True, f"{counted(workers, 'worker')} and the scheduler run")


def _examine_database(app: App) -> Finding:
    try:
        return Finding("Database", True, f"{app.database.ping()} answers")
    except WrongDatabase as error:
        return Finding("Database", False, str(error), "Correct DATABASE_URL or MODEL_DIR, or do what is said above.")
    except ReadOnlyDatabase as error:
        return Finding("Database", False, str(error), "Let the services' user write to it, or correct DATABASE_URL.")
    except ConfigurationError as error:
        return Finding("Database", False, str(error), "Correct DATABASE_URL, or unset it for SQLite in MODEL_DIR.")


def _examine_mark(app: App) -> Finding:
    name = "State of this Label Studio"
    try:
        ours, known = app.projects(), app.database.projects()
        if app.mark.settled() is None:
            said = f"none of the {counted(len(known), 'known project')} was found in it yet" if known else "none known"
            return Finding(name, not known, said, WHICH_ONE)
        earlier = app.mark.earlier()
    except ConfigurationError as error:
        return Finding(name, False, str(error), "Repair the database and LABEL_STUDIO_URL first.")
    said = f"{counted(len(ours), 'project')} known"
    if earlier:
        said += f", since it was at {', '.join(earlier)}"
    if len(known) > len(ours):
        said += f"; {counted(len(known) - len(ours), 'project')} of other Label Studios left alone"
    return Finding(name, True, said)


def _examine_folder(app: App) -> Finding:
    folder = app.settings.model_dir.resolve()
    if not folder.exists():
        fix = "`prelabel up` makes it; or set MODEL_DIR to where your installation is."
        return Finding("Model folder", False, f"there is no {folder} yet", fix)
    try:
        app.versions.check_writable()
    except OSError as error:
        fix = "Set MODEL_DIR to a folder this user may write to (in Docker: mount a volume owned by user 1000)."
        return Finding("Model folder", False, f"{folder} can't be written to ({error.strerror})", fix)
    return Finding("Model folder", True, f"{folder} is writable")


def _examine_rules(app: App) -> Finding:
    folder = app.settings.lf_rules_dir
    if not folder.is_dir():
        return Finding("Labeling functions", False, f"{folder} is not a folder", "Make it, or correct LF_RULES_DIR.")
    try:
        loaded = app.deps.rules.load()
    except ConfigurationError as error:
        return Finding("Labeling functions", False, str(error), "Correct LF_RULES_DIR.")
    if not loaded.signature:
        fix = "They are tried out with the first project: `prelabel connect PROJECT`."
        return Finding("Labeling functions", False, "none was tried out yet", fix)
    if loaded.set_aside:
        reasons = listed([f"{name}: {reason}" for name, reason in loaded.set_aside.items()], "; ")
        return Finding("Labeling functions", False, f"set aside: {reasons}", "Correct these files.")
    return Finding("Labeling functions", True, f"{counted(len(loaded.rules), 'rule')} in {app.settings.lf_rules_dir}")


def _examine_address(app: App) -> Finding:
    host, why = listen_address(app.settings)
    if why:
        return Finding("Listening", False, f"on {host} only: no credentials are set", why)
    locked = "with basic auth" if app.settings.basic_auth_user else "without basic auth, which is fine on one machine"
    return Finding("Listening", True, f"on {host}, {locked}")


def _examine_backend(app: App) -> Finding:
    url, settings = app.settings.public_url, app.settings
    auth = (settings.basic_auth_user, settings.basic_auth_pass.get_secret_value()) if settings.health_auth else None
    try:
        answer = httpx.get(f"{url}/health", auth=auth, timeout=REACH_TIMEOUT_S)
        if answer.status_code == httpx.codes.MISDIRECTED_REQUEST:
            fix = f"Start it with BACKEND_URL={url}, or with BASIC_AUTH_USER and BASIC_AUTH_PASS."
            return Finding(
                "This backend", False, f"it refuses the name in {url}: it runs with another BACKEND_URL", fix
            )
        answer.raise_for_status()
    except httpx.HTTPError as error:
        fix = "Start `prelabel up`; BACKEND_URL must be this backend's address as Label Studio sees it."
        return unanswered("This backend", url, error, fix)
    return Finding("This backend", True, f"{url} answers from here")


def _examine_block(app: App) -> Finding:
    url, name = app.settings.public_url, "Label Studio calls private addresses"
    try:
        said = app.label_studio.refuses_to_call(url)
    except BackendError as error:
        return Finding(name, False, str(error), "Repair Label Studio's address and the API key first.")
    if said:
        return Finding(name, False, f"it refuses to call {url}", explain_unreachable(url, said))
    return Finding(name, True, f"it would call {url}")


def _examine_llm(app: App) -> Finding:
    settings, name = app.settings, "LLM"
    if app.deps.llm is None or not settings.llm_models:
        return Finding(name, True, "none is set up (LLM_MODEL): rules and classifier suggest alone")
    unknown = [model for model in settings.llm_models if app.deps.llm.prices.of(model) is None]
    if unknown:
        fix = "Add them to the file LLM_PRICES; 0 for models of your own."
        return Finding(name, False, f"nobody said what {', '.join(unknown)} costs", fix)
    # The address may hold a password, which is sent and not shown.
    address = address_of(settings.openai_base_url)
    key = settings.openai_api_key.get_secret_value()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        # The list of models costs nothing.
        url = f"{settings.openai_base_url.rstrip('/')}/models"
        with httpx.stream("GET", url, headers=headers, timeout=REACH_TIMEOUT_S) as answer:
            status = answer.status_code
    except httpx.HTTPError as error:
        fix = "Start it, or correct OPENAI_BASE_URL (in a container, localhost is the container itself)."
        return unanswered(name, address, error, fix)
    if status in {401, 403}:
        return Finding(name, False, f"{address} refuses the key ({status})", "Correct OPENAI_API_KEY.")
    said = f"{address} answers, models {', '.join(settings.llm_models)}, policy {settings.policy.llm.policy}"
    return Finding(name, status < 500, said, "" if status < 500 else f"It answers {status}: look into its log.")


def _examine_embeddings(app: App) -> Finding:
    parts, name = app.deps.embeddings, "Embeddings"
    if parts is None:
        return Finding(name, True, "none are used (EMBEDDING_MODEL=none): the classifier reads words and characters")
    try:
        width = parts.embedder.embed([ToEmbed("a word")]).shape[1]
    except BackendError as error:
        return Finding(name, False, str(error), "Correct EMBEDDING_MODEL, EMBEDDING_BASE_URL or EMBEDDING_API_KEY.")
    return Finding(name, True, f"{parts.embedder.name} answers with {counted(width, 'number')} for a text")


def _examine_project(app: App, project_id: int) -> Iterator[Finding]:
    try:
        info = app.label_studio.project(project_id)
        # What fails explains what follows.
        yield _examine_jobs(app, app.key(info.uid))
        yield Finding("Project", True, f"{info.title!r}, {counted(info.n_tasks, 'task')}")
        yield _examine_connection(app, info)
        yield _examine_webhook(app, info)
        yield _examine_sampling(app, info)
        yield _examine_version(app, info)
        yield from examine_config(app, info)
        yield from _examine_content(app, info)
        yield _examine_tags(app, info)
        yield from _examine_masks(app, info)
    except BackendError as error:
        yield Finding("Project", False, str(error), "Check the project's number and that the key's user may change it.")


def _examine_jobs(app: App, key: str | None = None) -> Finding:
    failing = failing_of(app.queue, key).sentences
    if failing:
        fix = "Mend the reason. They are tried again by themselves, a comparison each RECONCILE_EACH_S seconds."
        return Finding("Jobs", False, "; ".join(failing), fix)
    return Finding("Jobs", True, "none fails")


def _examine_connection(app: App, info: ProjectInfo) -> Finding:
    url, name = app.settings.public_url, "Label Studio reaches the backend"
    connections = app.label_studio.connections(info.id)
    ours = [item for item in connections if same_address(item.url, url)]
    others = [item.url for item in connections if urlsplit(item.url).port == urlsplit(url).port]
    refused = [other for other in others if not is_own_name(urlsplit(other).netloc, own_names(app.settings))]
    if not ours and refused and not app.settings.basic_auth_user:
        fix = (
            f"If that is this backend: start it with BACKEND_URL={refused[0]}, or set credentials and connect it anew."
        )
        return Finding(name, False, f"{refused[0]} is connected, which is not BACKEND_URL ({url})", fix)
    if not ours:
        fix = f"`prelabel connect {info.id}`"
        return Finding(name, False, f"{url} is not connected to this project", fix, lambda: register(app, info))
    if ours[0].error:
        return Finding(name, False, "it can't", explain_unreachable(url, ours[0].error), lambda: register(app, info))
    if len(ours) > 1 or former_addresses(app, info):
        old = ", ".join(former_addresses(app, info)) or "twice"
        fix = f"`prelabel connect {info.id}` leaves one: Label Studio asks the first, and sends events to all."
        return Finding(name, False, f"this backend is also connected as {old}", fix, lambda: _reconnect(app, info))
    dead = [item.url for item in connections if item.title == TITLE and item.error and item not in ours]
    if dead:
        fix = (
            "If it is this backend before it moved, or one that is gone, remove it in Settings > Model: Label Studio "
            "may ask it first. If it is another one, start it."
        )
        return Finding(name, False, f"{url} is connected, but Label Studio can't reach {', '.join(dead)}", fix)
    return Finding(name, True, f"{url} is connected")


def _reconnect(app: App, info: ProjectInfo) -> None:
    register(app, info)
    repair_webhook(app, info)


def _examine_webhook(app: App, info: ProjectInfo) -> Finding:
    name, url = "Webhook", f"{app.settings.public_url}{WEBHOOK}"
    secret = WebhookSecret(app.settings.model_dir).read()
    if secret is None:
        fix = "`prelabel doctor --fix` makes one and gives it to Label Studio"
        return Finding(name, False, "there is no secret for it", fix, lambda: repair_webhook(app, info))
    ours = [item for item in app.label_studio.webhooks(info.id, secret) if same_address(item.url, url)]
    if ours and all(item.is_active and item.has_secret and item.sends_everything for item in ours):
        return Finding(name, True, "active, for all events, with our secret")
    what = "missing" if not ours else "inactive, incomplete, or without our secret"
    return Finding(name, False, what, "`prelabel doctor --fix` sets it up", lambda: repair_webhook(app, info))


def _examine_sampling(app: App, info: ProjectInfo) -> Finding:
    if info.sampling == SAMPLING:
        return Finding("Sampling", True, info.sampling)
    fix = f"Set it to {SAMPLING!r} (Settings > General), so that the most useful tasks come first."
    return Finding("Sampling", False, f"it is {info.sampling!r}", fix, lambda: repair_settings(app, info))


def _examine_version(app: App, info: ProjectInfo) -> Finding:
    name, key = "Version", app.key(info.uid)
    number = app.versions.current(key)
    ours = version_name(number)
    if not config_of(app.deps, key, info.label_config).answered:
        return Finding(name, True, "nothing can be suggested, so nothing is trained (see Controls)")
    if not number:
        if failing_of(app.queue, key).hides_state:
            return Finding(name, False, "nothing was trained yet", "See Jobs above: the first version waits for them.")
        detail, fix = "nothing was trained yet", f"`prelabel retrain {info.id}` (and see `prelabel jobs`)"
        return Finding(name, False, detail, fix, lambda: app.queue.request(Job.TRAIN, key, options=FORCED))
    if info.model_version == ours and info.shows_predictions:
        record = app.database.project(key)
        held = held_at(app.deps, record) if record else None
        also = f"; {held_sentence(held, info.id)}" if held else ""
        return Finding(name, True, f"the project shows {ours}, which is ours{also}")
    if ours not in app.label_studio.versions(info.id):
        detail = f"Label Studio has no prediction of {ours}"
        if app.database.hold(key):
            # A training would let go of the version that a person chose.
            fix = f"`prelabel rollback {info.id} {ours}` pushes them anew; without open tasks there is nothing to push"
            return Finding(
                name,
                False,
                detail,
                fix,
                lambda: app.queue.request(Job.ROLLBACK, key, options=JobOptions(version=number)),
            )
        fix = f"`prelabel retrain {info.id}` pushes anew; without open tasks there is nothing to push"
        return Finding(name, False, detail, fix, lambda: app.queue.request(Job.TRAIN, key, options=FORCED))
    shown = repr(info.model_version) if info.shows_predictions else "no predictions"
    detail = f"the project shows {shown}, ours is {ours}"
    fix = "Settings > Annotation > Use predictions to prelabel tasks: choose our version."
    wanted = {"model_version": ours, "show_collab_predictions": True}
    return Finding(name, False, detail, fix, lambda: app.label_studio.update_project(info.id, wanted))


def _examine_masks(app: App, info: ProjectInfo) -> Iterator[Finding]:
    """Whether the project's masks can be done with for its tasks."""
    key = app.key(info.uid)
    policy = app.deps.policy(key).llm
    if policy.masks:
        data = [item.task.data for item in app.database.tasks(key)]
        slow = too_slow(contents_of(app.deps, key, app.deps.parse_label_config(info.label_config), data))
        said = "; ".join(f"{count} of {len(data)} tasks aren't sent: {reason}" for reason, count in slow.items())
        fix = "Correct llm_masks in the backend's extra parameters in Label Studio."
        yield Finding("Masks", not slow, said or f"{len(policy.masks)} masks, quick enough", fix if slow else "")


def _examine_tags(app: App, info: ProjectInfo) -> Finding:
    name, record = "Tags", app.database.project(app.key(info.uid))
    counts = by_name(foreign_tags(app.deps, record)) if record else {}
    if not counts:
        return Finding(name, True, "all are ours")
    said = foreign_sentence(counts).replace("PROJECT", str(info.id))
    # These two fill our tabs.
    return Finding(name, not {CHECK_KEY, ISSUE_KEY} & set(counts), said, "Adopt them, or rename the user's own fields.")


def _examine_content(app: App, info: ProjectInfo) -> Iterator[Finding]:
    """What the current version could read of the tasks; nothing where there is none, or an earlier release made it."""
    number = app.versions.current(key := app.key(info.uid))
    said = about_content(app.versions.metrics(key, number) if number else VersionMetrics())
    if said:
        yield Finding(
            "Content", not said.n_without_content, said.sentence, NOTHING_TO_READ if said.n_without_content else ""
        )


def apply_repairs(findings: list[Finding]) -> list[tuple[Finding, str]]:
    """Repair what can be repaired; returns each bad finding with what became of it ("" = repaired)."""
    outcome = []
    for finding in findings:
        if finding.good:
            continue
        if finding.repair is None:
            outcome.append((finding, "can't be repaired from here"))
            continue
        try:
            finding.repair()
            outcome.append((finding, ""))
        except (LabelStudioError, ConfigurationError) as error:
            outcome.append((finding, str(error)))
    return outcome
