"""Learning from people's spans: how far to trust sources, a tagger that sees them, and how much each of them counts.

While people marked little, taggers also learn from some other texts as the vote marks them, so that they start from
the vote instead of from nothing. Whether vote, tagger or their mean is shown is decided by cross-validation.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.spans.best import best_share
from backend.domain.spans.calibration import Calibration, fit_calibration, log_loss
from backend.domain.spans.crf import Crf, train_crf
from backend.domain.spans.features import Features, features
from backend.domain.spans.model import Raw, SpanModel, all_right, calibrated, flat, mixed
from backend.domain.spans.scores import span_scores
from backend.domain.spans.text import Run
from backend.domain.spans.vote import Runs, Voted, first_trust, learn_trust, vote

N_FOLDS = 4
FEWEST = 4
"""Labeled texts from which on folds are made."""
COMPARED_TOKENS = 12_000
"""Cross-validation uses texts of so many tokens: a few seconds a fold."""
MEMBERS = 3
"""Taggers that are averaged while people marked little, each with other texts of the vote."""
MANY_TOKENS = 3_000
"""From so many labeled tokens on one tagger is enough."""
VOTED_TOKENS = 400
"""Tokens of texts as the vote marks them that each tagger learns from as well. (Of 200, 400 and 800 the best on train
parts of ner_laptopreview and ner_bc5cdr with 10 to 100 labeled texts.)"""
LEAST_FOUND = 0.4
"""Share of people's runs of each label that the vote must find to teach a tagger: it teaches what it misses, too."""
FIRST_FOUND, FOUND_WEIGHT = 7.0, 10.0
"""What the vote is believed to find before anybody labeled, and of how many."""
OF_VOTE = (0.0, 0.25, 0.5, 1.0)
"""Weights of the vote that are compared."""
DEFAULT_OF_VOTE = 0.5
FLOOR = 0.005
"""Probability of a run that nobody thought of."""


@dataclass(frozen=True)
class Fitted:
    """The model, and what came of fitting it.

    left_out: how many of people's runs no tagger can learn, since they overlap longer ones of their group. held_out:
    for each text what models say that haven't seen it; None for those that it wasn't asked of.
    """

    model: SpanModel
    left_out: int
    held_out: tuple[Raw | None, ...] = ()


@dataclass(frozen=True)
class _Data:
    texts: Sequence[Voted]
    gold: dict[int, Runs]
    groups: tuple[tuple[str, ...], ...]
    seen: dict[int, Features]
    n_sources: int

    def features(self, row: int) -> Features:
        if row not in self.seen:
            self.seen[row] = features(self.texts[row])
        return self.seen[row]

    def n_tokens(self, rows: Sequence[int]) -> int:
        return sum(len(self.texts[row].words) for row in rows)


def fit(texts: Sequence[Voted], gold: Sequence[Runs | None], labels: Sequence[str], *, seed: int = 0) -> Fitted:
    """Learn from what people marked.

    Args:
        texts: n texts with the votes of the same sources.
        gold: for each text the runs that people marked, () for none, None where nobody looked.
        labels: all that there are.
        seed: draws texts and folds.
    """
    data, left_out = _data_of(texts, gold, labels)
    if not data.gold:
        return Fitted(SpanModel(tuple(labels), data.groups, first_trust(data.n_sources)), 0, (None,) * len(texts))
    random = np.random.default_rng(seed)
    labeled = [int(row) for row in random.permutation(list(data.gold))]
    held_out = _held_out(data, labels, _affordable(data, labeled), random)
    model = _train(data, labels, labeled, random)
    model = _decide(model, data, held_out)
    return Fitted(model, left_out, tuple(held_out.get(row) for row in range(len(texts))))


