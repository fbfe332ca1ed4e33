"""Data sets on disk, in every form that their READMEs describe: read here for all benchmarks.

A folder has texts (`texts.jsonl.gz` or `data.jsonl.gz`: split, text, label or labels), votes (`votes.npz`: `L_<split>`,
`y_<split>`), or both, and perhaps `meta.json` with names. Any of it may be missing: labels of some rows or of a whole
split, texts of some splits, votes, names of classes and of sources.
"""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.domain.questions.forms import Votes

UNKNOWN = -1
TEXTS = ("data.jsonl.gz", "texts.jsonl.gz")
VOTES = "votes.npz"


@dataclass(frozen=True)
class DataSet:
    """Rows of all splits.

    splits, texts: of each row; None where there is no text. truth: int64 (n,), or (n, k) of 0 and 1 where a row may
    have several labels; -1 = unknown. votes: int16 (n, m), -1 = abstain. sources: m names.
    """

    name: str
    classes: tuple[str, ...]
    sources: tuple[str, ...]
    splits: NDArray[np.str_]
    texts: Sequence[str | None]
    truth: NDArray[np.int64]
    votes: Votes

    @property
    def multiple(self) -> bool:
        """Whether a row may have several labels."""
        return self.truth.ndim == 2

    @property
    def labeled(self) -> NDArray[np.bool_]:
        """Rows whose truth is known."""
        return np.asarray((self.truth.reshape(len(self.texts), -1) >= 0).all(axis=1))

    @property
    def has_text(self) -> NDArray[np.bool_]:
        """Rows with a text."""
        return np.array([text is not None for text in self.texts], dtype=np.bool_)

    @property
    def data(self) -> list[dict[str, object]]:
        """Task data of each row: empty without a text."""
        return [{} if text is None else {"text": text} for text in self.texts]

    def of_splits(self, *names: str) -> NDArray[np.bool_]:
        """Rows of these splits."""
        return np.isin(self.splits, names)

    def rows(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "DataSet":
        """Some of the rows, by mask or by place."""
        places = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        return replace(
            self,
            splits=self.splits[places],
            texts=[self.texts[place] for place in places.tolist()],
            truth=self.truth[places],
            votes=self.votes[places],
        )


def folders(data: Path, kinds: Iterable[str], names: Iterable[str] = ()) -> list[Path]:
    """Folders of these kinds (`ws_*`, ...) with texts or votes; those named, or all."""
    chosen = set(names)
    found = sorted({path for kind in kinds for path in data.glob(kind) if _holds_something(path)})
    return [path for path in found if not chosen or path.name in chosen]


def read(folder: Path) -> DataSet:
    """All rows of a folder, split by split; rows that only have votes or only a text, too."""
    path = folder / "meta.json"
    meta = json.loads(path.read_text()) if path.exists() else {}
    written = _texts(folder)
    votes, given = _votes(folder)
    splits = list(dict.fromkeys([*written, *given, *votes]))
    sizes = {split: max(len(part.get(split, ())) for part in (written, votes, given)) for split in splits}
    m = max((part.shape[1] for part in votes.values()), default=0)
    labels = [
        written.get(split, {}).get(row, {}).get("label") if split not in given else int(given[split][row])
        for split in splits
        for row in range(sizes[split])
    ]
    classes, truth = _truth(labels, meta.get("classes"), meta.get("n_classes"))
    abstained = {split: np.full((sizes[split], m), UNKNOWN, dtype=np.int16) for split in splits}
    return DataSet(
        name=folder.name,
        classes=classes,
        sources=_names(meta.get("lfs"), m),
        splits=np.array([split for split in splits for _ in range(sizes[split])], dtype=np.str_),
        texts=[written.get(split, {}).get(row, {}).get("text") for split in splits for row in range(sizes[split])],
        truth=truth,
        votes=np.concatenate([votes.get(split, abstained[split]) for split in splits]) if splits else _NO_VOTES,
    )


_NO_VOTES: Votes = np.zeros((0, 0), dtype=np.int16)


def _holds_something(folder: Path) -> bool:
    return any((folder / name).exists() for name in (*TEXTS, VOTES))


def _names(given: Sequence[str] | None, m: int) -> tuple[str, ...]:
    """Of so many sources: numbers where there are no names, or not as many."""
    return tuple(map(str, given)) if given and len(given) == m else tuple(f"source {column}" for column in range(m))


def _texts(folder: Path) -> dict[str, dict[int, Mapping[str, Any]]]:
    """Rows with a text by split and place: their `i`, or the order in which they come."""
    path = next((path for name in TEXTS if (path := folder / name).exists()), None)
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    if path is not None:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                of_split = found.setdefault(str(row.get("split", "all")), {})
                of_split[int(row.get("i", len(of_split)))] = row
    return found


def _votes(folder: Path) -> tuple[dict[str, Votes], dict[str, NDArray[np.int64]]]:
    """Votes (n, m) and gold (n,) by split."""
    votes: dict[str, Votes] = {}
    gold: dict[str, NDArray[np.int64]] = {}
    if (folder / VOTES).exists():
        with np.load(folder / VOTES) as file:
            for name in file.files:
                kind, _, split = name.partition("_")
                if kind == "L":
                    votes[split] = file[name].reshape(len(file[name]), -1).astype(np.int16)
                elif kind == "y":
                    gold[split] = file[name].astype(np.int64)
    return votes, gold


def _truth(
    labels: Sequence[Any], names: Sequence[str] | None, n_classes: int | None
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Names of the classes, and the truth: of labels that are names, places of classes, lists of names, or None."""
    known = [label for label in labels if label is not None]
    if any(isinstance(label, list) for label in known):
        classes = tuple(sorted({str(name) for label in known for name in label}))
        sets = [None if label is None else {str(name) for name in label} for label in labels]
        return classes, np.array(
            [[UNKNOWN if chosen is None else int(name in chosen) for name in classes] for chosen in sets], np.int64
        ).reshape(len(labels), len(classes))
    if all(isinstance(label, int) for label in known):
        k = max([n_classes or 0, len(names or ()), *(label + 1 for label in known)])
        classes = tuple(map(str, names or range(k)))
        return classes, np.array([UNKNOWN if label is None else label for label in labels], dtype=np.int64)
    classes = tuple(map(str, names)) if names else tuple(sorted({str(label) for label in known}))
    places = {name: place for place, name in enumerate(classes)}
    return classes, np.array([places.get(str(label), UNKNOWN) for label in labels], dtype=np.int64)
