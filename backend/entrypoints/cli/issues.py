"""The part of `prelabel check` on data issues: near-duplicates, outliers, odd texts, rare classes."""

from collections.abc import Iterator
from pathlib import Path

from backend.adapters.data_files.csv import write_csv
from backend.domain.reports.check import CheckReport, DataIssues
from backend.domain.words import counted, share
from backend.entrypoints.console import Grid, say
from backend.workflows.check.data_issues import DATA_TAB, tag_of

COLUMNS = ("task", "issue", "like", "score")
SHOWN = 10
"""Issues in the table; a file has all that the report names."""


def print_issues(report: CheckReport) -> None:
    """How many tasks have which issue, those worth looking at first, and rare classes. `report`: of a check."""
    listed = report.data_issues.listed
    if listed:
        table = Grid("task", "data issue")
        for item in listed[:SHOWN]:
            table.row(str(item.task), tag_of(item))
        table.show()
    for sentence in issue_sentences(report.data_issues):
        say(sentence)


def issue_sentences(issues: DataIssues) -> Iterator[str]:
    """What the table doesn't say; nothing for reports of before data issues were looked for."""
    if issues.counts:
        said = ", ".join(f"{kind} {n}" for kind, n in sorted(issues.counts.items(), key=lambda entry: -entry[1]))
        yield f"Tasks with data issues: {said}. The first ones are in the tab '{DATA_TAB.title}'."
    for item in issues.rare:
        of_all = f"{share(item.share, '.1%')} of the labels"
        yield f"{item.question}: {item.label} is rare: {counted(item.n_labels, 'label')}, {of_all}."


def export_issues(path: Path, report: CheckReport) -> None:
    """Write the issues that the report names as CSV, those worth looking at first in front.

    Raises:
        ConfigurationError: the file can't be written.
    """
    listed = report.data_issues.listed
    rows = ([item.task, item.kind.value, " ".join(map(str, item.others)), item.score] for item in listed)
    write_csv(path, COLUMNS, rows)
