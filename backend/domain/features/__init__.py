"""Features of tasks for the classifier: whatever fields the task data has, in one sparse matrix."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack, vstack
from sklearn.feature_extraction import DictVectorizer

from backend.domain.features.fields import (
    FieldKind,
    day_of,
    flat_fields,
    is_missing,
    kind_of,
    number_of,
    text_of,
)
from backend.domain.features.terms import TextFeatures

TRUSTED_TYPES: tuple[str, ...] = (
    "backend.domain.features.FeatureExtractor",
    "backend.domain.features.terms.TextFeatures",
    "backend.domain.features.vectors.VectorSpace",
)
"""Our own types in a stored extractor, which a skops loader has to be told to trust."""
FORMAT = 3
"""Changes when the same task data gives other features: those kept by an older release are then made anew."""

MAX_TEXTS = 20_000
"""Texts that terms are collected from, spread evenly over the tasks: more find no new frequent terms."""
CLIP = 5.0
"""Standard deviations beyond which a number is just "very large"."""
CHUNK = 5_000
"""Tasks turned into features at a time, which bounds the memory."""
DAY_S = 86_400.0


class FeatureExtractor:
    """Turns task data into features, after learning what kind of thing each field holds.

    Texts give TF-IDF of words, word pairs and character n-grams (see `TextFeatures`; stop words kept, HTML tags
    stripped); short strings that repeat, and booleans, give categories; numbers (also in strings, if all of a field
    are) are scaled and clipped, and a missing one is marked; dates give a number, their weekday and their month; lists
    of short values give one feature per item. Nested objects are looked into. Addresses, file names, what numbers the
    tasks (see `FieldKind.ORDER`) and our own `prelabel_*` keys are left out. Fields that `fit` hasn't seen are ignored.
    Where two texts are compared, there is a feature for each term of both: how much more of it the first one has.
    """

    texts_: dict[str, TextFeatures]
    numbers_: dict[str, list[float]]
    """Mean and standard deviation."""
    dates_: dict[str, list[float]]
    """The same, in days."""
    categories_: list[str]
    items_: list[str]
    compared_: dict[str, TextFeatures]
    """Of the differences between two texts: names of both fields, joined by a tab."""
    left_out_: dict[str, str]
    """Fields that hold something which isn't learned from: name -> its `FieldKind`."""
    dictionary_: DictVectorizer | None

    def fit(self, data: Sequence[Mapping[str, object]], compared: Sequence[tuple[str, str]] = ()) -> Self:
        """Learn kinds, terms and scales from task data, n_tasks of them (may be 0). `compared`: pairs of fields of
        which it matters how they differ."""
        rows = _sample(data)
        self.texts_, self.numbers_, self.dates_, self.categories_, self.items_ = {}, {}, {}, [], []
        self.compared_ = {}
        self.left_out_ = {}
        for name, values, kind in _columns(rows):
            match kind:
                case FieldKind.TEXT:
                    texts = [text_of(value) for value in values[:: math.ceil(len(values) / MAX_TEXTS)]]
                    features = TextFeatures().fit(texts)
                    if features.width:
                        self.texts_[name] = features
                case FieldKind.NUMBER:
                    self.numbers_[name] = _scale([number_of(value) for value in values])
                case FieldKind.DATE:
                    self.dates_[name] = _scale([_days(day_of(value)) for value in values])
                case FieldKind.CATEGORY:
                    self.categories_.append(name)
                case FieldKind.ITEMS:
                    self.items_.append(name)
                case FieldKind.LOCATION | FieldKind.ORDER:
                    self.left_out_[name] = str(kind)
        worded = self.texts_.keys() | set(self.categories_)
        for pair in dict.fromkeys(compared):
            if worded.issuperset(pair):
                texts = [text_of(row[name]) for row in rows for name in pair if not is_missing(row.get(name))]
                features = TextFeatures().fit(texts[:: math.ceil(len(texts) / MAX_TEXTS)])
                self.compared_ |= {"\t".join(pair): features} if features.width else {}
        plain = [self._plain_features(row) for row in rows] if self._has_plain else []
        self.dictionary_ = DictVectorizer(dtype=np.float32).fit(plain) if any(plain) else None
        return self

    def transform(self, data: Sequence[Mapping[str, object]]) -> csr_matrix:
        """Features, float32 (n_tasks, d); a single column of zeros when no field was usable in `fit`."""
        chunks = [self._transform(data[start : start + CHUNK]) for start in range(0, len(data), CHUNK)]
        if not chunks:
            return csr_matrix((0, self.width), dtype=np.float32)
        return chunks[0] if len(chunks) == 1 else vstack(chunks, format="csr")

    @property
    def width(self) -> int:
        """Number of columns, at least 1."""
        return self.text_width + (len(self.dictionary_.vocabulary_) if self.dictionary_ is not None else 0) or 1

    @property
    def text_width(self) -> int:
        """Number of columns, the first ones, that come from texts."""
        return sum(features.width for features in (*self.texts_.values(), *self.compared_.values()))

    def __getstate__(self) -> dict[str, object]:
        """What skops stores: the vocabulary as JSON, because it needs a minute to write one as a dict."""
        plain = None
        if self.dictionary_ is not None:
            names: Mapping[str, int] = self.dictionary_.vocabulary_
            plain = json.dumps(sorted(names, key=names.__getitem__))
        return {**self.__dict__, "dictionary_": plain}

    def __setstate__(self, state: dict[str, object]) -> None:
        # Extractors of earlier versions don't say what they left out.
        self.__dict__.update({"left_out_": {}, "compared_": {}} | state)
        known = state["dictionary_"]
        if isinstance(known, str):
            # Each name stands for itself when the values are numbers, so this gives the same columns.
            names = dict.fromkeys(json.loads(known), 1.0)
            self.dictionary_ = DictVectorizer(dtype=np.float32).fit([names])

    @property
    def _has_plain(self) -> bool:
        return bool(self.numbers_ or self.dates_ or self.categories_ or self.items_)

    def _transform(self, data: Sequence[Mapping[str, object]]) -> csr_matrix:
        rows = [flat_fields(item) for item in data]
        blocks = [
            features.transform([text_of(row.get(name)) for row in rows]) for name, features in self.texts_.items()
        ]
        for names, features in self.compared_.items():
            first, second = ([text_of(row.get(name)) for row in rows] for name in names.split("\t"))
            blocks.append(features.transform(first) - features.transform(second))
        if self.dictionary_ is not None:
            blocks.append(self.dictionary_.transform([self._plain_features(row) for row in rows]))
        if not blocks:
            return csr_matrix((len(rows), 1), dtype=np.float32)
        return csr_matrix(blocks[0] if len(blocks) == 1 else hstack(blocks, format="csr"))

    def _plain_features(self, row: Mapping[str, object]) -> dict[str, float]:
        """Features of all fields but the texts, by name."""
        features: dict[str, float] = {}
        for name, (mean, deviation) in self.numbers_.items():
            _add_number(features, name, number_of(row.get(name)), mean, deviation)
        for name, (mean, deviation) in self.dates_.items():
            day = day_of(row.get(name))
            _add_number(features, name, None if day is None else _days(day), mean, deviation)
            if day is not None:
                features |= {f"{name} weekday={day.weekday()}": 1.0, f"{name} month={day.month}": 1.0}
        for name in self.categories_:
            value = row.get(name)
            if not is_missing(value):
                features[f"{name}={text_of(value)}"] = 1.0
        for name in self.items_:
            items = row.get(name)
            if isinstance(items, list):
                features |= {f"{name} has {text_of(item)}": 1.0 for item in items if not is_missing(item)}
        return features


