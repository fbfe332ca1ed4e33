"""The tagger of one set of labels: a conditional random field (Lafferty et al. 2001), by CRFsuite."""

import hashlib
import math
import tempfile
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.domain.spans.features import Features
from backend.domain.spans.text import Run
from backend.errors import ModelMissing

OUT = "O"
L1, L2 = 0.1, 0.1
"""Penalties. Chosen on the train parts of ner_laptopreview and ner_bc5cdr; L1 alone halves what is stored."""
ITERATIONS = 60
TOKENS_BY_ITERATIONS = 3_500_000
"""So much is affordable: 100,000 tokens get 35 iterations, which takes half a minute."""
FEWEST_ITERATIONS = 10
LEAST_CHANCE = 0.02
"""Runs of a smaller probability aren't looked at."""
LONGEST = 60
"""Tokens of a run."""


@dataclass(frozen=True)
class Read:
    """What the tagger thinks of one text.

    chances: probability of each run that it takes for possible. tags: float64 (n_tokens, 1 + 2 · n_labels), probability
    of each token's tag: in no run, then for each label that a run begins here, or goes on. best: the log-probability of
    the most probable tagging, divided by the number of tokens.
    """

    chances: dict[Run, float]
    tags: NDArray[np.float64]
    best: float


@dataclass(frozen=True)
class Crf:
    """A trained tagger: bytes as CRFsuite writes them, and the labels by their number in it.

    No bytes: it was trained on nothing, and marks nothing. (CRFsuite would crash.)
    """

    data: bytes
    labels: tuple[str, ...]
    _opened: list[Any] = field(default_factory=list, compare=False, repr=False)
    _one: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    @property
    def sha256(self) -> str:
        """What `read` checks."""
        return hashlib.sha256(self.data).hexdigest()

    @classmethod
    def read(cls, data: bytes, labels: Sequence[str], sha256: str) -> "Crf":
        """A tagger as it was stored. CRFsuite trusts what it reads, so nothing else may come to it.

        Raises:
            ModelMissing: the bytes aren't those whose SHA-256 was recorded.
        """
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ModelMissing("the file of the span tagger isn't the one that was stored; train again")
        return cls(data, tuple(labels))

    def tag(self, features: Features, asked: Iterable[Run] = ()) -> Read:
        """Probabilities for one text, from its features; also of the runs asked for, however small they are."""
        n = len(features)
        if not n or not self.data:
            return Read({}, np.eye(1, 1 + 2 * len(self.labels)).repeat(n, axis=0), 0.0)
        # It holds one text at a time.
        with self._one:
            tagger = self._tagger
            tagger.set(features)
            path = tagger.tag()
            probability = tagger.probability(path)
            chance = {name: np.array([tagger.marginal(name, at) for at in range(n)]) for name in tagger.labels()}
        names = [OUT, *(f"{kind}{number}" for number in range(len(self.labels)) for kind in "BI")]
        marginals = np.column_stack([chance.get(name, np.zeros(n)) for name in names])
        # Of a long text it can be too small for a float.
        best = (
            math.log(probability)
            if probability > 0
            else sum(math.log(max(chance[name][at], 1e-12)) for at, name in enumerate(path))
        )
        chances: dict[Run, float] = {}
        for number, label in enumerate(self.labels):
            begins, goes_on = marginals[:, 1 + 2 * number], marginals[:, 2 + 2 * number]
            chances |= {run: _chance(begins, goes_on, run) for run in asked if run.label == label}
            chances |= _runs(begins, goes_on, label)
        return Read(chances, marginals, best / n)

    @property
    def _tagger(self) -> Any:
        if not self._opened:
            import pycrfsuite  # noqa: PLC0415 - light commands don't need it

            tagger = pycrfsuite.Tagger()
            # It reads from these bytes as long as it lives: they are ours, and live as long.
            tagger.open_inmemory(self.data)
            self._opened.append(tagger)
        return self._opened[0]


def train_crf(
    texts: Sequence[Features], gold: Sequence[Iterable[Run]], labels: Sequence[str], iterations: int = ITERATIONS
) -> Crf:
    """Train on texts with the runs that people (or the vote) marked in them, without overlaps.

    Args:
        texts: features of n texts.
        gold: for each of them its runs.
        labels: of all runs.
        iterations: at most; fewer where there are so many tokens that they would take minutes.
    """
    import pycrfsuite  # noqa: PLC0415 - light commands don't need it

    n_tokens = sum(map(len, texts))
    if not n_tokens:
        return Crf(b"", tuple(labels))
    affordable = max(FEWEST_ITERATIONS, TOKENS_BY_ITERATIONS // n_tokens)
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params({"c1": L1, "c2": L2, "max_iterations": min(iterations, affordable)})
    numbers = {label: number for number, label in enumerate(labels)}
    for features, runs in zip(texts, gold, strict=True):
        if features:
            trainer.append(features, tags(len(features), runs, numbers))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        trainer.train(str(path))
        return Crf(path.read_bytes(), tuple(labels))


def tags(n_tokens: int, runs: Iterable[Run], numbers: dict[str, int]) -> list[str]:
    """BIO tags: "B0" begins a run of the label with number 0, "I0" goes on with it, "O" is in none."""
    found = [OUT] * n_tokens
    for run in runs:
        number = numbers[run.label]
        found[run.first] = f"B{number}"
        found[run.first + 1 : run.stop] = [f"I{number}"] * (run.stop - run.first - 1)
    return found


def _runs(begins: NDArray[np.float64], goes_on: NDArray[np.float64], label: str) -> dict[Run, float]:
    """Each run with at least `LEAST_CHANCE`, and its probability, from those of its tags.

    CRFsuite gives probabilities of single tags only. That a run which began goes on at a token is taken as the smaller
    of what has been reached so far and that token's share: exact for one that can't begin twice.
    """
    found: dict[Run, float] = {}
    for first in np.flatnonzero(begins >= LEAST_CHANCE).tolist():
        reached, stop = float(begins[first]), first + 1
        while True:
            further = min(float(goes_on[stop]), reached) if stop < len(begins) and stop - first < LONGEST else 0.0
            if reached - further >= LEAST_CHANCE:
                found[Run(first, stop, label)] = reached - further
            if further < LEAST_CHANCE:
                break
            reached, stop = further, stop + 1
    return found


def _chance(begins: NDArray[np.float64], goes_on: NDArray[np.float64], run: Run) -> float:
    """The probability of one run, in the same way."""
    reached = min(float(begins[run.first]), *goes_on[run.first + 1 : run.stop].tolist(), 1.0)
    further = float(goes_on[run.stop]) if run.stop < len(begins) else 0.0
    # What goes on may have begun elsewhere: then the run is rare, not impossible.
    return float(max(reached - further, reached * (1 - further)))
