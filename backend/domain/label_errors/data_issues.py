"""Tasks that something is wrong with besides their label: near-duplicates, outliers, odd texts, lopsided classes.

The measures are cleanlab's own. Its Datalab needs the package `datasets` (pyarrow tables, a hub client, a dozen more
packages) only to hold the data, so it is not used, and its search for outliers takes minutes where tasks are many.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors

from backend.domain.label_errors.neighbours import (
    DIMENSIONS,
    MAX_REFERENCE,
    N_NEIGHBOURS,
    SMALLEST,
    Neighbours,
    nearest,
    vectors,
)
from backend.domain.reports.check import IssueKind

NEAR = 0.13
"""Datalab's: two tasks are near-duplicates within this share of the median distance to the nearest neighbour."""
CLOSE = 0.5
"""The same after the reduction of dimensions, for pairs worth a closer look."""
MIN_COLUMNS = 20
"""With fewer features rows are near each other by chance."""
SHARED = 0.4
"""Of the triples of characters in two near-duplicates, so many are in both."""
PAIRS = 5_000
"""Compared at a time, which bounds the memory."""
FAR = 0.37
"""Datalab's: a task is an outlier whose score is below this share of the median score. At most `MOST_OUTLIERS`."""
MOST_OUTLIERS = 0.02
RARE = 0.1
"""Datalab's: a class is rare if it has less than this share of what it would have if classes were balanced."""
MIN_TASKS = 20
"""With fewer tasks nobody knows what is usual."""
MIN_LETTERS = 20
"""Letters from which a text's script and words say what language it is in."""
OTHER_SCRIPT = 0.5
COMMON = 0.2
"""Script of most letters, in other tasks: below this share of tasks it is foreign."""
FAMILIAR = 0.05
"""Share of a text's words that must occur in another text, for texts of the common script."""
WORDS = 6
LONGEST_RUN = 20
MAX_NOT_LETTERS = 0.7
RUN = re.compile(r"(\S)\1{" + str(LONGEST_RUN - 1) + "}")
SAMPLE = 3_000
"""Tasks that the dimensions are found from, in which likeness is measured: most of the time went into finding them."""
MOST_OTHERS = 100
"""Near-duplicates named with a task at most: where all texts are the same, naming all would take n² of them."""


@dataclass(frozen=True)
class DataIssue:
    """Something wrong with a task.

    row: the task's place in what was searched; others: the rows that it nearly equals.
    score: 0..1, the lower the worse, comparable within a kind.
    """

    row: int
    kind: IssueKind
    score: float
    others: tuple[int, ...] = ()


def find_data_issues(
    texts: Sequence[str | None], features: csr_matrix | None, labels: NDArray[np.int64], *, seed: int = 0
) -> list[DataIssue]:
    """What is wrong with tasks, conflicting near-duplicates first, then by kind, the worst first.

    Args:
        texts: all text of each task, n of them; None for a task that is something else than text.
        features: (n, d); without them there are no near-duplicates other than equal texts, and no outliers. In a table
            of a few columns (`MIN_COLUMNS`), too, only equal texts are duplicates.
        labels: int64 (n,) or (n, questions), the label people gave, -1 = none.
        seed: draws samples where there are many tasks.
    """
    empty = np.array([text is not None and not text.strip() for text in texts], dtype=np.bool_)
    found = [DataIssue(int(row), IssueKind.EMPTY, 0.0) for row in np.flatnonzero(empty)]
    found += _odd({row: text for row, text in enumerate(texts) if text is not None and text.strip()}, len(texts))
    told = np.flatnonzero(~empty)
    alike = _same(texts, told)
    if features is not None and told.size >= MIN_TASKS:
        points = vectors(features, unit=False, most=SAMPLE, seed=seed)
        lengths = np.linalg.norm(points, axis=1)
        near = nearest(points / np.maximum(lengths, SMALLEST)[:, None], told, seed=seed)
        if features.shape[1] >= MIN_COLUMNS:
            _add_near(alike, texts, features, near, told)
        found += _outliers(features, near, lengths, told, seed)
    found += _duplicates(alike, labels.reshape(len(texts), -1) if len(texts) else labels)
    order = list(IssueKind)
    return sorted(found, key=lambda item: (order.index(item.kind), item.score, item.row))


