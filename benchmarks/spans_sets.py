"""Sets of documents with spans and votes of labeling functions, for `benchmarks.spans` and its parts."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from backend.domain.spans.text import Run
from backend.domain.spans.vote import Runs, Voted


@dataclass(frozen=True)
class Part:
    """Documents with votes, and the runs that are right."""

    texts: list[Voted]
    gold: list[Runs]

    @property
    def n_tokens(self) -> list[int]:
        """Of each document."""
        return [len(text.words) for text in self.texts]


@dataclass(frozen=True)
class SpanSet:
    """A set with a part to learn from and one to be measured on."""

    name: str
    labels: tuple[str, ...]
    train: Part
    test: Part

    def order(self, seed: int) -> list[int]:
        """The documents of the train part in random order."""
        return [int(row) for row in np.random.default_rng(seed).permutation(len(self.train.texts))]


def load(folder: Path) -> SpanSet | None:
    """A set as its README says; None without a train part that has gold spans.

    `lf_rec` in its meta.json names the rules that vote; the other ones are hints. Without it all vote. A set without a
    test part is measured on its valid part.
    """
    meta = json.loads((folder / "meta.json").read_text()) if (folder / "meta.json").exists() else {}
    parts = {name: path for name in ("train", "valid", "test") if (path := folder / f"{name}.jsonl.gz").exists()}
    if "train" not in parts or len(parts) == 1:
        return None
    train = _lines(parts["train"])
    names = meta.get("lf") or [str(column) for column in range(len(train[0].get("lf_spans", [])))]
    voting = [column for column, name in enumerate(names) if not meta.get("lf_rec") or name in meta["lf_rec"]]
    hinting = [column for column in range(len(names)) if column not in voting]
    test = _lines(parts.get("test", parts.get("valid", parts["train"])))
    read = [_part(rows, voting, hinting) for rows in (train, test)]
    labels = tuple(sorted({run.label for part in read for runs in part.gold for run in runs}))
    return SpanSet(folder.name, labels, *read)


def _lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def _part(rows: Sequence[dict[str, Any]], voting: Sequence[int], hinting: Sequence[int]) -> Part:
    texts = []
    for row in rows:
        marked = [_runs(spans) for spans in row.get("lf_spans", [])]
        votes, hints = (tuple(marked[column] for column in columns) for columns in (voting, hinting))
        texts.append(Voted(tuple(row["tokens"]), votes, hints=hints))
    return Part(texts, [_runs(row["spans"]) for row in rows])


def _runs(spans: Sequence[Sequence[Any]]) -> Runs:
    return tuple(sorted(Run(int(first), int(stop), str(label)) for first, stop, label in spans))


def without_votes(texts: Sequence[Voted]) -> list[Voted]:
    """The same words, and nothing that a rule said."""
    return [replace(text, votes=(), against=(), hints=()) for text in texts]
