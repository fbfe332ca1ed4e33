"""What sources marked in a text, and the vote over it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.domain.spans.short_forms import short_forms
from backend.domain.spans.text import Run

Runs = tuple[Run, ...]

FIRST_TRUST = 0.8
"""Share of a source's spans that people keep, before anybody said anything of them."""
TRUST_WEIGHT = 20.0
"""Spans that `FIRST_TRUST` counts for."""
SHORT_FORM = -1
"""The number of the source that marks the short forms of names which others marked."""


@dataclass(frozen=True, slots=True)
class Voted:
    """A text in tokens, and what each source marked in it.

    votes: for each source the runs that it marked. against: for each source the runs that, it says, are no span of this
    label; of no label when the label is "". hints: runs of sources that the tagger sees and the vote doesn't count,
    such as rules that only join or extend what others mark. All may be empty where sources say nothing of the kind.
    """

    words: tuple[str, ...]
    votes: tuple[Runs, ...]
    against: tuple[Runs, ...] = ()
    hints: tuple[Runs, ...] = ()


@dataclass(frozen=True, slots=True)
class Trust:
    """How far each source is trusted: the share of its spans that people keep, 0..1.

    weights: one for each source, in their order. short_form: of the short forms.
    """

    weights: tuple[float, ...]
    short_form: float = FIRST_TRUST

    def of(self, source: int) -> float:
        """The trust in a source by its number, `SHORT_FORM` included."""
        return self.short_form if source == SHORT_FORM else self.weights[source]


def first_trust(n_sources: int) -> Trust:
    """The trust before anybody labeled: all alike."""
    return Trust((FIRST_TRUST,) * n_sources)


def learn_trust(texts: Sequence[Voted], gold: Sequence[Runs], n_sources: int) -> Trust:
    """Trust from people's runs: kept over marked, with `TRUST_WEIGHT` marks at `FIRST_TRUST` before the first one."""
    kept: Counter[int] = Counter()
    marked: Counter[int] = Counter()
    for text, right in zip(texts, gold, strict=True):
        known = set(right)
        for run, sources in supporters(text).items():
            for source in sources:
                marked[source] += 1
                kept[source] += run in known
    weights = [
        (kept[source] + FIRST_TRUST * TRUST_WEIGHT) / (marked[source] + TRUST_WEIGHT)
        for source in (*range(n_sources), SHORT_FORM)
    ]
    return Trust(tuple(weights[:-1]), weights[-1])


def supporters(text: Voted) -> dict[Run, list[int]]:
    """Every run that a source marked, with the sources that marked exactly it; short forms last.

    A short form that is explained in the text ("acute renal failure (ARF)") is marked wherever it stands alone, by the
    source `SHORT_FORM`, when the name that it stands for won the vote.
    """
    found: dict[Run, list[int]] = {}
    for source, runs in enumerate(text.votes):
        for run in set(runs):
            found.setdefault(run, []).append(source)
    labels = short_forms(text.words, greedy(_counts(found, text.against))) if found else {}
    for at, word in enumerate(text.words if labels else ()):
        if word in labels:
            found.setdefault(Run(at, at + 1, labels[word]), []).append(SHORT_FORM)
    return found


def vote(text: Voted) -> list[Run]:
    """The runs that win: most votes first, then the longest, none that overlaps one before it.

    A vote against takes one from each run that it overlaps; a run with no more for it than against it is none. Votes
    aren't weighed here: a source that is trusted a little less would lose its longer, better runs to another's.
    """
    return greedy(_counts(supporters(text), text.against))


def greedy(scores: Mapping[Run, float]) -> list[Run]:
    """Runs by their score, then length, then place, without overlaps; in the order of the text."""
    chosen: list[Run] = []
    used: set[int] = set()
    for run in sorted(scores, key=lambda item: (-scores[item], item.first - item.stop, item)):
        tokens = range(run.first, run.stop)
        if used.isdisjoint(tokens):
            chosen.append(run)
            used.update(tokens)
    return sorted(chosen)


def _counts(found: Mapping[Run, Sequence[int]], against: Sequence[Runs]) -> dict[Run, int]:
    """Votes for each run less those against it; only where some are left."""
    denied = [run for runs in against for run in runs]
    counts: dict[Run, int] = {}
    for run, sources in found.items():
        count = len(sources) - sum(other.overlaps(run) and other.label in ("", run.label) for other in denied)
        if count > 0:
            counts[run] = count
    return counts


def vote_chances(text: Voted, trust: Trust) -> dict[Run, float]:
    """The runs that win the vote, each with the probability that a person keeps it, from its sources alone.

    That of the most trusted source; half of the doubt is gone where another one marked the same. (Sources often have
    their knowledge from one place: counted as independent, two of them would be nearly certain.)
    """
    found = supporters(text)
    winners = greedy(_counts(found, text.against))
    chances = {}
    for run in winners:
        doubt = 1 - max(trust.of(source) for source in found[run])
        chances[run] = 1 - (doubt if len(found[run]) == 1 else doubt / 2)
    return chances
