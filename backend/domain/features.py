"""Features of tasks for the classifier: whatever fields the task data has, in one sparse matrix."""

import html
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Self

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer

from backend.domain.tasks import user_fields

TRUSTED_TYPES: tuple[str, ...] = ("backend.domain.features.FeatureExtractor",)
"""Our own types in a stored extractor, which a skops loader has to be told to trust."""

MAX_TERMS = 50_000
MAX_CHARACTERS = 20_000
"""Of each text; a transcript of hours doesn't need to be read to its end to know what it is about."""
MAX_TEXTS = 20_000
"""Texts that terms are collected from, spread evenly over the tasks: more find no new frequent terms."""
FEW_VALUES = 50
SHORT = 60
CLIP = 5.0
"""Standard deviations beyond which a number is just "very large"."""

_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0dff\u0f00-\u0fff\u1000-\u109f"
_UNSPACED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_SYMBOLS = "\u2600-\u27bf\U0001f300-\U0001faff"
TOKEN = rf"[{_UNSPACED}{_SYMBOLS}]|(?:(?![{_UNSPACED}])[\w{_MARKS}])+"
r"""A word. `\w` alone breaks Indic, Hebrew and Arabic words at their vowel signs; scripts without spaces between words
give single characters, whose pairs are the usual features there; emoji are words of their own."""
_TAG = re.compile(r"</?[a-zA-Z!][^<>]*>")
_LOCATION = re.compile(r"(?:[a-z][a-z0-9+.-]*://|data:|/)\S*|[^\s/]+(?:/[^\s/]+)+|\S+\.[a-z0-9]{2,4}", re.IGNORECASE)


class _Kind(StrEnum):
    TEXT = "text"
    CATEGORY = "category"
    NUMBER = "number"
    ITEMS = "items"
    IGNORED = "ignored"


class FeatureExtractor:
    """Turns task data into features, after learning what kind of thing each field holds.

    Texts give TF-IDF of words and word pairs that occur in two texts or more (sublinear term frequency, stop words
    kept, HTML tags stripped); short strings that repeat, and booleans, give categories; numbers (also in strings, if
    all of a field are) are scaled and clipped, and a missing one is marked; lists of strings give one feature per item.
    URLs, file paths, nested objects and our own `prelabel_*` keys are left out. Fields that `fit` hasn't seen are
    ignored.
    """

    texts_: dict[str, TfidfVectorizer]
    numbers_: dict[str, list[float]]
    """Mean and standard deviation."""
    categories_: list[str]
    items_: list[str]
    dictionary_: DictVectorizer | None

    def fit(self, data: Sequence[Mapping[str, object]]) -> Self:
        """Learn kinds, terms and scales from task data, n_tasks of them (may be 0)."""
        rows = [user_fields(item) for item in data]
        self.texts_, self.numbers_, self.categories_, self.items_ = {}, {}, [], []
        for name in sorted({name for row in rows for name in row}):
            values = [value for row in rows if not _is_missing(value := row.get(name))]
            match _kind(values):
                case _Kind.TEXT:
                    self._fit_text(name, [_text(value) for value in values[:: math.ceil(len(values) / MAX_TEXTS)]])
                case _Kind.NUMBER:
                    numbers = np.array([_number(value) for value in values], dtype=np.float64)
                    self.numbers_[name] = [float(numbers.mean()), float(numbers.std()) or 1.0]
                case _Kind.CATEGORY:
                    self.categories_.append(name)
                case _Kind.ITEMS:
                    self.items_.append(name)
        plain = [self._plain_features(row) for row in rows]
        self.dictionary_ = DictVectorizer().fit(plain) if any(plain) else None
        return self

    def transform(self, data: Sequence[Mapping[str, object]]) -> csr_matrix:
        """Features, float64 (n_tasks, d); a single column of zeros when no field was usable in `fit`."""
        rows = [user_fields(item) for item in data]
        if not rows:
            return csr_matrix((0, self._width()))
        blocks = [
            vectorizer.transform([_text(row.get(name)) for row in rows]) for name, vectorizer in self.texts_.items()
        ]
        if self.dictionary_ is not None:
            blocks.append(self.dictionary_.transform([self._plain_features(row) for row in rows]))
        return csr_matrix(hstack(blocks)) if blocks else csr_matrix((len(rows), 1))

    def __getstate__(self) -> dict[str, Any]:
        """What skops stores: vocabularies as strings, because it needs a minute to write one as a dict."""
        texts = {name: {"terms": _terms(text.vocabulary_), "idf": text.idf_} for name, text in self.texts_.items()}
        plain = None if self.dictionary_ is None else _terms(self.dictionary_.vocabulary_)
        return {**self.__dict__, "texts_": texts, "dictionary_": plain}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.texts_ = {}
        for name, text in state["texts_"].items():
            self.texts_[name] = _vectorizer(vocabulary=json.loads(text["terms"]))
            self.texts_[name].idf_ = text["idf"]
        if state["dictionary_"] is not None:
            # Each name stands for itself when the values are numbers, so this gives the same columns.
            self.dictionary_ = DictVectorizer().fit([dict.fromkeys(json.loads(state["dictionary_"]), 1.0)])

    def _width(self) -> int:
        width = sum(len(vectorizer.vocabulary_) for vectorizer in self.texts_.values())
        return width + (len(self.dictionary_.vocabulary_) if self.dictionary_ is not None else 0) or 1

    def _fit_text(self, name: str, texts: Sequence[str]) -> None:
        terms_of = _vectorizer().build_analyzer()
        counts = Counter(term for text in texts for term in set(terms_of(text)))
        # A term of one text alone can only help to learn that text by heart.
        shared = [term for term, count in counts.most_common(MAX_TERMS) if count > 1]
        if shared:
            self.texts_[name] = _vectorizer(vocabulary=sorted(shared)).fit(texts)

    def _plain_features(self, row: Mapping[str, object]) -> dict[str, float]:
        """Features of all fields but the texts, by name."""
        features: dict[str, float] = {}
        for name, (mean, deviation) in self.numbers_.items():
            number = _number(row.get(name))
            if number is None:
                features[f"{name} missing"] = 1.0
            else:
                features[name] = max(-CLIP, min(CLIP, (number - mean) / deviation))
        for name in self.categories_:
            value = row.get(name)
            if not _is_missing(value):
                features[f"{name}={_text(value)}"] = 1.0
        for name in self.items_:
            items = row.get(name)
            if isinstance(items, list):
                features |= {f"{name} has {_text(item)}": 1.0 for item in items}
        return features


