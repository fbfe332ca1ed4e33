"""Verdicts show how often the search is right, and so which suspects are worth showing."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from backend.domain.statistics import wilson
from backend.domain.tasks import Answer, content_hash

ENOUGH = 20
"""Verdicts from which they decide what is shown. Below that Wilson's interval is some 40 points wide."""
LATEST = 200
"""So many verdicts count, the newest: the search gets better with each version."""
BAND = 10
"""Verdicts in each band of quality at least."""
PROBES = 5
"""Suspects shown at least, the worst ones, whatever is expected of them: without verdicts nobody would notice that the
search has become better."""
MARGIN = 0.2
"""How far the quality of a confirmed label must fall below what it was, before it is suspect again. High, because a
person who looked knows more than all members; a label that was below this already is left alone for good."""


@dataclass(frozen=True, slots=True)
class Precision:
    """Share of the suspects with a verdict whose label people changed; `interval` is Wilson's (1927), 95 %. None: no
    verdict yet."""

    n_fixed: int
    n_confirmed: int
    share: float | None
    interval: tuple[float, float] | None


def precision_of(n_fixed: int, n_confirmed: int) -> Precision:
    """How often the search was right."""
    n = n_fixed + n_confirmed
    return Precision(n_fixed, n_confirmed, n_fixed / n if n else None, wilson(n_fixed, n))


def expected_precision(
    qualities: NDArray[np.float64], judged: NDArray[np.float64], fixed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """P(people change the label) of suspects, by the verdicts on suspects of like quality.

    Verdicts are cut into bands of quality with `BAND` of them or more. Of each, Laplace's rule (fixed + 1) / (n + 2) is
    taken, and isotonic regression makes it fall with quality. Suspects outside of all bands belong to the nearest.

    Args:
        qualities: float64 (n,), of suspects.
        judged: float64 (m,), of labels with a verdict, the oldest first; only the `LATEST` last ones count.
        fixed: bool (m,), whether they were changed.

    Returns:
        Float64 (n,); NaN with fewer than `ENOUGH` verdicts.
    """
    judged, fixed = judged[-LATEST:], fixed[-LATEST:]
    if judged.size < ENOUGH:
        return np.full(qualities.size, np.nan)
    bands = np.array_split(np.argsort(judged, kind="stable"), judged.size // BAND)
    shares = np.array([(fixed[band].sum() + 1) / (band.size + 2) for band in bands])
    sizes = np.array([band.size for band in bands])
    ranks = np.arange(len(bands))
    fitted = IsotonicRegression(increasing=False).fit(ranks, shares, sizes).predict(ranks)
    highest = np.array([judged[band].max() for band in bands])
    return np.asarray(fitted[np.searchsorted(highest[:-1], qualities, side="left")], dtype=np.float64)


def worth_showing(expected: NDArray[np.float64], qualities: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    """Which suspects are expected to be wrong often enough: bool (n,). All of them where nothing is known (NaN).

    Args:
        expected: float64 (n,), see `expected_precision`.
        qualities: float64 (n,).
        least: from which expected precision.
    """
    worth = ~(expected < least)
    worst = np.argsort(qualities, kind="stable")[:PROBES]
    worth[worst] = True
    return worth


def verdict_id(data: Mapping[str, object], question: str, given: Answer, region: str = "") -> str:
    """64 hexadecimal digits that change with what the user put into the task, question, label and region, not with the
    task. region: the one that the label is of; "" = the task."""
    about = [question, sorted(given), *([region] if region else [])]
    text = json.dumps(about, ensure_ascii=False)
    return hashlib.blake2b(content_hash(data) + text.encode(errors="surrogatepass"), digest_size=32).hexdigest()
