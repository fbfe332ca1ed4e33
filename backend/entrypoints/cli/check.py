"""`prelabel check`: look for wrong labels, wait for it, and show what was found."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.adapters.data_files.csv import write_csv
from backend.adapters.redis.queue import RedisQueue
from backend.domain.label_errors.verdicts import Precision
from backend.domain.questions.marks import readable
from backend.domain.reports.check import QuestionCheck
from backend.domain.words import counted, share
from backend.entrypoints.cli import installation
from backend.entrypoints.cli.annotators import checked_json, export_consensus, print_annotators
from backend.entrypoints.cli.issues import export_issues, print_issues
from backend.entrypoints.console import Grid, complain, progress_bar, say, say_json
from backend.entrypoints.foreign import foreign_sentence
from backend.errors import BackendError, ConfigurationError
from backend.ports import Job, SuspectRecord, SuspectStatus
from backend.workflows.check.suspects import Checked, checked
from backend.workflows.check.tags import adopt_tags
from backend.workflows.check.verdicts import keep_labels

UNDER_WAY = {"queued", "deferred", "scheduled", "started"}
"""rq's statuses of a job that hasn't ended; `scheduled` waits to be tried again."""
POLL_S = 0.5
COLUMNS = ("task", "question", "given", "expected", "quality", "reason")
REGION = "region"
"""Column behind these, where some suspect is of a region."""


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What was typed after `prelabel check PROJECT`; see the options of the same names."""

    top: int
    export: Path | None
    consensus: Path | None
    annotators: bool
    export_issues: Path | None
    wait: bool
    adopt: bool
    as_json: bool


def confirm_labels(project: int, tasks: Sequence[int]) -> None:
    """Note that the labels of some tasks are right."""
    app = installation.looked_at()
    key = installation.key_of(app, project)
    keep_labels(app.deps, installation.record_of(app, key, project), tasks)
    app.queue.request(Job.RECONCILE, key)
    say(f"Confirmed: {counted(len(set(tasks)), 'task')} will leave the tab 'Prelabel: check' in a moment.")


def look_for_wrong_labels(project: int, options: CheckOptions) -> None:
    """Ask for a check, and show what it, or the last one, found."""
    app = installation.looked_at()
    key = installation.key_of(app, project)
    if options.adopt:
        adopted = adopt_tags(app.deps, installation.record_of(app, key, project))
        said = ", ".join(f"{name} of {counted(n, 'task')}" for name, n in adopted.items())
        complain(f"Adopted: {said or 'nothing, all tags are ours'}.")
    app.queue.request(Job.CHECK, key)
    if options.wait:
        wait_for_check(app.queue, key)
    elif not options.as_json:
        say(f"A check of project {project} is asked for: its suspects come into the tab 'Prelabel: check'.")
    found = checked(app.deps, key)
    if options.export is not None:
        export(options.export, found.suspects)
    if options.consensus is not None:
        export_consensus(options.consensus, found.report)
    if options.export_issues is not None:
        export_issues(options.export_issues, found.report)
    names = app.label_studio.people() if options.as_json or options.annotators else {}
    if options.as_json:
        say_json(checked_json(found, options.top, names))
        return
    print_checked(found, options.top)
    if options.annotators:
        print_annotators(found.report, names)


def wait_for_check(queue: RedisQueue, key: str) -> None:
    """Wait until the check that was asked for has ended, with a progress bar.

    Raises:
        ConfigurationError: no worker or no scheduler runs.
        BackendError: it failed; the message says how.
    """
    with progress_bar("waiting for a worker") as report:
        while (status := queue.request_status(Job.CHECK, key)) in UNDER_WAY:
            workers, has_scheduler = queue.alive()
            if not workers or not has_scheduler:
                missing = "scheduler" if workers else "worker"
                raise ConfigurationError(f"The check is asked for, but no {missing} runs: start `prelabel up`.")
            for job in queue.jobs():
                if (job.job, job.key, job.status) == (Job.CHECK, key, "started") and job.step:
                    report(job.step, job.done, job.total)
            time.sleep(POLL_S)
    if status == "failed":
        errors = [job.error for job in queue.jobs() if (job.job, job.key, job.status) == (Job.CHECK, key, status)]
        raise BackendError(f"The check failed: {errors[-1] if errors else 'see `prelabel jobs`'}")


