"""`prelabel llm`: what asking an LLM would cost, what it answered, and how often it is right."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backend.ports.llm import LlmPolicy, SourceRecord, Spending
from backend.workflows.llm.estimate import Estimate


def estimates_table(out: Console, estimates: Sequence[Estimate], spending: Spending, policy: LlmPolicy) -> None:
    """A line for each policy and model, then what the budget still allows."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("policy", "model", "tasks", "requests", "input tokens", "output tokens", "USD", "time"):
        table.add_column(heading, overflow="fold")
    for item in estimates:
        most = "up to " if item.at_most else ""
        table.add_row(
            item.policy.value,
            Text(item.model),
            f"{most}{item.tasks}",
            f"{most}{item.requests}",
            f"{item.input_tokens:,}",
            f"{item.output_tokens:,}",
            f"{most}{item.usd:.4f}",
            _duration(item.seconds),
        )
    out.print(table)
    _say(out, _about_money(spending, policy))


def report_tables(
    out: Console, records: Sequence[SourceRecord], spending: Spending, policy: LlmPolicy, notes: Sequence[str]
) -> None:
    """Each source: how far people agree with it, whether its votes count, and what it cost."""
    asked = [record for record in records if record.report.get("n_answers")]
    for record in sorted(asked, key=lambda item: (not item.current, item.source.question, item.source.name)):
        _print_source(out, record, policy)
    if not asked:
        _say(out, "No LLM has answered yet.")
    for note in notes:
        _say(out, note)
    _say(out, _about_money(spending, policy))


def report_json(
    out: Console, records: Sequence[SourceRecord], spending: Spending, policy: LlmPolicy, notes: Sequence[str]
) -> None:
    """The same for scripts."""
    sources = [
        {"name": item.source.name, **asdict(item.source), "current": item.current, "trusted": item.trusted}
        | {"report": dict(item.report), "prompt_text": item.text}
        for item in records
    ]
    money = asdict(spending) | {"budget": policy.budget_usd}
    _say(out, json.dumps({"sources": sources, "usd": money, "notes": list(notes)}, indent=1, ensure_ascii=False))


def estimates_json(out: Console, estimates: Sequence[Estimate], spending: Spending, policy: LlmPolicy) -> None:
    """Estimates for scripts."""
    money = asdict(spending) | {"budget": policy.budget_usd}
    _say(out, json.dumps({"estimates": [asdict(item) for item in estimates], "usd": money}, indent=1))


def _print_source(out: Console, record: SourceRecord, policy: LlmPolicy) -> None:
    report = record.report
    source = record.source
    shown = f"{source.examples} examples" if source.examples else "no examples"
    title = f"{source.name} on {source.question} ({shown})"
    _say(out, title if record.current else f"{title}, an earlier prompt")
    _say(out, f"  {_verdict(record, policy)}")
    _say(
        out,
        f"  {report.get('n_answers', 0)} answers, {report.get('n_abstained', 0)} abstentions"
        + "".join(f", {count} {name}" for name, count in report.get("problems", {}).items())
        + f"; {report.get('usd', 0.0):.4f} USD",
    )
    if report.get("agreement") is not None:
        low, high = report["agreement_interval"]
        kappa_low, kappa_high = report["kappa_interval"]
        _say(
            out,
            f"  agreement {report['agreement']:.3f} ({low:.3f}-{high:.3f}), kappa {report['kappa']:.3f} "
            f"({kappa_low:.3f}-{kappa_high:.3f}) on {report['n_compared']} tasks of the sample that people labeled",
        )
        _print_labels(out, report["labels"])
    if report.get("reliability"):
        bins = "; ".join(
            f"{item['confidence']:.2f} -> {item['right']:.2f} of {item['n']}" for item in report["reliability"]
        )
        _say(out, f"  says -> is right: {bins}")
        _say(
            out,
            f"  calibration error {report['calibration_error']:.3f}, calibrated ({report['calibration']}) "
            f"{report['calibrated_error']:.3f}",
        )


def _verdict(record: SourceRecord, policy: LlmPolicy) -> str:
    if record.trusted:
        return "passed the validation gate: its votes count"
    if not record.current:
        return "on record, not asked any more: its votes don't count"
    return (
        f"hasn't passed the validation gate (kappa {policy.gate_kappa:.2f} on 50 tasks or more): its votes are "
        "recorded and don't count"
    )


def _print_labels(out: Console, labels: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("label", "precision (95 %)", "recall (95 %)"):
        table.add_column(heading, overflow="fold")
    for label, figures in labels.items():
        table.add_row(Text(label), *(_share(figures, name) for name in ("precision", "recall")))
    out.print(table)


def _share(figures: Mapping[str, Any], name: str) -> str:
    if figures.get(name) is None:
        return "-"
    low, high = figures[f"{name}_interval"]
    return f"{figures[name]:.2f} ({low:.2f}-{high:.2f}) of {figures[f'n_{name}']}"


def _about_money(spending: Spending, policy: LlmPolicy) -> str:
    parts = [f"{spending.spent:.4f} USD spent"]
    parts += [f"{spending.held:.4f} reserved by requests under way"] if spending.held else []
    parts += [f"{spending.unknown:.4f} reserved by workers that died, counted as spent"] if spending.unknown else []
    return f"{', '.join(parts)}; budget {policy.budget_usd:.2f} USD (LLM_BUDGET_USD)."


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _say(out: Console, text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)
