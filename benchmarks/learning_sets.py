"""Text sets with gold labels for `benchmarks.active_learning`: a pool to choose from, a test set, and rules' votes."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.metrics import f1_score

from backend.adapters.embedding.builtin import BuiltinEmbedder
from backend.domain.features import FeatureExtractor
from backend.domain.features.vectors import Vectors, VectorSpace
from backend.domain.model.project import joined
from backend.domain.priorities.geometry import coordinates, places
from backend.domain.questions import Choices, Decision, Question, decisions
from backend.domain.votes import VoteMatrix
from backend.ports.embeddings import ToEmbed
from backend.workflows.embed import MAX_CHARACTERS
from benchmarks import sets
from benchmarks.sets import DataSet

KINDS = ("al_*", "ws_*")
POOL, TEST = 5_000, 3_000
"""Rows kept at most, drawn at random: the same for all methods and seeds."""


@dataclass(frozen=True)
class TextSet:
    """A labeled project to replay.

    features, test_features: (n, d), of which the last `n_vectors` columns are of embeddings.
    truth, test_truth: int64 (n, number of decisions), class index. votes, test_votes: of labeling functions, by
    `Decision.key`; no columns where there are none. space, where: see `coordinates` and `places`.
    """

    name: str
    question: Question
    features: csr_matrix
    truth: NDArray[np.int64]
    votes: Mapping[str, VoteMatrix]
    space: NDArray[np.float32]
    where: NDArray[np.float32]
    test_features: csr_matrix
    test_truth: NDArray[np.int64]
    test_votes: Mapping[str, VoteMatrix]
    n_vectors: int = 0

    @property
    def decisions(self) -> list[Decision]:
        """One, or one for each label of a question with several answers."""
        return decisions(self.question)

    @property
    def n_pool(self) -> int:
        """Tasks to choose from."""
        return len(self.truth)

    def scores(self, proba: list[NDArray[np.float64]]) -> dict[str, float]:
        """Accuracy (micro-F1 where an answer is a set of labels) and macro-F1 on the test set, 0..1.

        Args:
            proba: (n_test, k) of each decision.
        """
        chosen = np.column_stack([one.argmax(axis=1) for one in proba])
        if self.question.multiple:
            micro, macro = (
                f1_score(self.test_truth, chosen, average=average, zero_division=0) for average in ("micro", "macro")
            )
            return {"accuracy": float(micro), "macro_f1": float(macro)}
        right = chosen[:, 0] == self.test_truth[:, 0]
        macro = f1_score(self.test_truth[:, 0], chosen[:, 0], average="macro", zero_division=0)
        return {"accuracy": float(right.mean()), "macro_f1": float(macro)}


def folders(data: Path, names: Iterable[str]) -> list[Path]:
    """The folders with texts that have gold labels; those named, or all."""
    return [path for path in sets.folders(data, KINDS, names) if labeled_texts(path).texts]


def labeled_texts(folder: Path) -> DataSet:
    """The rows of a set that have a text and a label."""
    item = sets.read(folder)
    return item.rows(item.has_text & item.labeled)


def load(folder: Path, pool: int = POOL, test: int = TEST, *, embedded: bool = False) -> TextSet:
    """Read a set. Validation rows go to the test rows, which are few on some sets; a set without splits, or with texts
    of one split only, is cut.

    embedded: features are those of the product, which embeds texts; else words and characters only.
    """
    item = labeled_texts(folder)
    random = np.random.default_rng(0)
    is_train = item.of_splits("train")
    if is_train.all() or not is_train.any():
        is_train = np.zeros(is_train.size, dtype=np.bool_)
        is_train[random.permutation(is_train.size)[: 2 * is_train.size // 3]] = True
    drawn = [
        np.sort(random.permutation(np.flatnonzero(split))[:size])
        for split, size in ((is_train, pool), (~is_train, test))
    ]
    question = Choices("answer", "text", item.classes, item.multiple)
    truth = item.truth if item.multiple else item.truth[:, None]
    train, rest = drawn
    data = item.data
    extractor = FeatureExtractor().fit([data[row] for row in train])
    features, test_features = (extractor.transform([data[row] for row in part]) for part in drawn)
    n_vectors = 0
    if embedded:
        vectors, test_vectors = (Vectors("builtin", embed([str(data[row]["text"]) for row in part])) for part in drawn)
        found = VectorSpace.fit(vectors, seed=0)
        features, test_features = joined(features, found, vectors), joined(test_features, found, test_vectors)
        n_vectors = 0 if found is None else found.width
    space = coordinates(features, seed=0)
    matrices = [
        {decision.key: VoteMatrix(decision, item.sources, item.votes[part]) for decision in decisions(question)}
        for part in drawn
    ]
    return TextSet(
        name=folder.name,
        question=question,
        features=features,
        truth=truth[train],
        votes=matrices[0],
        space=space,
        where=places(space),
        test_features=test_features,
        test_truth=truth[rest],
        test_votes=matrices[1],
        n_vectors=n_vectors,
    )


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors (n, d) of the built-in encoder, kept in the user's cache: the next run begins at once."""
    contents = [ToEmbed(text[:MAX_CHARACTERS]) for text in texts]
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prelabel-benchmarks"
    name = hashlib.sha256("\0".join([BuiltinEmbedder.name, *(item.text for item in contents)]).encode()).hexdigest()
    path = kept / f"{name}.npy"
    if not path.exists():
        kept.mkdir(parents=True, exist_ok=True)
        made = BuiltinEmbedder().embed(contents)
        np.save(path.with_suffix(".new.npy"), made)
        path.with_suffix(".new.npy").rename(path)
    return np.asarray(np.load(path), dtype=np.float32)
