"""How much we would learn from a text's spans."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.spans.model import Suggested
from backend.domain.spans.vote import Voted, supporters


def usefulness(texts: Sequence[Voted], suggested: Sequence[Suggested]) -> NDArray[np.float64]:
    """How useful each text is to label next, for what it costs to read: float64 (n,), higher is better.

    With a tagger MNLP, the length-normalised log-probability of its most probable tagging (Shen et al. 2018), with its
    sign turned: long texts are not preferred for their length. Without one the share of tokens that are in a run of a
    source, and half as much again for those where sources say different things: a text full of candidates teaches most.
    """
    return np.array(
        [_density(text) if item.best is None else -item.best for text, item in zip(texts, suggested, strict=True)],
        dtype=np.float64,
    )


def _density(text: Voted) -> float:
    if not text.words:
        return 0.0
    times = np.zeros(len(text.words))
    for run in supporters(text):
        times[run.first : run.stop] += 1
    return float((times > 0).mean() + 0.5 * (times > 1).mean())