def rare_classes(labels: NDArray[np.int64], n_classes: int) -> dict[int, float]:
    """Classes with less than `RARE` of an even share of the labels, and the share they have, the rarest first.

    There are none while that would be less than one label: a few labels miss most of many classes.

    labels: int64 (n_labels,), class indices.
    """
    counts = np.bincount(labels[labels >= 0], minlength=n_classes)
    if n_classes < 2 or RARE * counts.sum() < n_classes:
        return {}
    shares = counts / counts.sum()
    rare = [index for index in np.argsort(shares, kind="stable").tolist() if shares[index] < RARE / n_classes]
    return {index: float(shares[index]) for index in rare}


def _same(texts: Sequence[str | None], rows: NDArray[np.int64]) -> dict[int, set[int]]:
    """Row -> others whose text is the same but for case, spaces and punctuation."""
    same: dict[str, list[int]] = {}
    for row in rows.tolist():
        text = texts[row]
        if text is not None:
            same.setdefault(" ".join(re.findall(r"\w+", text.casefold())) or text.strip(), []).append(row)
    return {
        row: {other for other in members[: MOST_OTHERS + 1] if other != row}
        for members in same.values()
        if len(members) > 1
        for row in members
    }


def _add_near(
    alike: dict[int, set[int]],
    texts: Sequence[str | None],
    features: csr_matrix,
    near: Neighbours,
    rows: NDArray[np.int64],
) -> None:
    """The same for rows whose features are nearly the same.

    Datalab's rule, with cosine distances before the reduction of dimensions: after it, two texts about the same matter
    are as close as two copies. Only pairs that are close after it, too, are looked at. Features leave out what only one
    text has, and know other fields: the texts must have characters in common, too.
    """
    distance = 1 - near.similarity[rows]
    radius = NEAR * float(np.median(_distance(features, rows, near.rows[rows, 0])))
    places, columns = np.nonzero(distance <= CLOSE * np.median(distance[:, 0]))
    ones, others = rows[places], near.rows[rows[places], columns]
    for pair in np.flatnonzero(_distance(features, ones, others) <= radius).tolist():
        one, other = int(ones[pair]), int(others[pair])
        if not _share_characters(texts[one], texts[other]):
            continue
        alike.setdefault(one, set()).add(other)
        alike.setdefault(other, set()).add(one)


def _share_characters(one: str | None, other: str | None) -> bool:
    """Whether `SHARED` of all triples of characters are in both; True where there is no text."""
    if one is None or other is None:
        return True
    left, right = (
        {text[at : at + 3] for at in range(max(1, len(text) - 2))} for text in (one.casefold(), other.casefold())
    )
    return len(left & right) >= SHARED * len(left | right)


