"""Texts as TF-IDF of words, word pairs and characters.

scikit-learn's vectorizers give the same numbers, but read every text once for words and once for characters, and look
up every pair and every n-gram of characters in a dictionary of Python strings. Here each text is split once; pairs are
pairs of numbers, and the characters of a word are looked up once however often it occurs. That is what lets 100,000
tasks be read in seconds.
"""

import html
import json
import re
from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

MAX_TERMS = 50_000
"""Words and word pairs, the most frequent ones."""
MAX_PIECES = 30_000
"""N-grams of characters, the most frequent ones."""
MAX_CHARACTERS = 20_000
"""Of each text; a transcript of hours doesn't need to be read to its end to know what it is about."""
PIECE_LENGTHS = (3, 4, 5)
LONGEST_WORD = 40
"""Characters beyond these give no n-grams: what is longer is a key or a hash and no word."""
CHUNK = 5_000
"""Texts that n-grams are counted in at a time, which bounds the memory."""

_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0dff\u0f00-\u0fff\u1000-\u109f"
_UNSPACED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_SYMBOLS = "\u2600-\u27bf\U0001f300-\U0001faff"
TOKEN = rf"[{_UNSPACED}{_SYMBOLS}]|(?:(?![{_UNSPACED}])[\w{_MARKS}])+"
r"""A word. `\w` alone breaks Indic, Hebrew and Arabic words at their vowel signs; scripts without spaces between words
give single characters, whose pairs are the usual features there; emoji are words of their own."""
_TOKEN = re.compile(TOKEN)
_ASCII_TOKEN = re.compile(r"\w+", re.ASCII)
"""What `TOKEN` finds in plain ASCII, several times as fast."""
_TAG = re.compile(r"</?[a-zA-Z!][^<>]*>")


class TextFeatures:
    """TF-IDF of the words, word pairs and character n-grams that two texts or more have in common.

    Sublinear term frequency 1 + log(tf), inverse document frequency log((1 + n) / (1 + df)) + 1 (as scikit-learn's
    TfidfTransformer). Words with pairs are one block of columns and characters another, each with rows of length 1.
    N-grams are of single words with a space at both ends, so that beginnings and endings are features of their own.
    """

    words_: dict[str, int]
    pairs_: NDArray[np.int64]
    """Sorted keys first · n_words + second of the pairs, whose columns follow those of the words."""
    pieces_: dict[str, int]
    term_idf_: NDArray[np.float32]
    piece_idf_: NDArray[np.float32]

    def fit(self, texts: Sequence[str]) -> Self:
        """Collect what texts have in common. A term of one text alone can only help to learn that text by heart."""
        split = _Split(texts)
        counts = split.document_counts()
        common = np.flatnonzero(counts > 1)
        common = common[np.argsort(-counts[common], kind="stable")][:MAX_TERMS]
        chosen = np.full(len(split.words), -1, dtype=np.int64)
        chosen[np.sort(common)] = np.arange(common.size)
        rows, keys = split.pairs(chosen, common.size)
        keys, pair_counts = _document_counts(rows, keys)
        shared = pair_counts > 1
        keys, pair_counts = keys[shared], pair_counts[shared]
        if common.size + keys.size > MAX_TERMS:
            # Pairs that are rarer than the words they push out would leave words without columns, so they go first.
            best = np.argsort(-pair_counts, kind="stable")[: MAX_TERMS - common.size]
            best.sort()
            keys, pair_counts = keys[best], pair_counts[best]
        self.words_ = {split.words[word]: int(chosen[word]) for word in np.flatnonzero(chosen >= 0)}
        self.pairs_ = keys
        self.term_idf_ = _idf(np.concatenate([counts[chosen >= 0], pair_counts]), len(texts))
        self._fit_pieces(split, len(texts))
        return self

    def transform(self, texts: Sequence[str]) -> csr_matrix:
        """Features, float32 (n_texts, `width`); all in memory at once, so give some thousands at a time."""
        split = _Split(texts)
        n, n_words = len(texts), len(self.words_)
        chosen = np.fromiter((self.words_.get(word, -1) for word in split.words), np.int64, len(split.words))
        columns = chosen[split.tokens]
        rows, keys = split.pairs(chosen, n_words)
        places = np.searchsorted(self.pairs_, keys)
        found = places < self.pairs_.size
        found[found] = self.pairs_[places[found]] == keys[found]
        is_word = columns >= 0
        terms = _counted(
            np.concatenate([split.rows[is_word], rows[found]]),
            np.concatenate([columns[is_word], n_words + places[found]]),
            (n, self.term_idf_.size),
        )
        _weigh(terms, self.term_idf_)
        if not self.piece_idf_.size:
            return terms
        pieces = split.matrix(0, n) @ _piece_rows(split.words, self.pieces_)
        _weigh(pieces, self.piece_idf_)
        return hstack([terms, pieces], format="csr", dtype=np.float32)

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.term_idf_.size + self.piece_idf_.size)

    def __getstate__(self) -> dict[str, object]:
        """What skops stores: vocabularies as JSON, because it needs a minute to write one as a dict."""
        return {**self.__dict__, "words_": json.dumps(list(self.words_)), "pieces_": json.dumps(list(self.pieces_))}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self.words_ = {word: column for column, word in enumerate(json.loads(str(state["words_"])))}
        self.pieces_ = {piece: column for column, piece in enumerate(json.loads(str(state["pieces_"])))}

    def _fit_pieces(self, split: "_Split", n_texts: int) -> None:
        known: dict[str, int] = {}
        of_words = _piece_rows(split.words, known, grow=True)
        if not known:
            self.pieces_, self.piece_idf_ = {}, np.zeros(0, dtype=np.float32)
            return
        counts = np.zeros(len(known), dtype=np.int64)
        for start in range(0, n_texts, CHUNK):
            has = split.matrix(start, start + CHUNK) @ of_words
            counts += np.bincount(has.indices, minlength=len(known))
        common = np.flatnonzero(counts > 1)
        common = np.sort(common[np.argsort(-counts[common], kind="stable")][:MAX_PIECES])
        names = list(known)
        self.pieces_ = {names[piece]: column for column, piece in enumerate(common)}
        self.piece_idf_ = _idf(counts[common], n_texts)


