"""A model file that somebody planted is refused before anything in it runs."""

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import skops.io
from sklearn.feature_extraction.text import FeatureHasher
from sklearn.preprocessing import FunctionTransformer

from backend.adapters.rules.models import load_model
from backend.domain.model.storage import TRUSTED_TYPES
from backend.errors import ModelMissing, RuleError
from tests.unit.house import House


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._mark),)


def a_pickle(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps(Evil(mark)))


def a_foreign_skops_file(path: Path, mark: Path) -> None:
    skops.io.dump({"extractor": FunctionTransformer(os.mkdir), "classifiers": {}, "space": str(mark)}, path)


def a_skops_file_that_names_a_function_of_the_system(path: Path, mark: Path) -> None:
    skops.io.dump({"extractor": FeatureHasher()}, path)
    with zipfile.ZipFile(path) as archive:
        schema = json.loads(archive.read("schema.json"))
    schema["content"]["extractor"] = {
        "__class__": "system",
        "__module__": "os",
        "__loader__": "ObjectNode",
        "__id__": 1,
        "content": {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "__id__": 2,
                    "content": json.dumps(f"mkdir {mark}"), "is_json": True},
    }  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))


PLANTED = [a_pickle, a_foreign_skops_file, a_skops_file_that_names_a_function_of_the_system]


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_model_of_a_version_is_refused_in_words(
    house: House, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    house.learn()
    mark = tmp_path / "mark"
    plant(house.version_folder(1) / "model.skops", mark)
    house.deps.versions._models.clear()  # type: ignore[attr-defined] # as after a restart
    with pytest.raises(ModelMissing, match=r"The model file of v1 can't be trusted or read"):
        house.deps.versions.model(house.key, 1)
    assert not mark.exists()


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_extractor_is_made_anew(house: House, tmp_path: Path, plant: Callable[[Path, Path], None]) -> None:
    house.learn()
    (path,) = tmp_path.rglob("extractor.skops")
    mark, data = tmp_path / "mark", [item.task.data for item in house.deps.database.tasks(house.key)]
    plant(path, mark)
    assert house.deps.versions.features(house.key, data).matrix.shape[0] == len(data)
    assert not mark.exists()


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_model_of_a_rule_is_refused_in_words(tmp_path: Path, plant: Callable[[Path, Path], None]) -> None:
    mark = tmp_path / "mark"
    plant(tmp_path / "model.skops", mark)
    with pytest.raises(RuleError, match=r"model\.skops"):
        load_model(tmp_path / "model.skops")
    assert not mark.exists()


def test_no_trusted_type_runs_what_a_file_says() -> None:
    # Types are listed one by one, and they are classes of ours, of scikit-learn's or of NumPy's.
    for name in TRUSTED_TYPES:
        assert name.split(".")[0] in {"backend", "sklearn", "numpy", "scipy"}, name
        assert "*" not in name
