"""Version folders under `MODEL_DIR`: the `Versions` port.

`MODEL_DIR/projects/<project>/v<number>/` holds

    model.skops          feature extractor and classifiers
    label_models.json    label models, pools, sources in column order
    labels.json          label space: the questions
    spans.json, spans-*  only where spans are asked for: what was learned of them, taggers with their SHA-256
    sources.json         sources of each decision, in column order
    metrics.json         out-of-fold figures
    votes.parquet        task_id, then one column for each decision and source; null = abstain
    held_out.parquet     task_id, then one column for each decision and class
    classifier.parquet   the same of the classifier alone
    units.parquet        only where tasks have several units: task_id, then one column for each such question with
                         the regions of its units, "" = none. In the tables above a cell of such a question holds a
                         list of what is known of each unit
    predictions.parquet  what was suggested, most useful task first, and which strategy chose it, why,
                         and whether it was withheld

A folder appears complete or not at all, and is never changed afterwards. Nobody else knows where it lies. Which
version is current: see `current.py`.

Commands that only ask what there is start without what reads models and tables: that is imported where it is used.
"""

import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backend.adapters.sql.engine import Sql
from backend.adapters.versions.current import CurrentVersions
from backend.adapters.versions.json_files import read_json
from backend.domain.codec import Unreadable, from_json
from backend.domain.questions import Question, from_dict
from backend.domain.questions.forms import Votes
from backend.domain.questions.units import Units
from backend.domain.reports.version import VersionMetrics
from backend.errors import ModelMissing
from backend.ports import Prediction, VersionContents, version_name

if TYPE_CHECKING:
    from backend.domain.model.project import ProjectModel
    from backend.domain.model.training import Features

CACHED_MODELS = 8


class VersionFolders:
    """Version folders below one root; models are kept in memory by (project, version)."""

    def __init__(self, root: Path, sql: Sql | str) -> None:
        """`root`: MODEL_DIR. `sql`: the database with the versions' records, or its URL."""
        self._root = root
        self._current = CurrentVersions(Sql(sql) if isinstance(sql, str) else sql, root)
        self._models: OrderedDict[tuple[str, int], ProjectModel] = OrderedDict()
        self._loading = threading.Lock()

    def _folder(self, key: str, number: int) -> Path:
        """Where a version lies."""
        return self._root / "projects" / key / version_name(number)

    def write(self, key: str, number: int, built: VersionContents) -> None:
        """Write a folder completely, or not at all."""
        from backend.adapters.versions.models import write_model  # noqa: PLC0415 - see the top
        from backend.adapters.versions.tables import write_tables  # noqa: PLC0415

        folder = self._folder(key, number)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            write_model(temporary, built)
            write_tables(temporary, built)
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def model(self, key: str, number: int) -> "ProjectModel":
        """The trained model; loaded once."""
        from backend.adapters.versions.models import read_model  # noqa: PLC0415 - as above

        with self._loading:
            if (key, number) not in self._models:
                self._models[key, number] = read_model(self._folder(key, number))
                while len(self._models) > CACHED_MODELS:
                    self._models.popitem(last=False)
            self._models.move_to_end((key, number))
            return self._models[key, number]

    def features(
        self,
        key: str,
        data: Sequence[Mapping[str, object]],
        compared: Sequence[tuple[str, str]] = (),
        hashes: Sequence[bytes] | None = None,
    ) -> "Features":
        """Features of a project's tasks to train on; only new and changed tasks are read."""
        from backend.adapters.versions.features import FeatureCache  # noqa: PLC0415 - as above

        return FeatureCache(self._root).features(key, data, compared, hashes)

    def predictions(self, key: str, number: int) -> list[Prediction]:
        """What the version suggested, most useful task first."""
        from backend.adapters.versions.tables import read_predictions  # noqa: PLC0415 - as above

        return read_predictions(self._folder(key, number))

    def held_out(self, key: str, number: int) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
        """Task ids, and for each decision float64 (n_units, n_classes); NaN = nothing known."""
        from backend.adapters.versions.tables import read_posteriors  # noqa: PLC0415 - as above

        return read_posteriors(self._folder(key, number) / "held_out.parquet")

    def units(self, key: str, number: int) -> dict[str, Units]:
        """Units of the tasks by question, where a task may have several; {} for versions of before there were any."""
        from backend.adapters.versions.tables import read_units  # noqa: PLC0415 - as above

        path = self._folder(key, number) / "units.parquet"
        return read_units(path) if path.exists() else {}

    def held_out_classifier(self, key: str, number: int) -> dict[str, NDArray[np.float64]]:
        """Held-out posteriors of the classifier, float64 (n_units, k) by decision key; {} for versions of before this
        was kept."""
        from backend.adapters.versions.tables import read_posteriors  # noqa: PLC0415 - as above

        path = self._folder(key, number) / "classifier.parquet"
        return read_posteriors(path)[1] if path.exists() else {}

    def votes(self, key: str, number: int) -> dict[str, tuple[tuple[str, ...], Votes]]:
        """Sources and votes, int16 (n_units, n_sources), by decision key; -1 = abstain."""
        from backend.adapters.versions.tables import read_votes  # noqa: PLC0415 - as above

        return read_votes(self._folder(key, number))

    def questions(self, key: str, number: int) -> tuple[Question, ...]:
        """labels.json."""
        try:
            return tuple(map(from_dict, read_json(self._folder(key, number) / "labels.json")))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ModelMissing(
                f"The questions of {version_name(number)} can't be read ({error}). Train anew."
            ) from error

    def metrics(self, key: str, number: int) -> VersionMetrics:
        """metrics.json."""
        found = read_json(self._folder(key, number) / "metrics.json")
        try:
            return from_json(VersionMetrics, found)
        except Unreadable as error:
            raise ModelMissing(f"The metrics of {version_name(number)} can't be read ({error}). Train anew.") from error

    def current(self, key: str) -> int:
        """Number of the current version; 0 when nothing was trained yet."""
        return self._current.get(key)

    def set_current(self, key: str, number: int) -> None:
        """Make a version current."""
        self._current.set(key, number)

    def settle(self, key: str) -> None:
        """Make SQL and MODEL_DIR agree on which version of a project is current. Jobs begin with it."""
        self._current.settle(key)

    def check_writable(self) -> None:
        """Raise OSError when a file can't be made below the root, or there is no root."""
        with tempfile.TemporaryFile(dir=self._root) as file:
            file.write(b"x")