class _Split:
    """Texts as words: `words` are the distinct ones, `tokens` index them, `rows` say which text each token is of."""

    def __init__(self, texts: Sequence[str]) -> None:
        numbers: dict[str, int] = {}
        lengths = np.empty(len(texts), dtype=np.int64)
        tokens: list[int] = []
        for row, text in enumerate(texts):
            lowered = text.lower()
            found = (_ASCII_TOKEN if lowered.isascii() else _TOKEN).findall(lowered)
            tokens.extend([numbers.setdefault(word, len(numbers)) for word in found])
            lengths[row] = len(found)
        self.words = list(numbers)
        self.tokens = np.array(tokens, dtype=np.int64)
        self.rows = np.repeat(np.arange(len(texts)), lengths)
        self._ends = np.concatenate([[0], np.cumsum(lengths)])

    def document_counts(self) -> NDArray[np.int64]:
        """In how many texts each word occurs, (n_words,)."""
        words, counts = _document_counts(self.rows, self.tokens)
        all_counts = np.zeros(len(self.words), dtype=np.int64)
        all_counts[words] = counts
        return all_counts

    def pairs(self, chosen: NDArray[np.int64], n_chosen: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and keys of all neighbours that are both chosen; a key is first · n_chosen + second."""
        numbers = chosen[self.tokens]
        first, second = numbers[:-1], numbers[1:]
        together = (first >= 0) & (second >= 0) & (self.rows[:-1] == self.rows[1:])
        return self.rows[:-1][together], first[together] * n_chosen + second[together]

    def matrix(self, start: int, stop: int) -> csr_matrix:
        """How often each word occurs in texts start to stop: float32 (at most stop - start, n_words)."""
        ends = self._ends[start : stop + 1]
        tokens = self.tokens[ends[0] : ends[-1]]
        counted = csr_matrix(
            (np.ones(tokens.size, dtype=np.float32), tokens, ends - ends[0]), shape=(ends.size - 1, len(self.words))
        )
        counted.sum_duplicates()
        return counted


def readable(value: str) -> str:
    """Text without HTML: tags and entities resolved, cut at `MAX_CHARACTERS`."""
    cut = value[:MAX_CHARACTERS]
    if "<" in cut:
        cut = _TAG.sub(" ", cut)
    return html.unescape(cut) if "&" in cut else cut


def _pieces(word: str) -> Iterable[str]:
    """N-grams of characters of a word; none for a single character, which is a word itself."""
    if len(word) < 2:
        return
    padded = f" {word[:LONGEST_WORD]} "
    for length in PIECE_LENGTHS:
        for start in range(len(padded) - length + 1):
            yield padded[start : start + length]


def _piece_rows(words: Sequence[str], known: dict[str, int], *, grow: bool = False) -> csr_matrix:
    """N-grams of each word: float32 (n_words, n_pieces). Unknown ones are left out, or become known if `grow`."""
    indices: list[int] = []
    ends = np.zeros(len(words) + 1, dtype=np.int64)
    for row, word in enumerate(words):
        if grow:
            indices.extend([known.setdefault(piece, len(known)) for piece in _pieces(word)])
        else:
            indices.extend([column for piece in _pieces(word) if (column := known.get(piece)) is not None])
        ends[row + 1] = len(indices)
    ones = np.ones(len(indices), dtype=np.float32)
    return csr_matrix((ones, np.array(indices, dtype=np.int64), ends), shape=(len(words), len(known)))


def _counted(rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]) -> csr_matrix:
    """How often each column occurs in each row: float32."""
    return csr_matrix((np.ones(rows.size, dtype=np.float32), (rows, columns)), shape=shape)


def _document_counts(rows: NDArray[np.int64], keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct keys, sorted, and in how many rows each occurs."""
    if not keys.size:
        return keys, np.zeros(0, dtype=np.int64)
    order = np.lexsort((rows, keys))
    rows, keys = rows[order], keys[order]
    new = np.ones(keys.size, dtype=np.bool_)
    new[1:] = (keys[1:] != keys[:-1]) | (rows[1:] != rows[:-1])
    found, counts = np.unique(keys[new], return_counts=True)
    return found, counts


def _idf(counts: NDArray[np.int64], n_texts: int) -> NDArray[np.float32]:
    return (np.log((1 + n_texts) / (1 + counts)) + 1).astype(np.float32)


def _weigh(counted: csr_matrix, idf: NDArray[np.float32]) -> None:
    """Counts to TF-IDF with rows of length 1, in place."""
    counted.data = (1 + np.log(counted.data)) * idf[counted.indices]
    squares = np.add.reduceat(np.append(counted.data**2, np.float32(0)), counted.indptr[:-1])
    squares[np.diff(counted.indptr) == 0] = 1
    counted.data /= np.repeat(np.sqrt(squares), np.diff(counted.indptr))
