"""`prelabel rules suggest`: rules that are proposed, and those that a person takes over."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from backend.bootstrap import rule_files
from backend.domain.mining.measure import LEVEL
from backend.domain.outside import listed, one_line
from backend.domain.words import counted
from backend.entrypoints.cli import installation
from backend.entrypoints.console import progress_bar, say, say_json
from backend.errors import RuleError
from backend.workflows.suggest_rules import Proposal, SuggestedRules, suggest_rules, take_over

LINE = 600
"""Characters of one rule."""


def show_suggestions(project: int, names: Sequence[str], *, as_json: bool) -> None:
    """Print the proposed rules, or take some of them over by name.

    Raises:
        RuleError: one of them isn't proposed (any more). Then none is taken over.
    """
    app = installation.looked_at()
    key = installation.key_of(app, project)
    files = rule_files(app.settings)
    with progress_bar("looking for rules") as report:
        found = suggest_rules(app.deps, key, files, report, asks_llm=not names)
    if not names:
        print_suggestions(project, found, as_json=as_json)
        return
    by_name = {item.name: item for item in found.proposals}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise RuleError(
            f"{one_line(unknown[0])!r} is not proposed, or not any more since labels or rules changed. "
            f"`prelabel rules suggest {project}` lists what is."
        )
    taken = {name: take_over(app.deps, key, files, by_name[name]) for name in dict.fromkeys(names)}
    if as_json:
        say_json(taken)
        return
    for name, path in taken.items():
        say(
            f"{name} is written to {path}: a worker tries it out and it votes from the next version on. Delete to undo."
        )


def print_suggestions(project: int, found: SuggestedRules, *, as_json: bool) -> None:
    """Each rule with what is known of it, then why there is nothing for the rest."""
    if as_json:
        say_json(asdict(found))
        return
    for proposal in found.proposals:
        _print(proposal)
    if found.proposals:
        say(
            f"Take over what you believe: `prelabel rules suggest {project} --take NAME`. Intervals hold in "
            f"{LEVEL:.0%} of the cases; the labels that they come from had no part in the rules."
        )
    for name, why in found.left_out.items():
        say(one_line(f"left out: {name}: {why}", LINE))
    if not found.proposals and not found.left_out:
        say("This project has no question that rules could be proposed for.")


def _print(proposal: Proposal) -> None:
    of = proposal.precision
    low, high = of.interval
    say((proposal.name, "bold"), "" if proposal.by == "labels" else f", by {proposal.by}")
    rule = {key: value for key, value in proposal.rule.items() if key != "name"}
    say(one_line(f"  {json.dumps(rule, ensure_ascii=False)}", LINE))
    right = (
        f"right on {of.n_right} of {counted(of.n, 'held-out vote')}, {100 * low:.0f}-{100 * high:.0f}%"
        if of.n
        else "no held-out label tells how often it is right"
    )
    share = proposal.n_votes / proposal.n_tasks if proposal.n_tasks else 0.0
    say(f"  {right}; votes on {counted(proposal.n_votes, 'task')} ({share:.1%})")
    changes = [
        f"task {item.task_id} {item.before or 'nothing'} -> {item.after}: {item.text}" for item in proposal.examples
    ]
    say(
        one_line(
            f"  changes {counted(proposal.n_changed, 'suggestion')}{': ' if changes else ''}{listed(changes, '; ')}",
            LINE,
        )
    )
