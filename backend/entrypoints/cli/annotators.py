"""What `prelabel check` says of annotators, and of what they agree on: for those who run Prelabel, for nobody else."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backend.adapters.data_files.csv import write_csv
from backend.domain.words import share
from backend.entrypoints.console import Grid, say
from backend.ports import SuspectRecord
from backend.workflows.check.annotators import overall
from backend.workflows.check.suspects import Checked

COLUMNS = ("annotator", "question", "labels", "shared", "quality", "measured on", "expected wrong")


def annotators_of(report: Mapping[str, Any], names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Annotators over all questions, the best first, with what Label Studio shows of each: the e-mail address, or the
    id of a user who is gone."""
    found = overall(report.get("questions", {}))
    return [{"annotator": _named(item["id"], names)} | item for item in found]


def print_annotators(report: Mapping[str, Any], names: Mapping[int, str]) -> None:
    """A table of annotators, the best first, and how often those agree who labeled the same tasks."""
    table = Grid(*COLUMNS)
    for item in annotators_of(report, names):
        for question, about in item["questions"].items():
            cells = [item["annotator"], question, str(about["n_labels"]), str(about["n_shared"])]
            cells += [_share(about["quality"]), about["measured_on"] or "", _share(about["expected_wrong"])]
            table.row(*cells)
    table.show()
    for question, about in report.get("questions", {}).items():
        said = about.get("consensus", {})
        if said.get("n_shared"):
            say(
                f"{question}: of {said['n_shared']} tasks that several people labeled, they agree on {said['n_agree']}."
            )


def checked_json(found: Checked, top: int, names: Mapping[int, str]) -> dict[str, Any]:
    """All that is known after a check, for JSON: the worst suspects, precision, annotators, data issues, and figures by
    question."""
    questions = {
        name: {key: value for key, value in about.items() if key != "annotators"}
        for name, about in found.report.get("questions", {}).items()
    }
    rest = {key: about for key, about in found.report.items() if key != "questions"}
    return rest | {
        "n_suspects": len(found.suspects),
        "suspects": [_suspect(item) for item in found.suspects[:top]],
        "precision": asdict(found.precision),
        "annotators": annotators_of(found.report, names),
        "questions": questions,
    }


def export_consensus(path: Path, report: Mapping[str, Any]) -> None:
    """Write what several annotators of a task agree on as CSV: one row for each such task and question.

    Raises:
        ConfigurationError: the file can't be written.
    """
    write_csv(path, ["task", "question", "consensus", "quality", "labels"], _consensus(report))


def _consensus(report: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for question, about in report.get("questions", {}).items():
        said = about.get("consensus")
        if said:
            columns = (said["tasks"], said["answers"], said["quality"], said["n_labels"])
            for task_id, answer, quality, n_labels in zip(*columns, strict=True):
                yield task_id, question, ", ".join(answer), f"{quality:.4f}", n_labels


def _suspect(item: SuspectRecord) -> dict[str, Any]:
    return {
        "task": item.task_id,
        "question": item.question,
        "given": list(item.given),
        "expected": list(item.expected),
        "quality": item.quality,
        "status": item.status.value,
        "reason": item.reason,
    } | ({"region": item.region} if item.region else {})


def _named(who: int | None, names: Mapping[int, str]) -> str:
    return "unknown" if who is None else names.get(who, str(who))


def _share(value: float | None) -> str:
    return "" if value is None else share(value)
