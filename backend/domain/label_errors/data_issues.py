"""Tasks that something is wrong with besides their label: near-duplicates, outliers, odd texts, lopsided classes.

The measures are cleanlab's own. Its Datalab needs the package `datasets` (pyarrow tables, a hub client, a dozen more
packages) only to hold the data, so it is not used: outliers come from `cleanlab.outlier`, the thresholds of
near-duplicates and imbalance are Datalab's.
"""

import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from cleanlab.outlier import OutOfDistribution
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors

from backend.domain.label_errors.neighbours import DIMENSIONS, N_NEIGHBOURS, nearest, vectors

NEAR = 0.13
"""Datalab's: two tasks are near-duplicates within this share of the median distance to the nearest neighbour."""
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


class IssueKind(StrEnum):
    """What is wrong; the first ones are worth looking at first."""

    CONFLICTING_DUPLICATE = "near-duplicates with different labels"
    DUPLICATE = "near-duplicates"
    EMPTY = "empty text"
    FOREIGN = "foreign language"
    ODD = "odd text"
    OUTLIER = "outlier"


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
    texts: Sequence[str], features: csr_matrix | None, labels: NDArray[np.int64], *, seed: int = 0
) -> list[DataIssue]:
    """What is wrong with tasks, conflicting near-duplicates first, then by kind, the worst first.

    Args:
        texts: all text of each task, n of them.
        features: (n, d); without them there are no near-duplicates other than equal texts, and no outliers.
        labels: int64 (n,), the label people gave, -1 = none.
        seed: draws samples where there are many tasks.
    """
    empty = np.array([not text.strip() for text in texts], dtype=np.bool_)
    found = [DataIssue(int(row), IssueKind.EMPTY, 0.0) for row in np.flatnonzero(empty)]
    found += _odd(texts, empty)
    told = np.flatnonzero(~empty)
    points = None if features is None else vectors(features, seed=seed)
    found += _duplicates(texts, points, labels, told, seed)
    if features is not None and told.size >= MIN_TASKS:
        found += _outliers(features, told, seed)
    order = list(IssueKind)
    return sorted(found, key=lambda item: (order.index(item.kind), item.score, item.row))


def rare_classes(labels: NDArray[np.int64], n_classes: int) -> dict[int, float]:
    """Classes with less than `RARE` of an even share of the labels, and the share they have, the rarest first."""
    counts = np.bincount(labels[labels >= 0], minlength=n_classes)
    if not counts.sum() or n_classes < 2:
        return {}
    shares = counts / counts.sum()
    rare = [index for index in np.argsort(shares, kind="stable").tolist() if shares[index] < RARE / n_classes]
    return {index: float(shares[index]) for index in rare}


def _duplicates(
    texts: Sequence[str],
    points: NDArray[np.float32] | None,
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    seed: int,
) -> list[DataIssue]:
    """Tasks whose text is the same but for case, spaces and punctuation, or whose features nearly are."""
    alike: dict[int, set[int]] = {}
    same: dict[str, list[int]] = {}
    for row in rows.tolist():
        same.setdefault(" ".join(re.findall(r"\w+", texts[row].casefold())) or texts[row].strip(), []).append(row)
    for members in same.values():
        for row in members if len(members) > 1 else ():
            alike.setdefault(row, set()).update(other for other in members if other != row)
    if points is not None and rows.size >= MIN_TASKS:
        near = nearest(points, rows, seed=seed)
        distance = 1 - near.similarity[rows].astype(np.float64)
        radius = NEAR * float(np.median(distance[:, 0]))
        for place, column in np.argwhere(distance <= radius):
            row, other = int(rows[place]), int(near.rows[rows[place], column])
            alike.setdefault(row, set()).add(other)
            alike.setdefault(other, set()).add(row)
    found = []
    for row, others in alike.items():
        conflict = any(labels[row] >= 0 and labels[other] >= 0 and labels[row] != labels[other] for other in others)
        kind = IssueKind.CONFLICTING_DUPLICATE if conflict else IssueKind.DUPLICATE
        found.append(DataIssue(row, kind, 1 / (1 + len(others)), tuple(sorted(others))))
    return found