def kinds_of(data: Sequence[Mapping[str, object]]) -> dict[str, FieldKind]:
    """The kind of each field of task data, as an extractor that is fitted to the tasks takes it."""
    return {name: kind for name, _, kind in _columns(_sample(data))}


def _sample(data: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """The fields of enough tasks to know what each field holds, in their order."""
    return [flat_fields(item) for item in data[:: max(1, math.ceil(len(data) / (5 * MAX_TEXTS)))]]


def _columns(rows: Sequence[Mapping[str, object]]) -> Iterator[tuple[str, list[object], FieldKind]]:
    """Each field, its values that aren't missing, and its kind; by name."""
    for name in sorted({name for row in rows for name in row}):
        values = [value for row in rows if not is_missing(value := row.get(name))]
        yield name, values, kind_of(values)


def has_no_features(features: csr_matrix) -> NDArray[np.bool_]:
    """Which tasks have no feature at all, because nothing of them can be read.

    Args:
        features: sparse float32 (n, d).

    Returns:
        Bool (n,).
    """
    empty: NDArray[np.bool_] = features.getnnz(axis=1) == 0
    return empty


def _scale(numbers: Sequence[float | None]) -> list[float]:
    """Mean and standard deviation of numbers, the latter 1 if they are all the same."""
    values = np.array(numbers, dtype=np.float64)
    with np.errstate(over="ignore"):
        # Numbers near the largest float have a deviation that is none.
        mean, deviation = float(values.mean()), float(values.std())
    if not math.isfinite(mean) or not math.isfinite(deviation):
        mean, deviation = float(np.median(values)), 1.0
    return [mean, deviation or 1.0]


def _add_number(features: dict[str, float], name: str, number: float | None, mean: float, deviation: float) -> None:
    if number is None:
        features[f"{name} missing"] = 1.0
    else:
        features[name] = max(-CLIP, min(CLIP, (number - mean) / deviation))


def _days(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.timestamp() / DAY_S
