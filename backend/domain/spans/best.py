"""Which of the possible runs are shown: the set with the best expected F1."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping

from backend.domain.spans.text import Run


def best_share(chances: Iterable[Mapping[Run, float]]) -> float:
    """The least probability that a run needs to be shown, so that the expected F1 over all texts is the highest.

    The expected F1 of a set is about 2 · Σp / (runs in the set + expected runs of people). A run raises it when its p
    is above half of what it is (Lipton et al. 2014): half of the highest value that can be reached is the threshold.
    """
    found = sorted((p for text in chances for p in text.values()), reverse=True)
    expected = sum(found)
    highest = total = 0.0
    for number, p in enumerate(found, start=1):
        total += p
        highest = max(highest, 2 * total / (number + expected))
    return highest / 2


def best_runs(chances: Mapping[Run, float], least: float) -> list[Run]:
    """The runs without overlaps whose probabilities, each less `least`, have the largest sum; in the order of the text.

    Weighted interval scheduling (Kleinberg and Tardos 2005, section 6.1).
    """
    runs = sorted((run for run, p in chances.items() if p > least), key=lambda run: (run.stop, run))
    stops = [run.stop for run in runs]
    best, taken = [0.0], []
    for index, run in enumerate(runs):
        before = bisect_right(stops, run.first, hi=index)
        gain = best[before] + chances[run] - least
        taken.append(gain > best[index])
        best.append(max(gain, best[index]))
    chosen: list[Run] = []
    index = len(runs)
    while index:
        index -= 1
        if taken[index]:
            chosen.append(runs[index])
            index = bisect_right(stops, runs[index].first, hi=index)
    return sorted(chosen)
