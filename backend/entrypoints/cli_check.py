"""`prelabel check`: look for wrong labels, wait for it, and show what was found."""

import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from backend.adapters.queue import RedisQueue
from backend.domain.label_errors import Precision
from backend.entrypoints.cli_issues import print_issues
from backend.errors import BackendError, ConfigurationError
from backend.ports import Job, SuspectRecord, SuspectStatus
from backend.workflows.suspects import Checked

UNDER_WAY = {"queued", "deferred", "scheduled", "started"}
"""rq's statuses of a job that hasn't ended; `scheduled` waits to be tried again."""
POLL_S = 0.5
COLUMNS = ("task", "question", "given", "expected", "quality", "reason")


def wait_for_check(queue: RedisQueue, key: str, console: Console) -> None:
    """Wait until the check that was asked for has ended, with a progress bar.

    Raises:
        ConfigurationError: no worker or no scheduler runs.
        BackendError: it failed; the message says how.
    """
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with bar:
        shown = bar.add_task("waiting for a worker", total=None)
        while (status := queue.request_status(Job.CHECK, key)) in UNDER_WAY:
            workers, has_scheduler = queue.alive()
            if not workers or not has_scheduler:
                missing = "scheduler" if workers else "worker"
                raise ConfigurationError(f"The check is asked for, but no {missing} runs: start `prelabel up`.")
            for job in queue.jobs():
                if (job.job, job.key, job.status) == (Job.CHECK, key, "started") and job.step:
                    bar.update(shown, description=job.step, completed=job.done, total=job.total or None)
            time.sleep(POLL_S)
    if status == "failed":
        errors = [job.error for job in queue.jobs() if (job.job, job.key, job.status) == (Job.CHECK, key, status)]
        raise BackendError(f"The check failed: {errors[-1] if errors else 'see `prelabel jobs`'}")


def print_checked(out: Console, found: Checked, top: int) -> None:
    """The worst suspects, how often the search was right, what could not be judged, and how labels go wrong."""
    if not found.report:
        _say(out, "No check has ended yet: it needs a trained version and labels.")
        return
    if found.suspects:
        table = Table(*COLUMNS, box=box.SIMPLE_HEAD)
        for item in found.suspects[:top]:
            table.add_row(*(Text(cell) for cell in _cells(item)))
        out.print(table)
    for sentence in summary(found, top):
        _say(out, sentence)
    print_issues(out, found.report)


def summary(found: Checked, top: int) -> list[str]:
    """All that isn't in the table, a sentence each."""
    n, n_open = len(found.suspects), sum(item.status is SuspectStatus.OPEN for item in found.suspects)
    more = f", {min(n, top)} listed" if n > top else ""
    sentences = [f"{n} suspects: {n_open} in the tab 'Prelabel: check', {n - n_open} waiting{more}."]
    held_back = found.report.get("held_back", 0)
    if held_back:
        sentences.append(f"{held_back} more are held back: people confirmed most labels of like quality.")
    sentences.append(_precision(found.precision))
    for name, about in found.report.get("questions", {}).items():
        sentences += _about(name, about)
    return sentences


def export(path: Path, suspects: Sequence[SuspectRecord]) -> None:
    """Write all suspects as CSV, the worst first.

    Raises:
        ConfigurationError: the file can't be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*COLUMNS, "status"])
            writer.writerows([*_cells(item), item.status.value] for item in suspects)
    except OSError as error:
        raise ConfigurationError(f"--export {path} can't be written: {error.strerror}.") from error


def _cells(item: SuspectRecord) -> list[str]:
    given, expected = ", ".join(item.given) or "none", ", ".join(item.expected) or "none"
    return [str(item.task_id), item.question, given, expected, f"{item.quality:.4f}", item.reason]


def _precision(precision: Precision) -> str:
    if precision.share is None or precision.interval is None:
        return "No verdict yet: how often suspects are wrong is not known."
    low, high = precision.interval
    n = precision.n_fixed + precision.n_confirmed
    return (
        f"By {n} verdicts, {precision.share:.2f} ({low:.2f}-{high:.2f}) of the suspects were wrong: "
        f"{precision.n_fixed} fixed, {precision.n_confirmed} confirmed."
    )


def _about(name: str, about: Mapping[str, Any]) -> Iterator[str]:
    for item in about["not_yet"]:
        label = item["key"].partition("=")[2]
        yield f"{name}{f', {label}' if label else ''}: {item['reason']}."
    for key, noise in about["noise"].items():
        yield f"{key}: some {noise['n_errors']} of {noise['n_labels']} labels are wrong by confident learning."
        transition, classes = noise["transition"], noise["classes"]
        mistaken = sorted(
            (
                (transition[given][true], classes[true], classes[given])
                for given in range(len(classes))
                for true in range(len(classes))
                if given != true and transition[given][true]
            ),
            reverse=True,
        )
        if mistaken:
            said = ", ".join(f"{true} -> {given} {share:.2f}" for share, true, given in mistaken[:5])
            yield f"{key}: most often mistaken (true -> given, share of the true ones): {said}."


def _say(out: Console, text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)
