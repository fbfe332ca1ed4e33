"""Spans of people that are probably wrong, and spans that they overlooked."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from backend.domain.spans.best import best_runs
from backend.domain.spans.crf import LEAST_CHANCE
from backend.domain.spans.model import Raw
from backend.domain.spans.text import Run
from backend.domain.spans.vote import Runs, Voted, supporters

LEAST_DOUBT = 0.02
"""Smaller doubts are no suspects."""
MISSES, MISPLACES, MISLABELS, INVENTS = 0.05, 0.03, 0.02, 0.001
"""How often people err, before their spans are looked at: they overlook most, and hardly ever mark what is nothing."""


class Fault(StrEnum):
    """What is probably wrong with a span."""

    MISSING = "missing"
    SPURIOUS = "spurious"
    WRONG_LABEL = "wrong label"
    WRONG_BOUNDARY = "wrong boundary"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A span that is probably wrong, or missing.

    row: of the text. given: what a person marked, None for a missing one. expected: what should stand there, None for a
    spurious one. doubt: probability that a person who looks again changes it. sources: numbers of those that marked
    exactly what is expected (`SHORT_FORM` among them).
    """

    row: int
    fault: Fault
    given: Run | None
    expected: Run | None
    doubt: float
    sources: tuple[int, ...]


def find_suspects(texts: Sequence[Voted], gold: Sequence[Runs | None], held_out: Sequence[Raw | None]) -> list[Suspect]:
    """All suspects, the most doubtful first.

    Args:
        texts: n texts with their votes.
        gold: what people marked in each of them; None where nobody looked.
        held_out: what is expected there by models that haven't seen it (`hold_out`); None where nothing is known.
    """
    found: list[Suspect] = []
    for row, (text, runs, expected) in enumerate(zip(texts, gold, held_out, strict=True)):
        if runs is not None and expected is not None:
            found += _suspects(row, text, runs, expected.vote if expected.tagger is None else expected.tagger)
    return sorted(found, key=lambda item: (-item.doubt, item.row, item.expected or item.given))


def _suspects(row: int, text: Voted, given: Runs, chances: dict[Run, float]) -> list[Suspect]:
    sources = supporters(text)
    found = [_of_given(row, run, given, chances, sources) for run in given]
    free = {run: p for run, p in chances.items() if not any(run.overlaps(other) for other in given)}
    for run in best_runs(free, LEAST_CHANCE):
        # What begins or ends elsewhere is missing as well: a person adds one of them.
        p = min(1.0, sum(p for other, p in free.items() if other.overlaps(run)))
        doubt = p * MISSES / (p * MISSES + 1 - p)
        found.append(Suspect(row, Fault.MISSING, None, run, doubt, tuple(sources.get(run, ()))))
    return [item for item in found if item.doubt >= LEAST_DOUBT]


def _of_given(row: int, run: Run, given: Runs, chances: dict[Run, float], sources: dict[Run, list[int]]) -> Suspect:
    """How likely a given run is wrong, by Bayes' rule: how probable is what should stand there, times how often people
    make that out of it. A run that nobody expects, while nothing else is expected there, is one that a person knew.
    """
    kept = chances.get(run, 0.0)
    rivals = {
        other: p
        for other, p in chances.items()
        if other not in given and other.overlaps(run) and not _of_another(other, run, given)
    }
    ways = {other: p * (MISLABELS if other[:2] == run[:2] else MISPLACES) for other, p in rivals.items()}
    nothing = max(0.0, 1 - kept - sum(rivals.values())) * INVENTS
    wrong = sum(ways.values()) + nothing
    right = kept * (1 - MISPLACES - MISLABELS - INVENTS)
    doubt = wrong / (wrong + right) if wrong else 0.0
    rival = max(ways, key=lambda other: ways[other], default=None)
    if rival is None or ways[rival] < nothing:
        return Suspect(row, Fault.SPURIOUS, run, None, doubt, ())
    fault = Fault.WRONG_LABEL if rival[:2] == run[:2] else Fault.WRONG_BOUNDARY
    return Suspect(row, fault, run, rival, doubt, tuple(sources.get(rival, ())))


def _of_another(rival: Run, run: Run, given: Runs) -> bool:
    """Whether a rival has more tokens in common with another given run."""

    def common(other: Run) -> int:
        return min(rival.stop, other.stop) - max(rival.first, other.first)

    return any(common(other) > common(run) for other in given)


def token_doubts(texts: Sequence[Voted], suspects: Sequence[Suspect]) -> list[NDArray[np.float64]]:
    """For each text how much the tag of each token is doubted: float64 (n_tokens,), the most of its suspects.

    A wrong boundary is in the tokens that only one of the two runs has, and where a run begins; anything else in all
    tokens of the run.
    """
    found = [np.zeros(len(text.words)) for text in texts]
    for item in suspects:
        doubts = found[item.row]
        for at in _where(item):
            doubts[at] = max(doubts[at], item.doubt)
    return found


def _where(item: Suspect) -> set[int]:
    tokens = [set(range(run.first, run.stop)) for run in (item.given, item.expected) if run is not None]
    if item.fault is not Fault.WRONG_BOUNDARY or item.given is None or item.expected is None:
        return set.union(*tokens)
    apart = tokens[0] ^ tokens[1]
    return apart | {run.first for run in (item.given, item.expected) if item.given.first != item.expected.first}
