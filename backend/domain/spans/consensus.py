"""What several people's spans agree on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.domain.spans.scores import f1
from backend.domain.spans.text import Run
from backend.domain.spans.vote import Runs


@dataclass(frozen=True, slots=True)
class Consensus:
    """What most people marked in one text.

    runs: those of the majority, with the share of people who marked exactly them. disputed: places that a majority
    marked, but each in another way: no run of theirs has a majority, and the one that most people marked is given.
    """

    runs: dict[Run, float]
    disputed: dict[Run, float]


def consensus(marked: Mapping[str, Runs]) -> Consensus:
    """The consensus of people, by name, on one text.

    A run stands when more than half of the people marked exactly it. Where more than half marked something that
    overlaps, but no single run has a majority, the place is disputed: somebody has to decide on the boundary or label.
    """
    n = len(marked)
    counts = Counter(run for runs in marked.values() for run in set(runs))
    agreed = {run: count / n for run, count in sorted(counts.items()) if 2 * count > n}
    disputed: dict[Run, float] = {}
    for run in sorted(counts, key=lambda item: (-counts[item], item.first - item.stop, item)):
        if any(run.overlaps(other) for other in (*agreed, *disputed)):
            continue
        people = sum(any(run.overlaps(other) for other in runs) for runs in marked.values())
        if 2 * people > n:
            disputed[run] = counts[run] / n
    return Consensus(agreed, disputed)


def agreement(one: Sequence[Run], other: Sequence[Run], *, exact: bool = True) -> float:
    """F1 of one person's runs against another's in one text, 0..1, the same both ways; 1 when both marked nothing.

    Not `exact`: runs of the same label that overlap agree, each with one of the other person's at most.
    """
    ours, theirs = set(one), set(other)
    if exact:
        return f1(len(ours & theirs), len(ours), len(theirs))
    return f1(_pairs(sorted(ours), sorted(theirs)), len(ours), len(theirs))


def _pairs(ours: Sequence[Run], theirs: Sequence[Run]) -> int:
    """How many runs find one of the other's that they overlap, each its own: an assignment as large as possible."""
    partner: dict[Run, Run] = {}

    def assign(run: Run, tried: set[Run]) -> bool:
        for other in theirs:
            if other not in tried and other.label == run.label and other.overlaps(run):
                tried.add(other)
                if other not in partner or assign(partner[other], tried):
                    partner[other] = run
                    return True
        return False

    return sum(assign(run, set()) for run in ours)


def rank_people(texts: Sequence[Mapping[str, Runs]], *, exact: bool = True) -> dict[str, float]:
    """How far each person agrees with the others, the best first: mean agreement over texts that somebody shared."""
    values: dict[str, list[float]] = {}
    for marked in texts:
        for name, runs in marked.items():
            others = [agreement(runs, other, exact=exact) for who, other in marked.items() if who != name]
            if others:
                values.setdefault(name, []).append(sum(others) / len(others))
    means = {name: sum(found) / len(found) for name, found in values.items()}
    return dict(sorted(means.items(), key=lambda item: (-item[1], item[0])))