def hold_out(
    texts: Sequence[Voted], gold: Sequence[Runs | None], labels: Sequence[str], *, seed: int = 0
) -> list[Raw | None]:
    """What models that haven't seen a text's labels say of it, for all labeled texts: what `find_suspects` looks at.

    The arguments are those of `fit`; None for texts without labels, and for all where there are too few of them.
    """
    data, _ = _data_of(texts, gold, labels)
    random = np.random.default_rng(seed)
    labeled = [int(row) for row in random.permutation(list(data.gold))]
    held_out = _held_out(data, labels, labeled, random, asked=True)
    return [held_out.get(row) for row in range(len(texts))]


def groups_of(gold: Sequence[Runs], labels: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Which labels are tagged together: all, unless people gave overlapping runs different labels: then none."""
    for runs in gold:
        for run, other in itertools.combinations(runs, 2):
            if run.label != other.label and run.overlaps(other):
                return tuple((label,) for label in labels)
    return (tuple(labels),)


def folds(texts: Sequence[Voted], rows: Sequence[int]) -> list[list[int]]:
    """The rows in at most `N_FOLDS` parts, texts of the same words in one part; [] when there are too few."""
    places: dict[tuple[str, ...], int] = {}
    parts: list[list[int]] = [[] for _ in range(N_FOLDS)]
    for row in rows:
        parts[places.setdefault(texts[row].words, len(places)) % N_FOLDS].append(row)
    found = [part for part in parts if part]
    return found if len(found) >= 2 and len(rows) >= FEWEST else []


def _data_of(texts: Sequence[Voted], gold: Sequence[Runs | None], labels: Sequence[str]) -> tuple[_Data, int]:
    """The data, and how many runs are left out of it."""
    groups = groups_of([runs for runs in gold if runs], labels)
    kept: dict[int, Runs] = {}
    left_out = 0
    for row, runs in enumerate(gold):
        if runs is not None:
            parts = [flat(tuple(run for run in runs if run.label in group)) for group in groups]
            kept[row] = tuple(sorted(run for part, _ in parts for run in part))
            left_out += sum(missing for _, missing in parts)
    return _Data(texts, kept, groups, {}, max((len(text.votes) for text in texts), default=0)), left_out


def _affordable(data: _Data, labeled: Sequence[int]) -> list[int]:
    """As many of the rows as have `COMPARED_TOKENS` together, one at least."""
    n_tokens = itertools.accumulate(len(data.texts[row].words) for row in labeled)
    return [row for row, total in zip(labeled, n_tokens, strict=True) if row == labeled[0] or total <= COMPARED_TOKENS]


def _held_out(
    data: _Data, labels: Sequence[str], compared: Sequence[int], random: np.random.Generator, *, asked: bool = False
) -> dict[int, Raw]:
    """What models that haven't seen a text's labels say of it; `asked`: also how probable the runs are that it has."""
    found: dict[int, Raw] = {}
    for part in folds(data.texts, compared):
        held = set(part)
        model = _train(data, labels, [row for row in compared if row not in held], random)
        found |= {row: model.raw(data.texts[row], data.gold[row] if asked else ()) for row in part}
    return found


def _train(data: _Data, labels: Sequence[str], rows: Sequence[int], random: np.random.Generator) -> SpanModel:
    """Trust and taggers of some labeled texts."""
    trust = learn_trust([data.texts[row] for row in rows], [data.gold[row] for row in rows], data.n_sources)
    teaches = vote_teaches([data.texts[row] for row in rows], [data.gold[row] for row in rows])
    members = []
    for _ in range(MEMBERS if data.n_tokens(rows) < MANY_TOKENS else 1):
        voted = _voted(data, random) if teaches else []
        marked = [*(data.gold[row] for row in rows), *(tuple(vote(data.texts[row])) for row in voted)]
        seen = [data.features(row) for row in (*rows, *voted)]
        members.append([_tagger(seen, marked, group) for group in data.groups])
    taggers = tuple(zip(*members, strict=True))
    return SpanModel(tuple(labels), data.groups, trust, taggers, of_vote=DEFAULT_OF_VOTE)


def vote_teaches(texts: Sequence[Voted], gold: Sequence[Runs]) -> bool:
    """Whether the vote finds enough of what people marked, of every label; so it is taken before they marked much."""
    true: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for text, runs in zip(texts, gold, strict=True):
        marked = set(vote(text))
        true.update(run.label for run in runs)
        found.update(run.label for run in runs if run in marked)
    return all(found[label] + FIRST_FOUND >= LEAST_FOUND * (n + FOUND_WEIGHT) for label, n in true.items())


def _tagger(seen: Sequence[Features], marked: Sequence[Runs], group: tuple[str, ...]) -> Crf:
    return train_crf(seen, [[run for run in runs if run.label in group] for runs in marked], group)


def _voted(data: _Data, random: np.random.Generator) -> list[int]:
    """Texts that nobody labeled, with `VOTED_TOKENS` tokens together."""
    rows: list[int] = []
    n_tokens = 0
    for row in random.permutation(len(data.texts)).tolist():
        if n_tokens >= VOTED_TOKENS:
            break
        if row not in data.gold:
            rows.append(row)
            n_tokens += len(data.texts[row].words)
    return rows


def _decide(model: SpanModel, data: _Data, held_out: dict[int, Raw]) -> SpanModel:
    """How much the vote counts, calibration and threshold, from held-out answers."""
    if not held_out:
        return model
    rows = list(held_out)
    options = []
    for of_vote in OF_VOTE:
        chances = [mixed(held_out[row], of_vote) for row in rows]
        pairs = [(p, run in data.gold[row]) for row, text in zip(rows, chances, strict=True) for run, p in text.items()]
        calibration = fit_calibration([p for p, _ in pairs], [right for _, right in pairs])
        settled = [calibrated(text, calibration) for text in chances]
        option = replace(model, of_vote=of_vote, runs=calibration, least=best_share(settled))
        losses = [_loss(held_out[row], text, data.gold[row]) for row, text in zip(rows, settled, strict=True)]
        options.append((np.array(losses), option))
    chosen = _chosen(options, data, held_out)
    return replace(chosen, documents=_documents(chosen, data, held_out))


def _chosen(
    options: Sequence[tuple[NDArray[np.float64], SpanModel]], data: _Data, held_out: dict[int, Raw]
) -> SpanModel:
    """The mean of vote and tagger, unless one of them alone is better by more than a standard error.

    Nothing whose F1 on the held-out texts is below the vote's is shown.
    """
    scores = [_f1(option, data, held_out) for _, option in options]
    usable = [item for item, score in zip(options, scores, strict=True) if score >= scores[-1]]
    middle, default = next((item for item in usable if item[1].of_vote == DEFAULT_OF_VOTE), usable[-1])
    best, chosen = min(usable, key=lambda item: item[0].sum())
    saved = middle - best
    return chosen if saved.sum() > saved.std() * np.sqrt(len(saved)) else default


def _f1(option: SpanModel, data: _Data, held_out: dict[int, Raw]) -> float:
    shown = [tuple(option.settle(raw).runs) for raw in held_out.values()]
    return span_scores(shown, [data.gold[row] for row in held_out]).f1


def _loss(raw: Raw, chances: dict[Run, float], right: Runs) -> float:
    """Log-loss over all runs that vote, tagger or people thought of: the same ones for every mixture."""
    runs = list({**raw.vote, **(raw.tagger or {}), **dict.fromkeys(right, 0.0)})
    known = set(right)
    p = np.array([chances.get(run, FLOOR) for run in runs], dtype=np.float64)
    return log_loss(p, np.array([run in known for run in runs], dtype=np.bool_))


def _documents(model: SpanModel, data: _Data, held_out: dict[int, Raw]) -> Calibration:
    shown = [(model.settle(raw), set(data.gold[row])) for row, raw in held_out.items()]
    return fit_calibration(
        [all_right(item.chances, item.runs) for item, _ in shown], [set(item.runs) == right for item, right in shown]
    )
