"""`prelabel rules`: what each rule does, and what an edit would change."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from backend.bootstrap import tried_in
from backend.domain.marking.report import SpanRuleReport
from backend.domain.outside import MOST_LISTED, one_line
from backend.domain.rule_report import RuleReport
from backend.domain.words import counted
from backend.entrypoints.cli import installation
from backend.entrypoints.cli.span_rules import percent, print_span_diff, print_span_rules
from backend.entrypoints.console import Cell, Grid, say, say_json
from backend.workflows import rules as about_rules
from backend.workflows.rules import MistakenTask, RulesDiff, RulesReport
from backend.workflows.try_rules import sample_of

FIGURES = ("votes", "cover", "overlap", "conflict", "right", "learned", "weight")
LINE = 600
"""Characters of what is said of one rule or file."""


def show_report(project: int, name: str | None, *, as_json: bool) -> None:
    """Print what each rule of a project does, or one of them."""
    app = installation.looked_at()
    print_report(about_rules.report(app.deps, installation.key_of(app, project), name), as_json=as_json)


def show_mistakes(project: int, name: str, *, as_json: bool) -> None:
    """Print the tasks on which people disagree with a rule."""
    app = installation.looked_at()
    key = installation.key_of(app, project)
    found = about_rules.mistakes(app.deps, key, name)
    faults = None if found else about_rules.faults_of(app.deps, key, name)
    print_mistakes(name, found, as_json=as_json, faults=faults)


def show_diff(project: int, folder: Path | None, *, as_json: bool) -> bool:
    """Print what the rules of a folder (None: `LF_RULES_DIR`) would change; returns whether all of them can be used."""
    app = installation.looked_at()
    key = installation.key_of(app, project)
    record = app.deps.database.project(key)
    samples = [] if record is None else [sample_of(app.deps, record)]
    edited = tried_in(folder or app.settings.lf_rules_dir, app.settings, samples)
    found = about_rules.diff(app.deps, key, edited)
    print_diff(found, as_json=as_json)
    return found.is_usable


def print_report(report: RulesReport, *, as_json: bool) -> None:
    """A table for each question, of many for those with the most votes; then what went wrong."""
    if as_json:
        say_json(asdict(report))
        return
    by_question = {name: list(rules) for name, rules in groupby(report.rules, key=lambda rule: rule.question)}
    most = sorted(by_question, key=lambda name: -sum(rule.n_votes for rule in by_question[name]))[:MOST_LISTED]
    for question in [name for name in by_question if name in most]:
        rules = by_question[question]
        title = f"{question}: {counted(report.n_tasks, 'task')}, learned by {_learner(report)}"
        table = Grid("rule", *FIGURES, title=title, figures=FIGURES, names=("rule",))
        for rule in rules:
            table.row(
                _described(rule),
                str(rule.n_votes),
                *(percent(value) for value in (rule.coverage, rule.overlaps, rule.conflicts)),
                _right(rule),
                percent(rule.learned_accuracy),
                "-" if rule.weight is None else f"{rule.weight:+.1f}",
            )
        table.show()
    if len(by_question) > len(most):
        say(f"{len(by_question) - len(most)} more questions, with fewer votes: --json has all.")
    print_span_rules(report.spans, report.n_tasks, _learner(report))
    if not report.rules and not report.spans:
        say("No rule is about a question of this project.")
    _print_problems(report.faults, report.set_aside)


def print_mistakes(
    name: str, found: Sequence[MistakenTask], *, as_json: bool, faults: tuple[int, str] | None = None
) -> None:
    """One row for each task on which people disagree with a rule; `faults`: see `RulesReport`, for one without any."""
    if as_json:
        say_json([asdict(item) for item in found])
        return
    if not found:
        say(f"Nobody disagrees with {name}.")
        _print_problems({name: faults} if faults else {}, {})
        return
    table = Grid("task", "question", "voted", "people say", "data", title=name)
    for item in found:
        table.row(str(item.task_id), item.question, item.voted, item.given, item.text)
    table.show()


def print_diff(diff: RulesDiff, *, as_json: bool) -> None:
    """The rules that vote otherwise, then what becomes of the suggestions."""
    if as_json:
        rules = [asdict(rule) | {"change": rule.change} for rule in diff.rules]
        say_json(asdict(diff) | {"rules": rules})
        return
    if not diff.rules and not diff.is_usable:
        say("The rules that can be used vote like those in use.")
    elif not diff.rules:
        say("These rules vote like those in use, as an edit in LF_RULES_DIR does within seconds: see --folder.")
    else:
        table = Grid("rule", "question", "change", "votes changed", "votes", "right", names=("rule",))
        for rule in diff.rules:
            both = (rule.before, rule.after)
            table.row(
                rule.name,
                rule.question,
                rule.change,
                str(rule.votes_changed),
                " -> ".join(_votes_and_right(item)[0] for item in both),
                " -> ".join(_votes_and_right(item)[1] for item in both),
            )
        table.show()
    for question in diff.questions:
        say(
            f"{question.question}: {question.suggestions_changed} of {question.n_tasks} suggestions change; of "
            f"{question.n_labels} human labels {question.right_before} -> {question.right_after} are met "
            f"({question.better} better, {question.worse} worse).",
        )
    print_span_diff(diff.marking)
    _print_problems(diff.faults, {**diff.set_aside, **diff.stale})


def _described(rule: RuleReport) -> Cell:
    polarity = [f"- {', '.join(rule.polarity)}"] if rule.polarity else []
    return [(rule.name, "bold"), *polarity, *((f"! {flag}", "yellow") for flag in rule.flags)]


def _right(rule: RuleReport) -> Cell:
    if rule.accuracy is None or rule.accuracy_interval is None:
        return "-"
    low, high = rule.accuracy_interval
    return [f"{percent(rule.accuracy)} of {rule.n_judged}", f"{100 * low:.0f}-{100 * high:.0f}%"]


def _learner(report: RulesReport) -> str:
    return "agreement alone" if report.learned_by == "v0" else report.learned_by


def _votes_and_right(rule: RuleReport | SpanRuleReport | None) -> tuple[str, str]:
    if rule is None:
        return "-", "-"
    if isinstance(rule, RuleReport):
        return str(rule.n_votes), percent(rule.accuracy)
    return str(rule.n_spans + rule.n_against), percent(rule.precision)


def _print_problems(faults: Mapping[str, tuple[int, str]], set_aside: Mapping[str, str]) -> None:
    for name, (count, reason) in faults.items():
        say(one_line(f"{name}: {counted(count, 'fault')}, the first: {reason}", LINE))
    for name, reason in set_aside.items():
        say(one_line(f"set aside: {name}: {reason}", LINE))
