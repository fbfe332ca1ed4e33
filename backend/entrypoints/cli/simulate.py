"""`prelabel simulate`: what labeling would have cost, measured on data whose labels are known."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from backend.adapters.data_files.curves import draw_curves, write_curves_csv
from backend.adapters.data_files.labeled import LabeledData, read_labeled, read_llm_answers
from backend.adapters.data_files.marked import read_marked
from backend.bootstrap import rules_in
from backend.domain.rules import Rule
from backend.domain.simulation.curves import SHARES, Band, Cost, costs, finals, ratio
from backend.domain.simulation.marking import MarkedTexts
from backend.domain.simulation.records import Curve, MarkedData
from backend.domain.votes import RuleFaults
from backend.domain.words import counted
from backend.entrypoints.cli.settings import read_settings
from backend.entrypoints.cli.simulate_plans import Options
from backend.entrypoints.console import Grid, complain, progress_bar, say, say_json
from backend.errors import BadRequest, ConfigurationError
from backend.workflows.simulate import prepare, simulate
from backend.workflows.simulate_marking import prepare_texts, simulate_texts


def run(options: Options) -> None:
    """Read the files, replay, and write and print what came out.

    Raises:
        BadRequest: what was typed can't be simulated, or a file or its labels can't be used.
        ConfigurationError: the files can't be written.
    """
    options.check()
    marked = read_marked(options.data, options.label, options.config)
    if marked is not None:
        _run_marking(options, marked)
        return
    labeled = read_labeled(options.data, options.label, options.config)
    answers = {} if options.llm is None else read_llm_answers(options.llm, labeled, labeled.questions[0])
    if options.llm is not None and len(labeled.questions) > 1:
        raise BadRequest("--llm works with one question: give a label config (--config) that has one only.")
    found = _rules(options.rules)
    replayed = prepare(labeled.questions, labeled.data, labeled.answers, found, answers)
    notes = [*labeled.notes, *replayed.notes]
    # In JSON they are a part of it.
    for note in () if options.as_json else notes:
        complain(note)
    _warn(found, replayed.faults)
    _check_folder(options.folder)
    plans = list(options.plans(list(answers)))
    with progress_bar("preparing") as report:
        curves = simulate(replayed.tasks, plans, seeds=options.seeds, test_share=options.test_share, progress=report)
    picture, table = options.folder / "curves.png", options.folder / "curves.csv"
    write_curves_csv(table, curves)
    draw_curves(
        picture,
        curves,
        f"{options.data.name}: {counted(len(replayed.tasks.data), 'task')}, {counted(options.seeds, 'seed')}",
    )
    if options.as_json:
        _print_json(curves, notes, picture, table)
    else:
        _print_tables(labeled, curves, options.baseline, picture, table)
        _say_worth(curves, replayed.guessed)


def _run_marking(options: Options, marked: MarkedData) -> None:
    """The same for texts with spans."""
    if options.llm is not None or options.label_noise or options.after_finding is not None:
        raise BadRequest("--llm, --label-noise and --after-finding don't work with spans yet: leave them out.")
    found = _rules(options.rules)
    texts, faults = prepare_texts(marked, found)
    for note in () if options.as_json else marked.notes:
        complain(note)
    _warn(found, faults)
    _check_folder(options.folder)
    plans = list(options.plans([]))
    with progress_bar("preparing") as report:
        curves = simulate_texts(texts, plans, seeds=options.seeds, test_share=options.test_share, progress=report)
    picture, table = options.folder / "curves.png", options.folder / "curves.csv"
    write_curves_csv(table, curves)
    title = f"{options.data.name}: {counted(len(texts.data), 'text')}, {counted(options.seeds, 'seed')}"
    draw_curves(picture, curves, title)
    if options.as_json:
        _print_json(curves, marked.notes, picture, table)
    else:
        _print_marking(texts, curves, options.baseline, picture, table)


def _rules(folder: Path | None) -> tuple[Rule, ...]:
    """The labeling functions of a folder; those that can't be used are named."""
    if folder is None:
        return ()
    if not folder.is_dir():
        raise BadRequest(f"--rules {folder} is not a folder.")
    loaded = rules_in(folder, read_settings()).load()
    for name, reason in loaded.set_aside.items():
        complain(f"{name} is set aside: {reason}")
    found = loaded.of("")
    if not found:
        raise BadRequest(f"--rules {folder} has no rule that can be used.")
    return found


def _warn(rules: Sequence[Rule], faults: RuleFaults) -> None:
    """What went wrong in the rules, and which can't take part."""
    for name, count in faults.counts.items():
        complain(f"{name} failed on {counted(count, 'task')}: {faults.reasons[name]}")
    late = [rule.name for rule in rules if rule.needs_history]
    if late:
        complain(f"Rules that vote by what annotators answered before abstain in a simulation: {', '.join(late)}.")


