"""What `prelabel status` prints: one line for people, or everything for scripts."""

from backend.domain.audit.draw import ENOUGH
from backend.domain.codec import to_json
from backend.domain.outside import MOST_LISTED, listed, one_line
from backend.domain.reports.status import ON_AUDIT, Accuracy, QuestionProgress, Status
from backend.domain.stopping import HORIZON, points
from backend.domain.unmatched import told
from backend.domain.words import counted, share
from backend.entrypoints.cli import installation
from backend.entrypoints.console import say, say_json
from backend.entrypoints.failing import failing_of
from backend.entrypoints.held import held_sentence
from backend.ports import version_name
from backend.workflows.measure.status import status_of


def show_status(project: int, *, as_json: bool) -> None:
    """Print how far a project is."""
    app = installation.looked_at()
    key = installation.key_of(app, project)
    failing = failing_of(app.queue, key)
    record = installation.record_of(app, key, project)
    found = status_of(app.deps, record, failing.sentences, hides_state=failing.hides_state)
    if as_json:
        say_json(to_json(found))
    else:
        say(status_line(found))


def status_line(status: Status) -> str:
    """What fails, labels, version, accuracy and where it is from, what the next labels may bring, and the advice."""
    failing = "".join(f"{sentence}; " for sentence in status.failing)
    parts = [f"{status.title or 'project'} ({status.project_id}): {failing}{_labels(status)}"]
    parts[0] += f", {status.n_open} of {counted(status.n_tasks, 'task')} open"
    parts[0] += f", {version_name(status.version)}" if status.version else ", no version yet"
    parts[0] += f" ({held_sentence(status.held, status.project_id)})" if status.held else ""
    if status.unmatched:
        parts.append(told(status.unmatched))
    if status.n_without_data:
        parts.append(f"{status.n_without_data} tasks have no data that can be read")
    if status.nothing:
        return "; ".join([*parts, status.nothing])
    parts += _of_questions(status)
    parts += _misstated(status)
    # What the next labels bring stands there already.
    reasons = [reason for reason in status.advice.reasons if f"next {HORIZON} " not in reason]
    parts.append(f"{status.advice.verdict}{': ' if reasons else ''}{listed(reasons)}")
    return "; ".join(parts)


def _of_questions(status: Status) -> list[str]:
    """What is known of each question; of many, of those with the lowest accuracy."""
    each = list(zip(status.accuracies, status.progress, strict=True))
    parts = []
    if len(each) > MOST_LISTED:
        n_known = sum(accuracy.accuracy is not None for accuracy, _ in each)
        parts.append(f"{len(each)} questions, accuracy known of {n_known}, the lowest {MOST_LISTED} (all with --json)")
        each = sorted(each, key=lambda item: (item[0].accuracy is None, item[0].accuracy or 0.0))[:MOST_LISTED]
    for accuracy, progress in each:
        name = f"{accuracy.question}: " if len(status.accuracies) > 1 else ""
        parts += [f"{name}{_accuracy(accuracy)}", f"next {HORIZON} labels {_expected(progress)}"]
    return parts


def _misstated(status: Status) -> list[str]:
    """Labels whose suggestions are right far more or less often than they say."""
    found = [
        f"{one_line(label)} is right in {share(figures.accuracy, '.0%')} of {figures.n} suggestions that say "
        f"{share(figures.confidence, '.0%')}"
        for of_question in status.metrics.by_label.values()
        for label, figures in of_question.items()
        if figures.is_misstated and figures.accuracy is not None and figures.confidence is not None
    ]
    return [listed(found)] if found else []


def _labels(status: Status) -> str:
    if not status.label_budget:
        return counted(status.n_labels, "label")
    return f"{status.n_labels} of {counted(status.label_budget, 'label')}"


def _accuracy(accuracy: Accuracy) -> str:
    if accuracy.accuracy is None or accuracy.interval is None:
        return f"{accuracy.figure} unknown without labels"
    low, high = accuracy.interval
    if accuracy.figure != "accuracy":
        # Audit tasks don't measure it yet.
        said = f"{accuracy.figure} {accuracy.accuracy:.2f} ({low:.2f}-{high:.2f})"
        return f"{said} on {accuracy.n} {accuracy.measured_on}"
    said = f"accuracy {share(accuracy.accuracy)} ({low:.2f}-{high:.2f}) on {accuracy.n} {accuracy.measured_on}"
    if accuracy.measured_on == ON_AUDIT:
        return said
    return f"{said} ({accuracy.n_audit} audit tasks so far, {ENOUGH} needed)"


def _expected(progress: QuestionProgress) -> str:
    return "unknown" if progress.expected is None else points(progress.expected)
