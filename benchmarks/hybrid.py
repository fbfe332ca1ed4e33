"""What rules, LLMs and active learning save together: money to reach 90 and 95 % of full accuracy.

uv run python -m benchmarks.hybrid [--data DIR] [--json FILE] [--seeds N] [--sets NAMES] [--tasks N] [--jobs N]
    [--order] [--label-noise SHARE]

On the sets with recorded votes of rules and texts, and on `llm_babe` with recorded answers of LLMs. For each seed all
splits of a set are mixed, `TEST_SHARE` of the tasks are held out, and of the others at most `--tasks` are the pool.

- manual: people label random tasks; the classifier learns from that alone. Full accuracy is this classifier's with all
  labels of the pool; all shares are of it.
- hybrid: rules, LLMs, the strategy `auto`, and error cleaning: labels that look wrong are looked for, and people are
  asked again about them, for the price of a new label. Random tasks first while LLMs are validated.
- random + votes, with `--order`: the same in random order. It shows what active learning adds.

People err about `--label-noise` of the tasks, in all plans alike; full accuracy is with gold labels.

Everything is Prelabel's own code, as `prelabel simulate` runs it: the same classifier, features and batches. Money is
labels x 0.30 USD and LLM answers x the prices below, answers about held-out tasks included. Writing rules is not
counted. Rules may be good enough without any label; that is only known after a first batch, so no cost is below that of
one (10 labels). A share counts as reached when the next point of the curve has it, too; what isn't reached is not
extrapolated.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.domain.label_errors.action import Action
from backend.domain.priorities.strategy import Strategy
from backend.domain.questions import Choices, decisions
from backend.domain.simulation.curves import Cost, costs, ratio, reached
from backend.domain.simulation.loop import Stage, full_accuracy, replay, split, stage_of
from backend.domain.simulation.records import Curve, LabeledTasks, LlmUse, Plan
from backend.domain.votes import VoteMatrix
from benchmarks.common import Row
from benchmarks.learning_sets import labeled_texts

SETS = ("ws_agnews", "ws_youtube", "ws_sms", "ws_trec", "ws_moviereviews8", "llm_babe")
SHARES = (0.90, 0.95)
TEST_SHARE = 0.3
MAX_TEST = 2_000
TASKS = 3_000
USD_PER_LABEL = 0.30
LABEL_NOISE = 0.05
"""About what is wrong in well-kept public sets that were labeled by hand (Northcutt, Athalye & Mueller 2021: 3.3 % on
average of ten test sets, up to 10 %)."""
LLMS = (LlmUse("gpt_3_5@0s", 0.0002), LlmUse("gpt_4@0s", 0.0065, share=0.2))
"""The cheap one about all tasks, the dear one where the suggestions are least sure. Prices of an answer: 200 tokens
sent and 10 received at 0.5 and 1.5 USD (gpt-3.5-turbo), 30 and 60 USD (gpt-4) per million, rounded up."""
PLANS = (
    Plan("manual", Strategy.RANDOM, manual=True, usd_per_label=USD_PER_LABEL),
    Plan("hybrid", Strategy.AUTO, usd_per_label=USD_PER_LABEL, llms=LLMS, after_finding=Action.EXCLUDE),
    Plan("random + votes", Strategy.RANDOM, usd_per_label=USD_PER_LABEL, llms=LLMS, after_finding=Action.EXCLUDE),
)


def load(folder: Path) -> LabeledTasks | None:
    """All rows with a text and one gold label; None without any. In `llm_*` the votes are answers of LLMs, else of
    rules."""
    item = labeled_texts(folder)
    if not item.texts or item.multiple:
        return None
    question = Choices("question", "text", tuple(f"label {place}" for place in range(len(item.classes))))
    (decision,) = decisions(question)
    names = tuple(f"{place} {name}" for place, name in enumerate(item.sources))
    is_llm = folder.name.startswith("llm_")
    nothing = {decision.key: VoteMatrix(decision, (), np.zeros((len(item.texts), 0), dtype=np.int16))}
    known = {decision.key: item.truth}
    return LabeledTasks(
        questions=[question],
        data=item.data,
        votes=nothing if is_llm else {decision.key: VoteMatrix(decision, names, item.votes)},
        answers={decision.key: VoteMatrix(decision, item.sources, item.votes)} if is_llm else {},
        truth=known,
        given=known,
    )


def stage(tasks: LabeledTasks, n_tasks: int, seed: int) -> Stage:
    """Pool and held-out tasks of one seed."""
    pool, test = split(tasks, TEST_SHARE, seed)
    return stage_of(pool.rows(_some(pool, n_tasks, seed)), test.rows(_some(test, MAX_TEST, seed)))


def _some(tasks: LabeledTasks, n: int, seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(seed).permutation(len(tasks.data))[:n])


def run(folder: Path, n_tasks: int, seed: int, plans: Sequence[Plan]) -> list[Curve]:
    """The curves of one set and one seed, each until the largest share is reached."""
    tasks = load(folder)
    assert tasks is not None
    ready = stage(tasks, n_tasks, seed)
    full = full_accuracy(ready, PLANS[0], seed=seed)
    found = []
    for plan in plans:
        started, points = time.perf_counter(), []
        for point in replay(ready, _with_llms(plan, tasks), seed=seed):
            points.append(point)
            # The last point may be a lucky one: `reached` looks at the next one, too.
            if reached(points[:-1], SHARES[-1] * full) and reached(points, SHARES[-1] * full):
                break
        found.append(Curve(plan.name, seed, points, full))
        took = time.perf_counter() - started
        ends = [f"{point.n_labels}: {point.accuracy:.3f}" for point in (points[0], points[1], points[-1])]
        print(f"{folder.name} seed {seed} {plan.name}: full {full:.3f}; {', '.join(ends)} ({took:.0f} s)", flush=True)
    return found


def _with_llms(plan: Plan, tasks: LabeledTasks) -> Plan:
    return replace(plan, llms=[use for use in plan.llms if use.name in tasks.llms])


def table(results: dict[str, list[Curve]]) -> list[str]:
    """Lines of a Markdown table, and the medians over sets."""
    lines = [
        "| set | share of full accuracy | manual, labels | hybrid, labels | manual, USD | hybrid, USD | cheaper |",
        "|---|---|---|---|---|---|---|",
    ]
    saved: dict[float, list[float]] = {share: [] for share in SHARES}
    for name, curves in results.items():
        full = np.mean([curve.full for curve in curves])
        by = {(cost.plan, cost.share): cost for cost in costs(curves, SHARES)}
        for share in SHARES:
            manual, hybrid = by["manual", share], by["hybrid", share]
            times = ratio(hybrid.usd, manual.usd)
            saved[share].append(0.0 if times is None else times)
            cells = (_cell(manual, "labels"), _cell(hybrid, "labels"), _cell(manual, "usd"), _cell(hybrid, "usd"))
            lines.append(
                f"| {name.split('_', 1)[1]} | {100 * share:.0f} % of {full:.3f} | {' | '.join(cells)} "
                f"| {'-' if times is None else f'{times:.1f} times'} |"
            )
    medians = ", ".join(f"{float(np.median(saved[share])):.1f} times at {100 * share:.0f} %" for share in SHARES)
    return [*lines, "", f"Median set: {medians}."]


def _cell(cost: Cost, field: str) -> str:
    band = cost.labels if field == "labels" else cost.usd
    form = ".0f" if field == "labels" or (band.middle or 0) >= 100 else ".2f"
    words = ["never" if value is None else format(value, form) for value in (band.middle, band.low, band.high)]
    return f"{words[0]} ({words[1]}-{words[2]})"


def rows_of(name: str, curves: Sequence[Curve], seconds: float) -> list[Row]:
    """Medians with bands; what is never reached has no row."""
    found = []
    for cost in costs(curves, SHARES):
        for unit, band in (("labels", cost.labels), ("USD", cost.usd)):
            for suffix, value in (("", band.middle), (" (lowest)", band.low), (" (highest)", band.high)):
                if value is not None:
                    found.append(Row(name, cost.plan, f"{unit} to {100 * cost.share:.0f} %{suffix}", value, seconds))
    return found


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the sets")
    parser.add_argument("--json", type=Path, help="write rows and curves to this file")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each measurement")
    parser.add_argument("--sets", nargs="*", default=SETS, help="folders in DIR")
    parser.add_argument("--tasks", type=int, default=TASKS, help="tasks of a pool at most")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--order", action="store_true", help="also rules and LLMs in random order")
    parser.add_argument("--label-noise", type=float, default=LABEL_NOISE, help="share of wrong labels, 0 to 1")
    arguments = parser.parse_args()
    named = [arguments.data / name for name in arguments.sets]
    folders = [folder for folder in named if folder.is_dir() and load(folder) is not None]
    print(f"sets found: {', '.join(folder.name for folder in folders) or 'none'}", flush=True)
    plans = [replace(plan, label_noise=arguments.label_noise) for plan in (PLANS if arguments.order else PLANS[:2])]
    # One thread for each process: they would only wait for each other.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    started = time.perf_counter()
    results: dict[str, list[Curve]] = {}
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        runs = {
            folder.name: [pool.submit(run, folder, arguments.tasks, seed, plans) for seed in range(arguments.seeds)]
            for folder in folders
        }
        for name, futures in runs.items():
            results[name] = [curve for future in futures for curve in future.result()]
            print("\n".join(table(results)), flush=True)
    if arguments.json is not None:
        seconds = time.perf_counter() - started
        rows = [asdict(row) for name, curves in results.items() for row in rows_of(name, curves, seconds)]
        curves = {name: [asdict(curve) for curve in found] for name, found in results.items()}
        arguments.json.write_text(json.dumps({"rows": rows, "curves": curves}, indent=1))


if __name__ == "__main__":
    main()
