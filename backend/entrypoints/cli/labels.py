"""`prelabel labels`: since when each label is known, how many answers have it, and renames."""

from dataclasses import asdict

from backend.domain.outside import one_line
from backend.domain.words import counted
from backend.entrypoints.cli import installation
from backend.entrypoints.console import Grid, say, say_json
from backend.errors import BadRequest
from backend.workflows import labels as about_labels
from backend.workflows.labels import LabelLine


def show_labels(project: int, *, as_json: bool) -> None:
    """Print all labels of a project."""
    app = installation.looked_at()
    print_labels(project, about_labels.lines(app.deps, installation.key_of(app, project)), as_json=as_json)


def rename_label(project: int, renaming: str, question: str | None) -> None:
    """Let an old label count as one of today.

    Raises:
        BadRequest: it isn't written as OLD=NEW, or can't be renamed.
    """
    old, _, new = renaming.partition("=")
    if not old or not new:
        raise BadRequest(f"{one_line(renaming)!r} is no renaming: write OLD=NEW, as in --rename Bad=Negative.")
    app = installation.looked_at()
    n_tasks = about_labels.rename(app.deps, installation.key_of(app, project), question, old, new)
    say(
        f"{counted(n_tasks, 'task')} labeled {one_line(old)} count as {one_line(new)} from the next training on. "
        f"To undo it: `prelabel labels {project} --undo-rename {one_line(old)}`."
    )


def undo_renaming(project: int, old: str, question: str | None) -> None:
    """Let an old label count as what it says again."""
    app = installation.looked_at()
    about_labels.undo_rename(app.deps, installation.key_of(app, project), question, old)
    say(f"Answers with {one_line(old)} say {one_line(old)} again from the next training on.")


def print_labels(project: int, lines: list[LabelLine], *, as_json: bool) -> None:
    """A table, then what to do about labels that only answers have."""
    if as_json:
        say_json([asdict(line) for line in lines])
        return
    table = Grid("question", "label", "known since", "tasks", "note", names=("label",))
    for line in lines:
        note = "" if line.known else "not in the label config: teaches nothing"
        if line.renamed_from:
            note = f"with {', '.join(line.renamed_from)}, renamed"
        since = line.since or ("the beginning" if line.known else "-")
        table.row(one_line(line.question), one_line(line.label), since, str(line.n_tasks), note)
    table.show()
    gone = [line for line in lines if not line.known]
    if gone:
        say(
            f"If a label has another name now: `prelabel labels {project} --rename {one_line(gone[0].label)}=NEW`. "
            "Else its tasks come back in the tab 'Prelabel: check'."
        )
    if any(line.since for line in lines):
        say("Tasks that were labeled before a label was there, and may be of it, come back in 'Prelabel: check'.")
    say("Labels of spans are left out.")
