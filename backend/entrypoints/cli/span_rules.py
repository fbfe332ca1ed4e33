"""What `prelabel rules` says of rules that mark spans."""

from collections.abc import Sequence
from itertools import groupby

from backend.domain.marking.report import SpanRuleReport, SpansDiff
from backend.domain.words import counted, share
from backend.entrypoints.console import Cell, Grid, say

FIGURES = ("spans", "cover", "overlap", "conflict", "right", "found", "ends off", "trust")


def print_span_rules(rules: Sequence[SpanRuleReport], n_tasks: int, learned_by: str) -> None:
    """A table for each question of spans."""
    for question, of_question in groupby(rules, key=lambda rule: rule.question):
        title = f"{question}: {counted(n_tasks, 'text')}, trusted by {learned_by}"
        table = Grid("rule", *FIGURES, title=title, figures=FIGURES, names=("rule",))
        for rule in of_question:
            table.row(
                _described(rule),
                str(rule.n_spans),
                *(percent(value) for value in (rule.coverage, rule.overlaps, rule.conflicts)),
                _right(rule),
                percent(rule.recall),
                str(rule.n_off) if rule.n_judged else "-",
                percent(rule.trust),
            )
        table.show()


def print_span_diff(diffs: Sequence[SpansDiff]) -> None:
    """What becomes of the spans that the rules' vote marks."""
    for diff in diffs:
        said = "nobody marked spans yet"
        if diff.f1_before is not None and diff.f1_after is not None:
            said = (
                f"of {diff.n_spans} human spans {diff.right_before} -> {diff.right_after} are marked, "
                f"F1 {diff.f1_before:.2f} -> {diff.f1_after:.2f}"
            )
        say(f"{diff.question}: in {diff.suggestions_changed} of {diff.n_tasks} texts the vote changes; {said}.")


def percent(value: float | None) -> str:
    """A share as a percentage, "-" for none."""
    return "-" if value is None else share(value, ".0%")


def _described(rule: SpanRuleReport) -> Cell:
    labels = [f"- {', '.join(rule.labels)}"] if rule.labels else []
    denied = []
    if rule.n_against:
        judged = f", {rule.n_denied_wrongly} of {rule.n_denied} wrongly" if rule.n_denied else ""
        denied = [f"- {rule.n_against} against{judged}"]
    return [(rule.name, "bold"), *labels, *denied, *((f"! {flag}", "yellow") for flag in rule.flags)]


def _right(rule: SpanRuleReport) -> Cell:
    if rule.precision is None or rule.precision_interval is None:
        return "-"
    low, high = rule.precision_interval
    return [f"{percent(rule.precision)} of {rule.n_judged}", f"{100 * low:.0f}-{100 * high:.0f}%"]
