"""Version folders under `MODEL_DIR`: the `Versions` port.

`MODEL_DIR/projects/<project>/v<number>/` holds

    model.skops          feature extractor and classifiers
    label_models.json    label models, pools, sources in column order
    labels.json          label space: the questions
    sources.json         sources of each decision, in column order
    metrics.json         out-of-fold figures
    votes.parquet        task_id, then one column for each decision and source; null = abstain
    held_out.parquet     task_id, then one column for each decision and class
    classifier.parquet   the same of the classifier alone
    predictions.parquet  what was suggested, most useful task first, and which strategy chose it, why,
                         and whether it was withheld

and `MODEL_DIR/projects/<project>/current` the number of the version in use. A folder appears complete or not at all,
and is never changed afterwards.
"""

import json
import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray

from backend.adapters.feature_cache import FeatureCache
from backend.domain.model import Features, ProjectModel, from_parts, to_parts
from backend.domain.votes import Votes
from backend.errors import ModelMissing
from backend.ports import Built, Prediction, version_name

CACHED_MODELS = 8


class VersionFolders:
    """Version folders below one root; models are kept in memory by (project, version)."""

    def __init__(self, root: Path, trusted_types: Sequence[str]) -> None:
        """`trusted_types`: names of our own types that a model file may hold, besides those skops trusts."""
        self._root = root
        self._trusted = list(trusted_types)
        self._features = FeatureCache(root, trusted_types)
        self._models: OrderedDict[tuple[str, int], ProjectModel] = OrderedDict()
        self._loading = threading.Lock()

    def folder(self, key: str, number: int) -> Path:
        """Where a version lies."""
        return self._root / "projects" / key / version_name(number)

    def write(self, key: str, number: int, built: Built) -> None:
        """Write a folder completely, or not at all."""
        folder = self.folder(key, number)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _write_files(temporary, built)
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def model(self, key: str, number: int) -> ProjectModel:
        """The trained model; loaded once."""
        with self._loading:
            if (key, number) not in self._models:
                self._models[key, number] = self._load(self.folder(key, number))
                while len(self._models) > CACHED_MODELS:
                    self._models.popitem(last=False)
            self._models.move_to_end((key, number))
            return self._models[key, number]

    def features(self, key: str, data: Sequence[Mapping[str, object]]) -> Features:
        """Features of a project's tasks to train on; only new and changed tasks are read."""
        return self._features.features(key, data)

    def predictions(self, key: str, number: int) -> list[Prediction]:
        """What the version suggested, most useful task first."""
        from backend.adapters.version_tables import read_predictions  # noqa: PLC0415 - pyarrow takes 40 MiB

        return read_predictions(self.folder(key, number))

    def held_out(self, key: str, number: int) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
        """Task ids, and for each decision float64 (n_tasks, n_classes); NaN = nothing known."""
        from backend.adapters.version_tables import read_posteriors  # noqa: PLC0415 - pyarrow takes 40 MiB

        return read_posteriors(self.folder(key, number) / "held_out.parquet")

    def classified(self, key: str, number: int) -> dict[str, NDArray[np.float64]]:
        """What the classifier alone said; {} for versions of before this was kept."""
        from backend.adapters.version_tables import read_posteriors  # noqa: PLC0415 - pyarrow takes 40 MiB

        path = self.folder(key, number) / "classifier.parquet"
        return read_posteriors(path)[1] if path.exists() else {}

    def votes(self, key: str, number: int) -> dict[str, tuple[tuple[str, ...], Votes]]:
        """Sources and votes by decision key; -1 = abstain."""
        from backend.adapters.version_tables import read_votes  # noqa: PLC0415 - pyarrow takes 40 MiB

        return read_votes(self.folder(key, number))

    def metrics(self, key: str, number: int) -> dict[str, Any]:
        """metrics.json."""
        return dict(self._read_json(self.folder(key, number) / "metrics.json"))

    def current(self, key: str) -> int:
        """Number of the current version; 0 when nothing was trained yet."""
        try:
            return int((self._root / "projects" / key / "current").read_text())
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise ModelMissing(f"MODEL_DIR can't be read ({error.strerror}): is it mounted, and ours?") from error
        except ValueError as error:
            raise ModelMissing(
                f"The file `current` of project {key} in MODEL_DIR is damaged: `prelabel rollback` to any version "
                "writes it anew."
            ) from error

    def set_current(self, key: str, number: int) -> None:
        """Move the pointer; readers see the old or the new number, never anything between."""
        pointer = self._root / "projects" / key / "current"
        pointer.parent.mkdir(parents=True, exist_ok=True)
        temporary = pointer.with_name(f".current-{os.getpid()}-{threading.get_ident()}")
        temporary.write_text(str(number))
        temporary.replace(pointer)

    def check_writable(self) -> None:
        """Raise OSError when a file can't be made below the root, or there is no root."""
        with tempfile.TemporaryFile(dir=self._root) as file:
            file.write(b"x")

    def _load(self, folder: Path) -> ProjectModel:
        try:
            sklearn_parts = skops.io.load(folder / "model.skops", trusted=self._trusted)
        except FileNotFoundError as error:
            raise ModelMissing(f"Version {folder.name} isn't in MODEL_DIR ({folder}). Train anew.") from error
        except Exception as error:
            # skops raises many kinds for a file that isn't its own or that holds types we don't trust.
            raise ModelMissing(f"The model file of {folder.name} can't be trusted or read: {error}") from error
        return from_parts(sklearn_parts, self._read_json(folder / "label_models.json"))

    def _read_json(self, path: Path) -> Any:
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ModelMissing(f"{path} can't be read ({error}). Train anew.") from error


def _write_files(folder: Path, built: Built) -> None:
    sklearn_parts, json_parts = to_parts(built.trained.model)
    skops.io.dump(sklearn_parts, folder / "model.skops")
    _write_json(folder / "label_models.json", json_parts)
    _write_json(folder / "labels.json", [asdict(question) for question in built.trained.model.questions])
    _write_json(folder / "sources.json", {name: list(matrix.sources) for name, matrix in built.votes.items()})
    _write_json(folder / "metrics.json", dict(built.metrics))
    from backend.adapters.version_tables import write_tables  # noqa: PLC0415 - pyarrow takes 40 MiB

    write_tables(folder, built)


def _write_json(path: Path, value: object) -> None:
    # Without indentation, which takes ten times as long: a question may have thousands of labels.
    path.write_text(json.dumps(value, ensure_ascii=False, allow_nan=False))
