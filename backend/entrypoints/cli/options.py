"""Arguments and options of commands."""

from pathlib import Path
from typing import Annotated

import typer

LARGEST_ID = 2**31 - 1
"""Label Studio's ids are SQL's integers."""

AsJson = Annotated[bool, typer.Option("--json", help="For scripts.")]
ProjectId = Annotated[
    int,
    typer.Argument(metavar="PROJECT", min=1, max=LARGEST_ID, help="Label Studio's project id, as in /projects/<id>."),
]
AnyProject = Annotated[
    int | None, typer.Argument(metavar="[PROJECT]", min=1, max=LARGEST_ID, help="Also look at this project.")
]
Version = Annotated[str | None, typer.Argument(metavar="[VERSION]", help="The version to go back to, as v3.")]
BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup, for example prelabel.zip.")]
Release = Annotated[bool, typer.Option("--release", help="Let automatic trainings go on.")]
Take = Annotated[
    list[str] | None, typer.Option("--take", metavar="NAME", help="Take this proposed rule over; may be repeated.")
]

# Of `prelabel labels`.
Rename = Annotated[
    str | None,
    typer.Option("--rename", metavar="OLD=NEW", help="Answers with the label OLD, which is gone, count as NEW."),
]
UndoRename = Annotated[
    str | None, typer.Option("--undo-rename", metavar="OLD", help="Answers with OLD count as what they say again.")
]
OfQuestion = Annotated[
    str | None, typer.Option("--question", metavar="NAME", help="Where several questions have the label.")
]

# Of `prelabel check`.
Tasks = Annotated[list[int] | None, typer.Argument(metavar="[TASKS]", min=1, max=LARGEST_ID, help="With --keep only.")]
Top = Annotated[int, typer.Option("--top", min=0, help="List so many suspects, the worst ones.")]
Export = Annotated[Path | None, typer.Option("--export", metavar="FILE.csv", help="Write all suspects to this file.")]
Consensus = Annotated[
    Path | None, typer.Option("--consensus", metavar="FILE.csv", help="Write what annotators of a task agree on.")
]
Annotators = Annotated[bool, typer.Option("--annotators", help="Say how good each annotator is, by name.")]
ExportIssues = Annotated[
    Path | None, typer.Option("--export-issues", metavar="FILE.csv", help="Write data issues to this file.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the check, and show what it found.")]
Keep = Annotated[bool, typer.Option("--keep", help="The labels of these TASKS are right: confirm them.")]
AdoptTags = Annotated[
    bool, typer.Option("--adopt-tags", help="Take tags that somebody else wrote for ours: they are overwritten.")
]