def _check_folder(folder: Path) -> None:
    """Make the folder now, not after minutes of work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--out {folder} can't be made: {error.strerror}.") from error


def _print_tables(labeled: LabeledData, curves: Sequence[Curve], baseline: str, picture: Path, table: Path) -> None:
    full = [curve.full for curve in curves]
    questions = ", ".join(f"{item.name} ({counted(len(item.labels), 'label')})" for item in labeled.questions)
    say(f"Question: {questions}.")
    if any(full):
        mean = sum(full) / len(full)
        say(f"Full accuracy, with all labels: {mean:.3f} ({min(full):.3f}-{max(full):.3f} over seeds).")
    shown = Grid("plan", "share of full", "labels (lowest-highest)", "USD (lowest-highest)", f"{baseline} costs")
    found = costs(curves)
    others = {cost.share: cost for cost in found if cost.plan == baseline}
    for cost in found:
        times = None if cost.plan == baseline else ratio(cost.usd, others[cost.share].usd)
        shown.row(
            cost.plan,
            f"{100 * cost.share:.0f} %",
            _cell(cost.labels, ".0f"),
            _cell(cost.usd, ".2f"),
            "" if times is None else f"{times:.2f} times as much",
        )
    shown.show()
    for final in finals(curves):
        again = f", {_cell(final.again, '.0f')} of them given again" if final.again.high else ""
        labels = f"{_cell(final.labels, '.0f')} labels{again}"
        say(f"{final.plan} ends at an accuracy of {_cell(final.accuracy, '.3f')} with {labels}.")
    for sentence in never_reached(found):
        say(sentence)
    say(f"Curves: {picture} and {table}.")


def _print_marking(texts: MarkedTexts, curves: Sequence[Curve], baseline: str, picture: Path, table: Path) -> None:
    question, full = texts.question, [curve.full for curve in curves]
    n_spans = sum(len(spans or ()) for spans in texts.gold)
    said = (
        f"{counted(len(texts.data), 'text')}, {counted(int(texts.n_tokens.sum()), 'token')}, {counted(n_spans, 'span')}"
    )
    say(f"Question: {question.name} ({counted(len(question.labels), 'label')}; {said}).")
    mean = sum(full) / len(full)
    say(f"Full F1 of exact spans, with all labels: {mean:.3f} ({min(full):.3f}-{max(full):.3f} over seeds).")
    names = ("plan", "share of full", "texts (lowest-highest)", "tokens (lowest-highest)", f"{baseline} reads")
    shown = Grid(*names)
    found = costs(curves)
    others = {cost.share: cost.tokens for cost in found if cost.plan == baseline}
    for cost in found:
        times = None if cost.plan == baseline else ratio(cost.tokens, others[cost.share])
        shown.row(
            cost.plan,
            f"{100 * cost.share:.0f} %",
            _cell(cost.labels, ".0f"),
            _cell(cost.tokens, ",.0f"),
            "" if times is None else f"{times:.2f} times as much",
        )
    shown.show()
    for final in finals(curves):
        say(f"{final.plan} ends at an F1 of {_cell(final.accuracy, '.3f')} with {_cell(final.labels, '.0f')} texts.")
    for sentence in never_reached(found):
        say(sentence)
    say(f"Curves: {picture} and {table}.")


def never_reached(found: Sequence[Cost]) -> list[str]:
    """A sentence for each plan that didn't get there in all its runs."""
    sentences = []
    for plan in dict.fromkeys(cost.plan for cost in found):
        missed = [
            f"{100 * cost.share:.0f} % in {band.n_runs - band.n_reached} of {counted(band.n_runs, 'run')}"
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


def _say_worth(curves: Sequence[Curve], guessed: float) -> None:
    """Warn where full accuracy is none, so that a share of it means nothing."""
    full = [curve.full for curve in curves]
    if not all(full):
        n = sum(not accuracy for accuracy in full)
        say(f"With all labels nothing is right in {n} of {len(full)} runs: no share of that can be reached.")
    elif sum(full) / len(full) <= guessed:
        say(
            f"Always answering the most frequent label is right on {guessed:.3f} of the tasks, and all labels together "
            "teach no more than that: the shares say little.",
        )


def _print_json(curves: Sequence[Curve], notes: Sequence[str], picture: Path, table: Path) -> None:
    found: dict[str, object] = {
        "shares": list(SHARES),
        "costs": [asdict(cost) for cost in costs(curves)],
        "finals": [asdict(final) for final in finals(curves)],
        "curves": [asdict(curve) for curve in curves],
        "notes": list(notes),
        "files": [str(picture), str(table)],
    }
    say_json(found)