def _vectorizer(**options: Any) -> TfidfVectorizer:
    return TfidfVectorizer(token_pattern=TOKEN, ngram_range=(1, 2), sublinear_tf=True, **options)


def _terms(vocabulary: Mapping[str, int]) -> str:
    """The terms in the order of their columns, as JSON."""
    return json.dumps(sorted(vocabulary, key=vocabulary.__getitem__))


def _kind(values: Sequence[object]) -> _Kind:
    """What a field holds, from its values that aren't missing."""
    if values and all(_number(value) is not None for value in values):
        return _Kind.NUMBER
    if values and all(isinstance(value, list) and all(isinstance(item, str) for item in value) for value in values):
        return _Kind.ITEMS
    texts = [_text(value) for value in values if isinstance(value, str | int | float)]
    if 2 * len(texts) <= len(values) or sum(map(_is_location, texts)) > len(texts) / 2:
        return _Kind.IGNORED
    if all(isinstance(value, bool) for value in values):
        return _Kind.CATEGORY
    n_distinct = len(set(texts))
    few = n_distinct <= FEW_VALUES and 3 * n_distinct <= len(texts)
    return _Kind.CATEGORY if few and max(map(len, texts)) <= SHORT else _Kind.TEXT


def _is_missing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and not math.isfinite(value))


def _is_location(text: str) -> bool:
    """Whether a string is nothing but a URL or a file path: /data/upload/1/x.png, images/x.png, x.png."""
    return _LOCATION.fullmatch(text.strip()) is not None


def _number(value: object) -> float | None:
    """A finite number, also written as a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _text(value: object) -> str:
    """The words of a value: tags and entities resolved, cut at `MAX_CHARACTERS`; "" for what isn't a plain value."""
    if not isinstance(value, str | int | float):
        return ""
    return html.unescape(_TAG.sub(" ", str(value)[:MAX_CHARACTERS]))
