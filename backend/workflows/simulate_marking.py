"""Simulate spans: mark marked texts again, in several ways, and compare how many tokens people had to read."""

from collections.abc import Sequence

from backend.domain.marking.votes import apply_marking_rules
from backend.domain.rules import Rule
from backend.domain.simulation.loop import rounds
from backend.domain.simulation.marking import MarkedTexts, full_f1, replay_texts, split_texts
from backend.domain.simulation.records import Curve, MarkedData, Plan
from backend.domain.votes import RuleFaults
from backend.errors import BadRequest
from backend.ports import Progress
from backend.workflows.simulate import MIN_TASKS


def prepare_texts(given: MarkedData, rules: Sequence[Rule]) -> tuple[MarkedTexts, RuleFaults]:
    """Texts with spans and the votes of rules; those that nobody looked at are left out.

    Raises:
        BadRequest: there are too few of them, or no rule is for them.
    """
    kept = [row for row, spans in enumerate(given.gold) if spans is not None]
    if len(kept) < MIN_TASKS:
        raise BadRequest(f"Only {len(kept)} texts were labeled: a simulation needs {MIN_TASKS}.")
    data, gold = [given.data[row] for row in kept], [given.gold[row] for row in kept]
    votes, faults = apply_marking_rules(rules, data, [given.question])
    mine = votes[given.question.name]
    if rules and not mine.sources:
        raise BadRequest(
            f"None of the {len(rules)} rules marks {given.question.name!r} with the labels "
            f"{', '.join(given.question.labels[:10])}: give the label config (--config), or name them alike."
        )
    return MarkedTexts.of(given.question, data, mine, gold), faults


def simulate_texts(
    texts: MarkedTexts, plans: Sequence[Plan], *, seeds: int, test_share: float, progress: Progress
) -> list[Curve]:
    """A learning curve for each plan and seed, plans in their order; see `simulate`."""
    n_pool = len(texts.data) - round(test_share * len(texts.data))
    total, done = seeds * (1 + sum(rounds(plan, n_pool) for plan in plans)), 0
    curves: dict[str, list[Curve]] = {plan.name: [] for plan in plans}
    for seed in range(seeds):
        progress(f"seed {seed + 1}: training on all labels", done, total)
        pool, test = split_texts(texts, test_share, seed)
        full = full_f1(pool, test, plans[0], seed=seed)
        done += 1
        for plan in plans:
            points = []
            for point in replay_texts(pool, test, plan, seed=seed):
                points.append(point)
                done += 1
                said = f"seed {seed + 1}, {plan.name}: {point.n_tokens} tokens, F1 {point.accuracy:.3f}"
                progress(said, min(done, total), total)
            curves[plan.name].append(Curve(plan.name, seed, points, full))
    return [curve for found in curves.values() for curve in found]
