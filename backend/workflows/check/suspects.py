"""Suspects: what the last search for wrong labels found, and how often such searches were right."""

from dataclasses import dataclass

from backend.domain.label_errors.verdicts import Precision
from backend.domain.reports.check import CheckReport
from backend.ports import Deps, SuspectRecord
from backend.workflows.check.verdicts import UNDECIDED, measured_precision


@dataclass(frozen=True, slots=True)
class Checked:
    """What `prelabel check` says. suspects: without a verdict, the worst first. report: see `Database.check_report`."""

    suspects: tuple[SuspectRecord, ...]
    precision: Precision
    report: CheckReport


def checked(deps: Deps, key: str) -> Checked:
    """Read what is known; nothing is computed anew, and Label Studio isn't asked."""
    undecided = [item for item in deps.database.suspects(key) if item.status in UNDECIDED]
    return Checked(
        tuple(sorted(undecided, key=lambda item: (item.quality, item.task_id, item.question, item.region))),
        measured_precision(deps.database.verdicts(key)),
        deps.database.check_report(key),
    )
