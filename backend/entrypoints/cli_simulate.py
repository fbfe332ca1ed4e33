"""`prelabel simulate`: what labeling would have cost, measured on data whose labels are known."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from backend.adapters.curve_files import draw_curves, write_curves_csv
from backend.adapters.labeled_files import LabeledData, read_labeled, read_llm_answers
from backend.bootstrap import rules_in
from backend.domain.priorities import Strategy
from backend.domain.rules import Rule
from backend.domain.simulation import SHARES, Band, Cost, Curve, LlmUse, Plan, costs, ratio
from backend.domain.votes import Faults
from backend.entrypoints.cli_settings import read_settings
from backend.errors import BadRequest, ConfigurationError
from backend.ports import Progress as Report
from backend.workflows.simulate import prepare, simulate

MANUAL = "manual"
"""To compare with: random order, no rules, no LLMs."""
out = Console(emoji=False)
err = Console(stderr=True, emoji=False)


def simulate_command(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Labeled tasks: .csv, .tsv, .jsonl, or Label Studio's JSON export.")
    ],
    label: Annotated[str, typer.Option("--label", help="Column with the labels; not used with an export.")] = "label",
    config: Annotated[
        Path | None, typer.Option("--config", metavar="XML", help="Label config; default: the labels that occur.")
    ] = None,
    strategy: Annotated[Strategy, typer.Option("--strategy", help="How the next tasks are chosen.")] = Strategy.AUTO,
    against: Annotated[
        list[str] | None,
        typer.Option("--against", help="A strategy to compare with, or `manual`; may be repeated. Random always is."),
    ] = None,
    rules: Annotated[
        Path | None, typer.Option("--rules", metavar="DIR", help="Folder of labeling functions; default: none.")
    ] = None,
    llm: Annotated[
        Path | None,
        typer.Option(
            "--llm", metavar="FILE", help="Recorded answers, a column for each LLM. A simulation never asks one itself."
        ),
    ] = None,
    llm_share: Annotated[
        float, typer.Option("--llm-share", min=0, max=1, help="Share of the tasks that LLMs are asked about.")
    ] = 1.0,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Runs, each with other held-out tasks.")] = 3,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Labels between two trainings, at least.")] = 10,
    growth: Annotated[
        float, typer.Option("--growth", min=0, max=1, help="The same as a share of the labels so far.")
    ] = 0.15,
    max_labels: Annotated[int | None, typer.Option("--max-labels", min=1, help="End at so many labels.")] = None,
    budget: Annotated[float | None, typer.Option("--budget", min=0, help="End when so many USD are spent.")] = None,
    test_share: Annotated[
        float, typer.Option("--test-share", min=0.05, max=0.95, help="Share of the tasks that is held out.")
    ] = 0.3,
    cost_per_label: Annotated[float, typer.Option("--cost-per-label", min=0, help="USD of a human label.")] = 0.30,
    cost_per_llm_answer: Annotated[
        float, typer.Option("--cost-per-llm-answer", min=0, help="USD of an LLM's answer.")
    ] = 0.001,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where curves.png and curves.csv go.")] = Path(
        "simulation"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Replay labeled data: what accuracy costs with rules, LLMs and a strategy, against random order.

    Nothing is sent anywhere: LLMs take part with recorded answers (--llm).
    """
    labeled = read_labeled(data, label, config)
    answers = {} if llm is None else read_llm_answers(llm, labeled, labeled.questions[0])
    if llm is not None and len(labeled.questions) > 1:
        raise BadRequest("--llm works with one question: give a label config (--config) that has one only.")
    if budget is not None and budget < batch * cost_per_label:
        raise BadRequest(f"--budget {budget:g} doesn't pay for a first batch of {batch} labels: it costs more.")
    found = _rules(rules)
    replayed = prepare(labeled.questions, labeled.data, labeled.answers, found, answers)
    _warn(found, replayed.faults)
    uses = [LlmUse(name, cost_per_llm_answer, llm_share) for name in answers]
    plans = [
        Plan(
            name=name,
            strategy=Strategy.RANDOM if name == MANUAL else Strategy(name),
            manual=name == MANUAL,
            batch=batch,
            growth=growth,
            usd_per_label=cost_per_label,
            max_labels=max_labels,
            budget_usd=budget,
            llms=uses,
        )
        for name in _names(strategy, against or [])
    ]
    _check_folder(folder)
    with _shown() as report:
        curves = simulate(replayed.tasks, plans, seeds=seeds, test_share=test_share, progress=report)
    picture, table = folder / "curves.png", folder / "curves.csv"
    write_curves_csv(table, curves)
    draw_curves(picture, curves, f"{data.name}: {len(replayed.tasks.data)} tasks, {seeds} seeds")
    if as_json:
        _print_json(curves, picture, table)
    else:
        _print_tables(labeled, curves, picture, table)


