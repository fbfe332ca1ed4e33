"""Arguments and options of `prelabel simulate`."""

from pathlib import Path
from typing import Annotated

import typer

from backend.domain.priorities.strategy import Strategy

Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="Labeled tasks: .csv, .tsv, .jsonl, or Label Studio's JSON export.")
]
Label = Annotated[str, typer.Option("--label", help="Column with the labels; not used with an export.")]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="XML", help="Label config; default: the labels that occur.")
]
How = Annotated[Strategy, typer.Option("--strategy", help="How the next tasks are chosen.")]
Against = Annotated[
    list[str] | None,
    typer.Option("--against", help="A strategy to compare with, or `manual`; may be repeated. Random always is."),
]
Noise = Annotated[
    float, typer.Option("--label-noise", min=0, max=0.5, help="Share of the tasks about which annotators are wrong.")
]
After = Annotated[
    str | None,
    typer.Option(
        "--after-finding",
        metavar="WHAT,...",
        help="Compare what is done with probably wrong labels: relabel, exclude, downweight. Nothing always is.",
    ),
]
Rules = Annotated[
    Path | None, typer.Option("--rules", metavar="DIR", help="Folder of labeling functions; default: none.")
]
Llm = Annotated[
    Path | None,
    typer.Option(
        "--llm", metavar="FILE", help="Recorded answers, a column for each LLM. A simulation never asks one itself."
    ),
]
LlmShare = Annotated[
    float, typer.Option("--llm-share", min=0, max=1, help="Share of the tasks that LLMs are asked about.")
]
Seeds = Annotated[int, typer.Option("--seeds", min=1, max=100, help="Runs, each with other held-out tasks.")]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Labels between two trainings, at least.")]
Growth = Annotated[float, typer.Option("--growth", min=0, max=1, help="The same as a share of the labels so far.")]
MaxLabels = Annotated[int | None, typer.Option("--max-labels", min=1, help="End at so many labels.")]
Budget = Annotated[float | None, typer.Option("--budget", min=0, help="End when so many USD are spent.")]
TestShare = Annotated[
    float, typer.Option("--test-share", min=0.05, max=0.95, help="Share of the tasks that is held out.")
]
CostPerLabel = Annotated[float, typer.Option("--cost-per-label", min=0, help="USD of a human label.")]
CostPerLlmAnswer = Annotated[float, typer.Option("--cost-per-llm-answer", min=0, help="USD of an LLM's answer.")]
Folder = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where curves.png and curves.csv go.")]