def _outliers(features: csr_matrix, rows: NDArray[np.int64], seed: int) -> list[DataIssue]:
    """Tasks that are far from their nearest neighbours.

    A table: cleanlab's score (Kuan & Mueller 2022). Texts: the mean cosine to the neighbours before the reduction of
    dimensions, because cleanlab takes the cosine after it, where what no other text has is gone.
    """
    if features.shape[1] <= DIMENSIONS:
        points = features[rows].toarray()
        knn = NearestNeighbors(n_neighbors=N_NEIGHBOURS, metric="euclidean").fit(points)
        with warnings.catch_warnings():
            # It warns that the neighbours are given; left to itself it would take the cosine.
            warnings.simplefilter("ignore")
            scores = OutOfDistribution({"k": N_NEIGHBOURS, "knn": knn}).fit_score(features=points, verbose=False)
    else:
        near = nearest(vectors(features, unit=False, seed=seed), rows, seed=seed)
        scores = near.similarity[rows].mean(axis=1)
    scores = np.asarray(scores, dtype=np.float64)
    least = FAR * float(np.median(scores))
    order = np.argsort(scores, kind="stable")[: max(1, int(MOST_OUTLIERS * rows.size))]
    return [
        DataIssue(int(rows[place]), IssueKind.OUTLIER, float(np.clip(scores[place], 0, 1)))
        for place in order
        if scores[place] < least
    ]


def _odd(texts: Sequence[str], empty: NDArray[np.bool_]) -> list[DataIssue]:
    """Texts in another script or with hardly a word that other texts have, and texts that are hardly text."""
    if len(texts) < MIN_TASKS:
        return []
    words = [set(re.findall(r"[^\W\d_]+", text.casefold())) for text in texts]
    in_texts = Counter(word for item in words for word in item)
    scripts = [_script(text) for text in texts]
    of_script = Counter(script for script in scripts if script)
    n_scripts = sum(of_script.values())
    found = []
    for row, text in enumerate(texts):
        if empty[row]:
            continue
        script, letters = scripts[row], sum(character.isalpha() for character in text)
        shared = sum(in_texts[word] > 1 for word in words[row]) / max(len(words[row]), 1)
        if letters >= MIN_LETTERS and script and of_script[script] < COMMON * n_scripts:
            found.append(DataIssue(row, IssueKind.FOREIGN, of_script[script] / n_scripts))
        elif letters >= MIN_LETTERS and len(words[row]) >= WORDS and shared < FAMILIAR:
            found.append(DataIssue(row, IssueKind.FOREIGN, shared))
        elif _is_odd(text, letters):
            found.append(DataIssue(row, IssueKind.ODD, letters / len(text)))
    return found


def _is_odd(text: str, letters: int) -> bool:
    """Broken characters, one character many times in a row, or hardly any letters."""
    broken = "\ufffd" in text or any(
        unicodedata.category(item) in ("Cc", "Cn") for item in text if item not in "\t\n\r"
    )
    run = re.search(r"(\S)\1{" + str(LONGEST_RUN - 1) + "}", text) is not None
    return broken or run or (len(text) >= MIN_LETTERS and letters < (1 - MAX_NOT_LETTERS) * len(text))


def _script(text: str) -> str | None:
    """The script of most letters, by Unicode's names: "LATIN", "CYRILLIC", "CJK", ...; None without letters."""
    letters = [character for character in text[:500] if character.isalpha()]
    names = Counter(unicodedata.name(character, "?").split(" ")[0].split("-")[0] for character in letters)
    if not names:
        return None
    script, count = names.most_common(1)[0]
    return script if count >= OTHER_SCRIPT * len(letters) else None
