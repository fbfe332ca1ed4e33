"""`prelabel llm`: what asking an LLM would cost, what it answered, and how often it is right."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from backend.domain.llm.records import UNREAD
from backend.domain.words import counted, share
from backend.entrypoints.console import Grid, say, say_json
from backend.ports.llm import LlmPolicy, SourceRecord, Spending
from backend.workflows.llm.estimate import Estimate
from backend.workflows.llm.requests import HOW_AGAIN


def estimates_table(estimates: Sequence[Estimate], spending: Spending, policy: LlmPolicy) -> None:
    """A line for each policy and model, then what the budget still allows."""
    table = Grid("policy", "model", "tasks", "requests", "input tokens", "output tokens", "USD", "time")
    for item in estimates:
        most = "up to " if item.at_most else ""
        table.row(
            item.policy.value,
            item.model,
            f"{most}{item.tasks}",
            f"{most}{item.requests}",
            f"{item.input_tokens:,}",
            f"{item.output_tokens:,}",
            f"{most}{item.usd:.4f}",
            _duration(item.seconds),
        )
    table.show()
    say(_about_money(spending, policy))


def report_tables(records: Sequence[SourceRecord], spending: Spending, policy: LlmPolicy, notes: Sequence[str]) -> None:
    """Each source: how far people agree with it, whether its votes count, and what it cost."""
    asked = [record for record in records if record.report.get("n_answers")]
    for record in sorted(asked, key=lambda item: (not item.current, item.source.question, item.source.name)):
        _print_source(record, policy)
    if not asked:
        say("No LLM has answered yet.")
    if any(problem in UNREAD for record in asked if record.current for problem in record.report.get("problems", {})):
        say(f"Answers that can't be read: {HOW_AGAIN}.")
    for note in notes:
        say(note)
    say(_about_money(spending, policy))


def report_json(records: Sequence[SourceRecord], spending: Spending, policy: LlmPolicy, notes: Sequence[str]) -> None:
    """The same for scripts."""
    sources = [
        {"name": item.source.name, **asdict(item.source), "current": item.current, "trusted": item.trusted}
        | {"report": dict(item.report), "prompt_text": item.text}
        for item in records
    ]
    money = asdict(spending) | {"budget": policy.budget_usd}
    say_json({"sources": sources, "usd": money, "notes": list(notes)})


def estimates_json(estimates: Sequence[Estimate], spending: Spending, policy: LlmPolicy) -> None:
    """Estimates for scripts."""
    money = asdict(spending) | {"budget": policy.budget_usd}
    say_json({"estimates": [asdict(item) for item in estimates], "usd": money})


def _print_source(record: SourceRecord, policy: LlmPolicy) -> None:
    report = record.report
    source = record.source
    shown = counted(source.examples, "example") if source.examples else "no examples"
    title = f"{source.name} on {source.question} ({shown})"
    say(title if record.current else f"{title}, an earlier prompt")
    say(f"  {_verdict(record, policy)}")
    say(
        f"  {counted(report.get('n_answers', 0), 'answer')}, {counted(report.get('n_abstained', 0), 'abstention')}"
        + "".join(f", {count} {name}" for name, count in report.get("problems", {}).items())
        + f"; {report.get('usd', 0.0):.4f} USD",
    )
    if report.get("agreement") is not None:
        low, high = report["agreement_interval"]
        kappa_low, kappa_high = report["kappa_interval"]
        say(
            f"  agreement {share(report['agreement'], '.3f')} ({low:.3f}-{high:.3f}), kappa {report['kappa']:.3f} "
            f"({kappa_low:.3f}-{kappa_high:.3f}) on {counted(report['n_compared'], 'task')} of the sample that people "
            "labeled",
        )
        _print_labels(report["labels"])
    if report.get("reliability"):
        bins = "; ".join(
            f"{item['confidence']:.2f} -> {item['right']:.2f} of {item['n']}" for item in report["reliability"]
        )
        say(f"  says -> is right: {bins}")
        say(
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


def _print_labels(labels: Mapping[str, Mapping[str, Any]]) -> None:
    table = Grid("label", "precision (95 %)", "recall (95 %)")
    for label, figures in labels.items():
        table.row(label, *(_share(figures, name) for name in ("precision", "recall")))
    table.show()


def _share(figures: Mapping[str, Any], name: str) -> str:
    if figures.get(name) is None:
        return "-"
    low, high = figures[f"{name}_interval"]
    return f"{share(figures[name])} ({low:.2f}-{high:.2f}) of {figures[f'n_{name}']}"


def _about_money(spending: Spending, policy: LlmPolicy) -> str:
    parts = [f"{spending.spent:.4f} USD spent"]
    parts += [f"{spending.held:.4f} reserved by requests under way"] if spending.held else []
    parts += [f"{spending.unknown:.4f} reserved by workers that died, counted as spent"] if spending.unknown else []
    return f"{', '.join(parts)}; budget {policy.budget_usd:.2f} USD (LLM_BUDGET_USD)."


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