def _distance(features: csr_matrix, ones: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cosine distances (m,) of pairs of rows."""
    lengths = np.sqrt(np.asarray(features.multiply(features).sum(axis=1), dtype=np.float64).ravel())
    cosine = np.empty(ones.size)
    for start in range(0, ones.size, PAIRS):
        part = slice(start, start + PAIRS)
        products = features[ones[part]].multiply(features[others[part]]).sum(axis=1)
        cosine[part] = np.asarray(products, dtype=np.float64).ravel()
    return np.asarray(1 - cosine / np.maximum(lengths[ones] * lengths[others], SMALLEST))


def _duplicates(alike: dict[int, set[int]], labels: NDArray[np.int64]) -> list[DataIssue]:
    found = []
    for row, others in alike.items():
        theirs = labels[sorted(others)]
        conflict = bool(((theirs >= 0) & (labels[row] >= 0) & (theirs != labels[row])).any())
        kind = IssueKind.CONFLICTING_DUPLICATE if conflict else IssueKind.DUPLICATE
        found.append(DataIssue(row, kind, 1 / (1 + len(others)), tuple(sorted(others))))
    return found


def _outliers(
    features: csr_matrix, near: Neighbours, lengths: NDArray[np.float32], rows: NDArray[np.int64], seed: int
) -> list[DataIssue]:
    """Tasks that are far from their nearest neighbours.

    A table: how near they are (see `nearness`). Texts: the mean cosine to the neighbours before the reduction of
    dimensions: after it, what no other text has is gone. `lengths`: what the reduction left of each row's length.
    """
    if features.shape[1] <= DIMENSIONS:
        scores = nearness(features[rows].toarray(), seed)
    else:
        scores = (near.similarity[rows] * lengths[near.rows[rows]]).mean(axis=1) * lengths[rows]
    scores = np.asarray(scores, dtype=np.float64)
    least = FAR * float(np.median(scores))
    order = np.argsort(scores, kind="stable")[: max(1, int(MOST_OUTLIERS * rows.size))]
    return [
        DataIssue(int(rows[place]), IssueKind.OUTLIER, float(np.clip(scores[place], 0, 1)))
        for place in order
        if scores[place] < least
    ]


def nearness(points: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """exp(-d / median d) of each row's mean distance d to its nearest neighbours: float64 (n,), above 0 to 1; Kuan &
    Mueller (2022).

    What cleanlab's `OutOfDistribution` gives, but that neighbours are looked for among `MAX_REFERENCE` rows at most:
    among all of 100,000 it takes minutes. points: (n, d).
    """
    n = len(points)
    reference = np.sort(np.random.default_rng(seed).permutation(n)[:MAX_REFERENCE])
    k = min(N_NEIGHBOURS, reference.size)
    distances = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points[reference]).kneighbors(points)[0]
    # The nearest one to a row of the reference is this row.
    is_reference = np.isin(np.arange(n), reference)[:, None]
    mean = np.where(is_reference, distances[:, 1:], distances[:, :-1]).mean(axis=1)
    return np.asarray(np.exp(-mean / max(float(np.median(mean)), SMALLEST)), dtype=np.float64)


def _odd(texts: Mapping[int, str], n_tasks: int) -> list[DataIssue]:
    """Texts in another script or with hardly a word that other texts have, and texts that are hardly text."""
    if n_tasks < MIN_TASKS:
        return []
    words = {row: set(re.findall(r"[^\W\d_]+", text.casefold())) for row, text in texts.items()}
    in_texts = Counter(word for item in words.values() for word in item)
    # A text has far fewer different characters than characters.
    counts = {row: Counter(text) for row, text in texts.items()}
    scripts = {row: _script(of_text) for row, of_text in counts.items()}
    of_script = Counter(script for script in scripts.values() if script)
    n_scripts = sum(of_script.values())
    found = []
    for row, text in texts.items():
        script, letters = scripts[row], sum(n for character, n in counts[row].items() if character.isalpha())
        shared = sum(in_texts[word] > 1 for word in words[row]) / max(len(words[row]), 1)
        if letters >= MIN_LETTERS and script and of_script[script] < COMMON * n_scripts:
            found.append(DataIssue(row, IssueKind.FOREIGN, of_script[script] / n_scripts))
        elif letters >= MIN_LETTERS and len(words[row]) >= WORDS and shared < FAMILIAR:
            found.append(DataIssue(row, IssueKind.FOREIGN, shared))
        elif _is_odd(text, counts[row], letters):
            found.append(DataIssue(row, IssueKind.ODD, letters / len(text)))
    return found


def _is_odd(text: str, counts: Mapping[str, int], letters: int) -> bool:
    """Broken characters, one character many times in a row, or hardly any letters."""
    # A run needs a character that is there so often at all.
    often = any(count >= LONGEST_RUN for count in counts.values())
    run = often and RUN.search(text) is not None
    few = len(text) >= MIN_LETTERS and letters < (1 - MAX_NOT_LETTERS) * len(text)
    return run or few or any(_is_broken(character) for character in counts)


@cache
def _is_broken(character: str) -> bool:
    """No text has it: a control character, one that doesn't exist, or what stands for one that couldn't be read."""
    return character == "\ufffd" or (character not in "\t\n\r" and unicodedata.category(character) in ("Cc", "Cn"))


def _script(counts: Mapping[str, int]) -> str | None:
    """The script of most letters, by Unicode's names: "LATIN", "CYRILLIC", "CJK", ...; None without letters."""
    names: Counter[str] = Counter()
    for character, count in counts.items():
        if character.isalpha():
            names[_script_of(character)] += count
    if not names:
        return None
    script, count = names.most_common(1)[0]
    return script if count >= OTHER_SCRIPT * names.total() else None


@cache
def _script_of(character: str) -> str:
    return unicodedata.name(character, "?").split(" ")[0].split("-")[0]
