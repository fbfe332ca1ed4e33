"""What was learned about spans, and what it says of a text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from backend.domain.codec import JsonObject, Unreadable, from_json, to_json
from backend.domain.spans.best import best_runs
from backend.domain.spans.calibration import Calibration
from backend.domain.spans.crf import Crf
from backend.domain.spans.features import features
from backend.domain.spans.text import Run
from backend.domain.spans.vote import Runs, Trust, Voted, vote_chances
from backend.errors import ModelMissing

FORMAT = 1
FIRST_LEAST = 0.4
"""Least probability of a run that is shown, before anything was measured: half of an F1 of 0.8."""


@dataclass(frozen=True)
class Suggested:
    """What we would mark in one text.

    runs: what is shown, with the probability that a person keeps it, in the order of the text. chances: the same of all
    runs that were thought of, these included. confidence: probability that a person changes nothing. best: mean
    log-probability of a token's tag in the most probable tagging; nearer to 0 is surer; None without a tagger.
    """

    runs: dict[Run, float]
    chances: dict[Run, float]
    confidence: float
    best: float | None


@dataclass(frozen=True)
class Raw:
    """What vote and tagger say of one text, each for itself; `tagger` is None without one."""

    vote: dict[Run, float]
    tagger: dict[Run, float] | None = None
    best: float | None = None


@dataclass(frozen=True)
class SpanModel:
    """Vote, taggers and how they are mixed.

    labels: all of them. groups: which are tagged together; runs of one group never overlap. taggers: for each group
    those that are averaged; none when only the vote counts. of_vote: weight of the vote's probability in the mixture,
    0..1. least: the probability that a run needs to be shown. documents: calibrates `Suggested.confidence`.
    """

    labels: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    trust: Trust
    taggers: tuple[tuple[Crf, ...], ...] = ()
    of_vote: float = 1.0
    least: float = FIRST_LEAST
    runs: Calibration = field(default_factory=Calibration)
    documents: Calibration = field(default_factory=Calibration)

    def suggest(self, texts: Sequence[Voted]) -> list[Suggested]:
        """What we would mark in each text."""
        return [self.settle(self.raw(text)) for text in texts]

    def raw(self, text: Voted, asked: Runs = ()) -> Raw:
        """What vote and taggers say of a text, before they are mixed; also of the runs asked for."""
        chances = vote_chances(text, self.trust)
        if not self.taggers:
            return Raw(chances)
        seen = features(text)
        tagged: dict[Run, float] = {}
        best: list[float] = []
        for taggers in self.taggers:
            for tagger in taggers:
                read = tagger.tag(seen, asked)
                best.append(read.best)
                for run, p in read.chances.items():
                    tagged[run] = tagged.get(run, 0.0) + p / len(taggers)
        return Raw(chances, tagged, float(np.mean(best)))

    def settle(self, raw: Raw) -> Suggested:
        """Mix what vote and taggers say, calibrate it, and choose the runs that are shown."""
        chances = calibrated(mixed(raw, self.of_vote), self.runs)
        shown = {
            run: chances[run]
            for group in self.groups
            for run in best_runs({run: p for run, p in chances.items() if run.label in group}, self.least)
        }
        shown = {run: shown[run] for run in sorted(shown)}
        confidence = float(self.documents.of(np.array([all_right(chances, shown)]))[0])
        return Suggested(shown, chances, confidence, raw.best)

    def to_parts(self) -> tuple[dict[str, bytes], JsonObject]:
        """The model for storage: files by name, and the rest as JSON, the SHA-256 of each file included."""
        files = {
            f"tagger-{group}-{number}.crfsuite": tagger.data
            for group, taggers in enumerate(self.taggers)
            for number, tagger in enumerate(taggers)
        }
        stored = _Stored(
            format=FORMAT,
            labels=self.labels,
            groups=self.groups,
            trust=self.trust,
            sha256=tuple(tuple(tagger.sha256 for tagger in taggers) for taggers in self.taggers),
            of_vote=self.of_vote,
            least=self.least,
            runs=self.runs,
            documents=self.documents,
        )
        return files, to_json(stored)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A model without its files. sha256: of these, by group; see `SpanModel`."""

    format: int
    labels: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    trust: Trust
    sha256: tuple[tuple[str, ...], ...]
    of_vote: float
    least: float
    runs: Calibration
    documents: Calibration


def from_parts(files: Mapping[str, bytes], described: JsonObject) -> SpanModel:
    """The model that `to_parts` took apart.

    Raises:
        ModelMissing: a file is missing or isn't the one that was stored, or it is of another release.
    """
    try:
        if described.get("format") != FORMAT:
            raise ModelMissing("the span model was stored by another release; train again")
        return _from_parts(files, from_json(_Stored, described))
    except (KeyError, Unreadable) as error:
        raise ModelMissing(f"the span model can't be read ({type(error).__name__}); train again") from error


def _from_parts(files: Mapping[str, bytes], stored: _Stored) -> SpanModel:
    taggers = tuple(
        tuple(
            Crf.read(files[f"tagger-{group}-{number}.crfsuite"], stored.groups[group], sha256)
            for number, sha256 in enumerate(recorded)
        )
        for group, recorded in enumerate(stored.sha256[: len(stored.groups)])
    )
    return SpanModel(
        labels=stored.labels,
        groups=stored.groups,
        trust=stored.trust,
        taggers=taggers,
        of_vote=stored.of_vote,
        least=stored.least,
        runs=stored.runs,
        documents=stored.documents,
    )


def mixed(raw: Raw, of_vote: float) -> dict[Run, float]:
    """The mean of what vote and tagger say, with the vote's weight; a run that one doesn't name has 0 there."""
    if raw.tagger is None or of_vote == 1.0:
        return raw.vote
    if of_vote == 0.0:
        return raw.tagger
    return {
        run: of_vote * raw.vote.get(run, 0.0) + (1 - of_vote) * raw.tagger.get(run, 0.0)
        for run in {**raw.vote, **raw.tagger}
    }


def calibrated(chances: Mapping[Run, float], calibration: Calibration) -> dict[Run, float]:
    """The same runs with calibrated probabilities."""
    values = calibration.of(np.fromiter(chances.values(), dtype=np.float64, count=len(chances)))
    return dict(zip(chances, values.tolist(), strict=True))


def all_right(chances: Mapping[Run, float], shown: Mapping[Run, float]) -> float:
    """Probability that a person keeps all that is shown and adds nothing, as if runs were independent.

    A run that overlaps a shown one says nothing new: a person who keeps one doesn't add the other.
    """
    rest = 1.0
    for run, p in chances.items():
        if run in shown:
            rest *= p
        elif not any(run.overlaps(other) for other in shown):
            rest *= 1 - p
    return rest


def flat(runs: Runs) -> tuple[Runs, int]:
    """Runs without overlaps, the longest first, and how many are left out. A tagger can't learn nested ones."""
    chosen: list[Run] = []
    for run in sorted(set(runs), key=lambda item: (item.first - item.stop, item)):
        if not any(run.overlaps(other) for other in chosen):
            chosen.append(run)
    return tuple(sorted(chosen)), len(set(runs)) - len(chosen)
