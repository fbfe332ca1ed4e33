"""Features kept between trainings: what is read again, and what a killed or damaged write leaves."""

from pathlib import Path

import numpy as np
import pytest

from backend.adapters.versions.features import FeatureCache
from backend.domain.features import FeatureExtractor
from backend.domain.model.training import Features

Data = list[dict[str, object]]
KEY = "1.1767225600-aaaaaaaa"
DATA: Data = [{"text": f"a {word} film number {number}", "year": number} for number in range(10) for word in "gb"]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Data:
    """Grows by each task that is turned into features."""
    seen: Data = []
    transform = FeatureExtractor.transform

    def noted(self: FeatureExtractor, data: Data) -> object:
        seen.extend(data)
        return transform(self, data)

    monkeypatch.setattr(FeatureExtractor, "transform", noted)
    return seen


def features(folder: Path, data: Data) -> Features:
    return FeatureCache(folder).features(KEY, data)


def right(found: Features, data: Data) -> bool:
    return bool((found.matrix != found.extractor.transform(data)).nnz == 0)


def test_tasks_that_did_not_change_are_not_read_again(tmp_path: Path, read: Data) -> None:
    features(tmp_path, DATA)
    read.clear()
    again = features(tmp_path, [item | {"prelabel_quality": 0.5} for item in DATA])
    assert read == []
    assert right(again, DATA)


def test_only_new_and_changed_tasks_are_read(tmp_path: Path, read: Data) -> None:
    features(tmp_path, DATA)
    read.clear()
    changed: Data = [{"text": "another film", "year": 3}, *DATA[:0:-1], {"text": "a new film", "year": 4}]
    found = features(tmp_path, changed)
    assert read == [changed[0], changed[-1]]
    assert right(found, changed)
    read.clear()
    assert right(features(tmp_path, changed[3:]), changed[3:])
    assert read == changed[3:], "only the check itself reads"


@pytest.mark.parametrize("more", [[{"text": "x"}] * 10, [{"text": "x", "kind": "book"}]])
def test_many_new_tasks_and_new_fields_are_learned(tmp_path: Path, more: Data) -> None:
    first = features(tmp_path, DATA).extractor
    data = DATA + more * 2
    found = features(tmp_path, data)
    assert found.extractor is not first
    fresh = FeatureExtractor().fit(data)
    np.testing.assert_array_equal(found.matrix.toarray(), fresh.transform(data).toarray())


@pytest.mark.parametrize("name", ["data.npy", "hashes.npy", "manifest.json", "extractor.skops"])
def test_a_damaged_file_is_no_error_and_no_wrong_features(tmp_path: Path, name: str) -> None:
    features(tmp_path, DATA)
    path = tmp_path / "projects" / KEY / "features" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content[: -len(content) // 4])
    assert right(features(tmp_path, DATA), DATA)
    path.unlink()
    assert right(features(tmp_path, DATA), DATA)


def test_what_a_killed_write_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "projects" / KEY / ".features-abc"
    left.mkdir(parents=True)
    (left / "data.npy").write_bytes(b"half")
    features(tmp_path, DATA)
    assert [path.name for path in (tmp_path / "projects" / KEY).iterdir()] == ["features"]


def test_a_project_without_tasks_has_no_features(tmp_path: Path) -> None:
    assert features(tmp_path, []).matrix.shape == (0, 1)
    assert right(features(tmp_path, DATA), DATA)


def test_other_fields_that_are_compared_are_other_features(tmp_path: Path) -> None:
    data: list[dict[str, object]] = [{"a": f"some words {n % 3}", "b": f"other words {n % 5}"} for n in range(30)]
    cache = FeatureCache(tmp_path)
    plain, compared = cache.features(KEY, data), cache.features(KEY, data, [("a", "b")])
    assert compared.matrix.shape[1] > plain.matrix.shape[1]
    assert cache.features(KEY, data, [("a", "b")]).matrix.shape == compared.matrix.shape
    assert cache.features(KEY, data).matrix.shape == plain.matrix.shape
