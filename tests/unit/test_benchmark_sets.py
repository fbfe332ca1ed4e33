"""Benchmarks read every form of a set: whatever may be missing, is."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import hybrid, label_errors, label_model, learning_sets, sets

N = 60
WORDS = ("good fine", "bad poor")


def written(
    folder: Path,
    texts: Sequence[dict[str, Any]] = (),
    votes: dict[str, Any] | None = None,
    meta: dict[str, Any] | None = None,
    name: str = "texts.jsonl.gz",
) -> Path:
    folder.mkdir(parents=True)
    if texts:
        with gzip.open(folder / name, "wt") as file:
            file.write("".join(json.dumps(row) + "\n" for row in texts))
    if votes is not None:
        np.savez(folder / "votes.npz", **votes)
    if meta is not None:
        (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def truth(n: int = N) -> Any:
    return np.arange(n) % 2


def cast(n: int = N, m: int = 3) -> Any:
    votes = np.repeat(truth(n)[:, None], m, axis=1).astype(np.int8)
    votes[::5] = -1
    return votes


def texts(split: str, n: int = N, labels: Sequence[Any] | None = None) -> list[dict[str, Any]]:
    """Rows of a split; without `labels` they have none."""
    return [
        {"split": split, "i": row, "text": f"{WORDS[row % 2]} number {row}"}
        | ({} if labels is None else {"label": labels[row]})
        for row in range(n)
    ]


def test_rows_without_labels_names_and_texts_are_read_as_such(tmp_path: Path) -> None:
    gold = truth().copy()
    gold[:10] = -1
    votes = {"L_train": cast(), "y_train": gold, "L_test": cast(20)}
    item = sets.read(written(tmp_path / "ws_a", texts("train"), votes, {"n_classes": 2, "classes": None, "lfs": None}))
    assert item.classes == ("0", "1")
    assert item.sources == ("source 0", "source 1", "source 2")
    assert [int(item.of_splits(split).sum()) for split in ("train", "test")] == [60, 20]
    assert item.labeled.sum() == 50
    assert item.has_text.sum() == 60
    np.testing.assert_array_equal(item.votes, np.concatenate([cast(), cast(20)]))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["no", None] * 30, ("no",)),
        ([10, 2] * 30, tuple(map(str, range(11)))),
        ([["a", "b"], None] * 30, ("a", "b")),
    ],
)
def test_labels_are_names_places_sets_or_nothing(tmp_path: Path, labels: list[Any], classes: tuple[str, ...]) -> None:
    item = sets.read(written(tmp_path / "al_a", texts("all", labels=labels), name="data.jsonl.gz"))
    assert item.classes == classes
    assert item.labeled.sum() == sum(label is not None for label in labels)
    assert item.votes.shape == (N, 0)
    if not item.multiple:
        found = [None if place < 0 else classes[place] for place in item.truth.tolist()]
        assert found == [None if label is None else str(label) for label in labels]


@pytest.fixture
def forms(tmp_path: Path) -> Path:
    """A folder with a set of each form."""
    names = {"n_classes": 2, "classes": ["fine", "poor"], "lfs": ["a", "b", "c"]}
    gold = truth().copy()
    gold[:10] = -1
    labels = truth().tolist()
    votes = {"L_train": cast(), "y_train": truth(), "L_test": cast(), "y_test": truth()}
    written(tmp_path / "ws_whole", texts("train", labels=labels) + texts("test", labels=labels), votes, names)
    written(tmp_path / "ws_some_labels", texts("train"), {"L_train": cast(), "y_train": gold}, names)
    written(tmp_path / "ws_no_labels", texts("train"), {"L_train": cast()}, names)
    written(tmp_path / "ws_no_names", texts("train"), votes, {"n_classes": 2, "classes": None, "lfs": None})
    written(tmp_path / "ws_text_of_one_split", texts("test"), votes, names)
    written(tmp_path / "ws_no_text", (), votes, names)
    written(tmp_path / "ws_no_votes", texts("train", labels=labels), None, names)
    written(tmp_path / "al_some_labels", texts("all", labels=[*["x", "y"] * 25, *[None] * 10]), name="data.jsonl.gz")
    confident = {"L_train": cast(m=1), "y_train": truth(), "C_train": np.full((N, 1), 0.9)}
    written(tmp_path / "llm_one", texts("train"), confident, {"n_classes": 2, "classes": None, "lfs": ["only@0s"]})
    (tmp_path / "ws_empty").mkdir()
    return tmp_path


def test_each_benchmark_loads_what_it_can_use_of_every_form(forms: Path) -> None:
    with_text = {"ws_whole", "ws_some_labels", "ws_no_names", "ws_text_of_one_split", "ws_no_votes", "al_some_labels"}
    found = learning_sets.folders(forms, ())
    assert {folder.name for folder in found} == with_text
    for folder in found:
        item = learning_sets.load(folder)
        assert len(item.truth) > 0, folder.name
        assert len(item.test_truth) > 0, folder.name
    every = sets.folders(forms, ("ws_*", "al_*", "llm_*"))
    assert "ws_empty" not in {folder.name for folder in every}
    errors = {folder.name for folder in every if label_errors.load(folder, 50, 0) is not None}
    assert errors == with_text | {"llm_one"}
    assert {folder.name for folder in every if hybrid.load(folder) is not None} == errors
    voted = {folder.name: label_model.load(folder) for folder in every}
    assert {name for name, item in voted.items() if item is None} == {"ws_no_labels", "ws_no_votes", "al_some_labels"}
    some = voted["ws_some_labels"]
    assert some is not None
    assert some.gold.size == 50
    np.testing.assert_array_equal(some.rows, np.arange(10, N))