def _names(strategy: Strategy, against: Sequence[str]) -> list[str]:
    """What is run, the strategy asked for first.

    Raises:
        BadRequest: a name that isn't known.
    """
    known = [*map(str, Strategy), MANUAL]
    unknown = [name for name in against if name not in known]
    if unknown:
        raise BadRequest(f"--against {unknown[0]!r} is not known: choose from {', '.join(known)}.")
    return list(dict.fromkeys([str(strategy), *against, str(Strategy.RANDOM)]))


def _rules(folder: Path | None) -> tuple[Rule, ...]:
    """The labeling functions of a folder; those that can't be used are named."""
    if folder is None:
        return ()
    if not folder.is_dir():
        raise BadRequest(f"--rules {folder} is not a folder.")
    loaded = rules_in(folder, read_settings()).load()
    for name, reason in loaded.set_aside.items():
        _say(err, f"{name} is set aside: {reason}")
    found = loaded.of("")
    if not found:
        raise BadRequest(f"--rules {folder} has no rule that can be used.")
    return found


def _warn(rules: Sequence[Rule], faults: Faults) -> None:
    """What went wrong in the rules, and which can't take part."""
    for name, count in faults.counts.items():
        _say(err, f"{name} failed on {count} tasks: {faults.reasons[name]}")
    late = [rule.name for rule in rules if rule.needs_history]
    if late:
        _say(err, f"Rules that vote by what annotators answered before abstain in a simulation: {', '.join(late)}.")


def _check_folder(folder: Path) -> None:
    """Make the folder now, not after minutes of work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--out {folder} can't be made: {error.strerror}.") from error


@contextmanager
def _shown() -> Iterator[Report]:
    """A progress bar on standard error."""
    bar = Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), console=err, transient=True
    )
    with bar:
        task = bar.add_task("preparing", total=None)

        def report(step: str, done: int, total: int) -> None:
            bar.update(task, description=step, completed=done, total=total)

        yield report


def _print_tables(labeled: LabeledData, curves: Sequence[Curve], picture: Path, table: Path) -> None:
    full = [curve.full for curve in curves]
    questions = ", ".join(f"{item.name} ({len(item.labels)} labels)" for item in labeled.questions)
    _say(out, f"Question: {questions}.")
    _say(
        out,
        f"Full accuracy, with all labels: {sum(full) / len(full):.3f} ({min(full):.3f}-{max(full):.3f} over seeds).",
    )
    shown = Table("plan", "share of full", "labels (lowest-highest)", "USD (lowest-highest)", "random costs")
    found = costs(curves)
    random = {cost.share: cost for cost in found if cost.plan == Strategy.RANDOM}
    for cost in found:
        times = None if cost.plan == Strategy.RANDOM else ratio(cost.usd, random[cost.share].usd)
        shown.add_row(
            Text(cost.plan),
            f"{100 * cost.share:.0f} %",
            _cell(cost.labels, ".0f"),
            _cell(cost.usd, ".2f"),
            "" if times is None else f"{times:.2f} times as much",
        )
    out.print(shown)
    for sentence in never_reached(found):
        _say(out, sentence)
    _say(out, f"Curves: {picture} and {table}.")


def never_reached(found: Sequence[Cost]) -> list[str]:
    """A sentence for each plan that didn't get there in all its runs."""
    sentences = []
    for plan in dict.fromkeys(cost.plan for cost in found):
        missed = [
            f"{100 * cost.share:.0f} % in {band.n_runs - band.n_reached} of {band.n_runs} runs"
            for cost in found
            if cost.plan == plan and (band := cost.labels).n_reached < band.n_runs
        ]
        if missed:
            sentences.append(f"{plan} never reached {', '.join(missed)} within the labels and money it had.")
    return sentences


def _cell(band: Band, form: str) -> str:
    """A median with its band."""
    middle, low, high = (
        "never" if value is None else format(value, form) for value in (band.middle, band.low, band.high)
    )
    return f"{middle} ({low}-{high})" if band.n_runs > 1 and band.low is not None else middle


def _print_json(curves: Sequence[Curve], picture: Path, table: Path) -> None:
    found: Mapping[str, object] = {
        "shares": list(SHARES),
        "costs": [asdict(cost) for cost in costs(curves)],
        "curves": [asdict(curve) for curve in curves],
        "files": [str(picture), str(table)],
    }
    _say(out, json.dumps(found, indent=1, ensure_ascii=False))


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)
