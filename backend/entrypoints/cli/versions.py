"""`prelabel versions`: what was trained, and how good it was."""

from datetime import datetime

from backend.bootstrap import App
from backend.domain.codec import Json, JsonObject, to_json
from backend.domain.outside import MOST_LISTED
from backend.entrypoints.cli import installation
from backend.entrypoints.console import Grid, say, say_json
from backend.entrypoints.failing import say_failing
from backend.entrypoints.held import held_sentence
from backend.errors import BackendError
from backend.ports import VersionRecord
from backend.workflows.held import held_at


def show_versions(project: int, *, as_json: bool) -> None:
    """Print a project's versions, and who holds it at one of them."""
    app = installation.looked_at()
    key = installation.key_of(app, project)
    if as_json:
        say_json(versions_json(app, key))
        return
    say_failing(app.queue, key)
    print_versions(app, key)
    record = app.database.project(key)
    held = held_at(app.deps, record) if record else None
    if held:
        say(f"The project is {held_sentence(held, project)}.")


def print_versions(app: App, key: str) -> None:
    """A row for each question of each version; of many questions, for those with the lowest accuracy."""
    current = app.versions.current(key)
    table = Grid("version", "status", "trained", "labels", "question", "accuracy (95 %)", "macro-F1", "note")
    for record in app.database.versions(key):
        mark = " <- current" if record.number == current else ""
        when = datetime.fromtimestamp(record.created_at).strftime("%Y-%m-%d %H:%M:%S")
        for question, accuracy, f1 in _figures(app, key, record.number):
            table.row(
                record.name + mark, record.status.value, when, str(record.n_labels), question, accuracy, f1, record.note
            )
    table.show()


def versions_json(app: App, key: str) -> list[JsonObject]:
    """The same and all of their metrics, for JSON."""
    current = app.versions.current(key)
    hold = app.database.hold(key)
    held = hold.number if hold else 0
    return [_described(app, record, current, held) for record in app.database.versions(key)]


def _described(app: App, record: VersionRecord, current: int, held: int) -> JsonObject:
    """A version for scripts, with its metrics.json ({} while it is in training)."""
    try:
        metrics = to_json(app.versions.metrics(record.key, record.number))
    except BackendError:
        # As in `_figures`.
        metrics = {}
    fields: dict[str, Json] = {
        name: getattr(record, name) for name in ("name", "status", "created_at", "n_labels", "note")
    }
    return fields | {"current": record.number == current, "held": record.number == held, "metrics": metrics}


def _figures(app: App, key: str, number: int) -> list[tuple[str, str, str]]:
    """(question, accuracy with interval, macro-F1) of a version; dashes where nothing could be measured."""
    try:
        questions = app.versions.metrics(key, number).questions
    except BackendError:
        # Still in training, or its folder is gone: the record itself is shown all the same.
        questions = {}
    rows = []
    each = list(questions.items())
    more = len(each) - MOST_LISTED
    if more > 0:
        worst = sorted(each, key=lambda item: (item[1].accuracy is None, item[1].accuracy or 0.0))
        each = worst[:MOST_LISTED]
    for name, figures in each:
        text, f1 = "-", figures.macro_f1
        headline = figures.headline
        if headline.value is not None and headline.interval is not None:
            low, high = headline.interval
            text = f"{headline.value:.3f} ({low:.3f}-{high:.3f})"
            if headline.name != "accuracy":
                text = f"{headline.name} {text}"
        rows.append((name, text, "-" if f1 is None else f"{f1:.3f}"))
    if more > 0:
        rows.append((f"and {more} more (--json)", "these or better", "-"))
    return rows or [("-", "-", "-")]
