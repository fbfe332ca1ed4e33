"""What `prelabel check` says of annotators, and of what they agree on: for those who run Prelabel, for nobody else."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from backend.adapters.data_files.csv import write_csv
from backend.domain.codec import Json, JsonObject, to_json
from backend.domain.reports.check import CheckReport, LabelingFigures
from backend.domain.words import counted, share
from backend.entrypoints.console import Grid, say
from backend.ports import SuspectRecord
from backend.workflows.check.annotators import overall
from backend.workflows.check.suspects import Checked

COLUMNS = ("annotator", "question", "labels", "shared", "quality", "measured on", "expected wrong")


def print_annotators(report: CheckReport, names: Mapping[int, str]) -> None:
    """A table of annotators, the best first, and how often those agree who labeled the same tasks."""
    table = Grid(*COLUMNS)
    for item in overall(report.questions):
        for question, about in item.questions.items():
            cells = [_named(item.id, names), question, str(about.n_labels), str(about.n_shared)]
            table.row(*cells, _quality(about), about.measured_on or "", _share_if_known(about.expected_wrong))
    table.show()
    for question, check in report.questions.items():
        said = check.consensus
        if said is not None and said.n_shared:
            disputed = f"; marked in several ways: {counted(said.n_disputed, 'place')}" if said.n_disputed else ""
            say(
                f"{question}: of {said.n_shared} tasks that several people labeled, they agree on {said.n_agree}"
                f"{disputed}."
            )


def checked_json(found: Checked, top: int, names: Mapping[int, str]) -> JsonObject:
    """All that is known after a check, for JSON: the worst suspects, precision, annotators, data issues, and figures by
    question.

    Of annotators it has what Label Studio shows: the e-mail address, or the id of a user who is gone.
    """
    report = found.report
    rest: JsonObject = to_json(replace(report, questions={})) if report.has_ended else {}
    questions: dict[str, Json] = {
        name: {key: value for key, value in to_json(about).items() if key != "annotators"}
        for name, about in report.questions.items()
    }
    return {
        **rest,
        "n_suspects": len(found.suspects),
        "suspects": [_suspect(item) for item in found.suspects[:top]],
        "precision": to_json(found.precision),
        "annotators": [{"annotator": _named(item.id, names)} | to_json(item) for item in overall(report.questions)],
        "questions": questions,
    }


def export_consensus(path: Path, report: CheckReport) -> None:
    """Write what several annotators of a task agree on as CSV: one row for each such task and question.

    Raises:
        ConfigurationError: the file can't be written.
    """
    write_csv(path, ["task", "question", "consensus", "quality", "labels"], _consensus(report))


def _consensus(report: CheckReport) -> Iterator[tuple[object, ...]]:
    for question, about in report.questions.items():
        said = about.consensus
        if said is not None:
            columns = (said.tasks, said.answers, said.quality, said.n_labels)
            for task_id, answer, quality, n_labels in zip(*columns, strict=True):
                yield task_id, question, ", ".join(answer), f"{quality:.4f}", n_labels


def _suspect(item: SuspectRecord) -> JsonObject:
    region: dict[str, Json] = {"region": item.region} if item.region else {}
    return region | {
        "task": item.task_id,
        "question": item.question,
        "given": list(item.given),
        "expected": list(item.expected),
        "quality": item.quality,
        "status": item.status.value,
        "reason": item.reason,
    }


def _named(who: int | None, names: Mapping[int, str]) -> str:
    return "unknown" if who is None else names.get(who, str(who))


def _quality(about: LabelingFigures) -> str:
    overlapping = "" if about.overlapping is None else f" ({share(about.overlapping)} overlapping)"
    return _share_if_known(about.quality) + overlapping


def _share_if_known(value: float | None) -> str:
    return "" if value is None else share(value)