def print_checked(found: Checked, top: int) -> None:
    """The worst suspects, how often the search was right, what could not be judged, and how labels go wrong."""
    if not found.report.has_ended:
        say("No check has ended yet: it needs a trained version and labels.")
        return
    if found.suspects:
        listed = found.suspects[:top]
        region = _regions(listed)
        table = Grid(*COLUMNS, *region)
        for item in listed:
            table.row(*_cells(item), *(item.region for _ in region))
        table.show()
    for sentence in summary(found, top):
        say(sentence)
    print_issues(found.report)


def summary(found: Checked, top: int) -> list[str]:
    """All that isn't in the table, a sentence each."""
    n, n_open = len(found.suspects), sum(item.status is SuspectStatus.OPEN for item in found.suspects)
    more = f", {min(n, top)} listed" if n > top else ""
    sentences = [f"{counted(n, 'suspect')}: {n_open} in the tab 'Prelabel: check', {n - n_open} waiting{more}."]
    held_back = found.report.held_back
    if held_back:
        verb = "is" if held_back == 1 else "are"
        sentences.append(f"{held_back} more {verb} held back: people confirmed most labels of like quality.")
    sentences.append(_precision(found.precision))
    for name, about in found.report.questions.items():
        sentences += _about(name, about, sum(item.question == name for item in found.suspects))
    foreign = found.report.foreign_tags
    return [*sentences, f"{foreign_sentence(foreign)}."] if foreign else sentences


def export(path: Path, suspects: Sequence[SuspectRecord]) -> None:
    """Write all suspects as CSV, the worst first.

    Raises:
        ConfigurationError: the file can't be written.
    """
    region = _regions(suspects)
    rows = ([*_cells(item), item.status.value, *(item.region for _ in region)] for item in suspects)
    write_csv(path, [*COLUMNS, "status", *region], rows)


def _regions(suspects: Sequence[SuspectRecord]) -> list[str]:
    """The column of regions, if any of these suspects is of one."""
    return [REGION] if any(item.region for item in suspects) else []


def _cells(item: SuspectRecord) -> list[str]:
    given, expected = readable(item.given), readable(item.expected)
    return [str(item.task_id), item.question, given, expected, f"{item.quality:.4f}", item.reason]


def _precision(precision: Precision) -> str:
    if precision.share is None or precision.interval is None:
        return "No verdict yet: how often suspects are wrong is not known."
    low, high = precision.interval
    n = precision.n_fixed + precision.n_confirmed
    return (
        f"By {counted(n, 'verdict')}, {share(precision.share)} ({low:.2f}-{high:.2f}) of the suspects were wrong: "
        f"{precision.n_fixed} fixed, {precision.n_confirmed} confirmed."
    )


def _about(name: str, about: QuestionCheck, n_suspects: int) -> Iterator[str]:
    for item in about.not_yet:
        label = item.key.partition("=")[2]
        yield f"{name}{f', {label}' if label else ''}: {item.reason}."
    for key, noise in about.noise.items():
        if noise.n_errors:
            of_all = f"{noise.n_errors} of {counted(noise.n_labels, 'label')}"
            yield f"{key}: confident learning counts some {of_all} as wrong."
        transition, classes = noise.transition, noise.classes
        mistaken = sorted(
            (
                (rate, classes[true], classes[given])
                for given in range(len(classes))
                for true in range(len(classes))
                if given != true and (rate := transition[given][true])
            ),
            reverse=True,
        )
        if mistaken:
            said = ", ".join(f"{true} -> {given} {share(rate)}" for rate, true, given in mistaken[:5])
            yield f"{key}: most often mistaken (true -> given, share of the true ones): {said}."
    n_counted = sum(noise.n_errors for noise in about.noise.values())
    if about.noise and n_counted < n_suspects:
        yield (
            f"{name}: confident learning, which looks at probabilities alone, counts {n_counted or 'none'} as wrong; "
            f"votes, similar tasks or other annotators speak against {counted(n_suspects, 'label')}."
        )
