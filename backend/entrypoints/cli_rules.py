"""What `prelabel rules` prints."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from backend.domain.rule_report import RuleReport
from backend.workflows.rules import MistakenTask, RulesDiff, RulesReport

SHOW = "show"


class ShowsByDefault(TyperGroup):
    """A group of commands in which `rules 3 …` means `rules show 3 …`."""

    # Which class the context is of, click's or typer's own copy of it, differs between versions of typer.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command's name before arguments that begin with no command."""
        if args and args[0] not in {*self.commands, "--help"}:
            args = [SHOW, *args]
        return super().parse_args(ctx, args)


def print_report(out: Console, report: RulesReport, *, as_json: bool) -> None:
    """A table for each question, then what went wrong."""
    if as_json:
        _json(out, asdict(report))
        return
    for question, rules in groupby(report.rules, key=lambda rule: rule.question):
        table = _table(f"{question}: {report.n_tasks} tasks, learned by {_learner(report)}")
        for heading in ("votes", "cover", "overlap", "conflict", "right", "learned", "weight"):
            table.add_column(heading, justify="right", no_wrap=True)
        for rule in rules:
            table.add_row(
                _described(rule),
                str(rule.n_votes),
                *(_percent(share) for share in (rule.coverage, rule.overlaps, rule.conflicts)),
                _right(rule),
                _percent(rule.learned_accuracy),
                "-" if rule.weight is None else f"{rule.weight:+.1f}",
            )
        out.print(table)
    if not report.rules:
        _say(out, "No rule is about a question of this project.")
    for name, (count, reason) in report.faults.items():
        _say(out, f"{name}: {count} faults, the first: {reason}")
    _print_set_aside(out, report.set_aside)


def print_mistakes(out: Console, name: str, found: Sequence[MistakenTask], *, as_json: bool) -> None:
    """One row for each task on which people disagree with a rule."""
    if as_json:
        _json(out, [asdict(item) for item in found])
        return
    if not found:
        _say(out, f"Nobody disagrees with {name}.")
        return
    table = Table("task", "question", "voted", "people say", "data", box=box.SIMPLE_HEAD, title=Text(name))
    for item in found:
        table.add_row(str(item.task_id), *map(Text, (item.question, item.voted, item.given, item.text)))
    out.print(table)


def print_diff(out: Console, diff: RulesDiff, *, as_json: bool) -> None:
    """The rules that vote otherwise, then what becomes of the suggestions."""
    if as_json:
        rules = [asdict(rule) | {"change": rule.change} for rule in diff.rules]
        _json(out, asdict(diff) | {"rules": rules})
        return
    if not diff.rules:
        _say(out, "These rules vote like those in use, as an edit in LF_RULES_DIR does within seconds: see --folder.")
    else:
        table = _table("")
        for heading in ("question", "change", "votes changed", "votes", "right"):
            table.add_column(heading, overflow="fold")
        for rule in diff.rules:
            both = (rule.before, rule.after)
            table.add_row(
                Text(rule.name),
                Text(rule.question),
                rule.change,
                str(rule.votes_changed),
                " -> ".join("-" if item is None else str(item.n_votes) for item in both),
                " -> ".join("-" if item is None else _percent(item.accuracy) for item in both),
            )
        out.print(table)
    for question in diff.questions:
        _say(
            out,
            f"{question.question}: {question.suggestions_changed} of {question.n_tasks} suggestions change; of "
            f"{question.n_labels} human labels {question.right_before} -> {question.right_after} are met "
            f"({question.better} better, {question.worse} worse).",
        )
    _print_set_aside(out, diff.set_aside)


def _table(title: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=Text(title) if title else None, title_justify="left", padding=(0, 1, 0, 0))
    # Everything else has few characters: the names get what is left of the line, and go on in the next one.
    table.add_column("rule", overflow="fold", min_width=12)
    return table


def _described(rule: RuleReport) -> Text:
    text = Text(rule.name, style="bold")
    if rule.polarity:
        text.append(f"\n  {', '.join(rule.polarity)}", style="not bold")
    for flag in rule.flags:
        text.append(f"\n  ! {flag}", style="not bold yellow")
    return text


def _right(rule: RuleReport) -> str:
    if rule.accuracy is None or rule.accuracy_interval is None:
        return "-"
    low, high = rule.accuracy_interval
    return f"{_percent(rule.accuracy)} of {rule.n_judged}\n{100 * low:.0f}-{100 * high:.0f}%"


def _learner(report: RulesReport) -> str:
    return "agreement alone" if report.learned_by == "v0" else report.learned_by


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"


def _print_set_aside(out: Console, set_aside: Mapping[str, str]) -> None:
    for name, reason in set_aside.items():
        _say(out, f"set aside: {name}: {reason}")


def _json(out: Console, value: Mapping[str, object] | Iterable[object]) -> None:
    _say(out, json.dumps(value, indent=1, ensure_ascii=False))


def _say(out: Console, text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)
