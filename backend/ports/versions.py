"""Versions: what a training makes, and where it is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from backend.domain.questions import Question
from backend.domain.questions.forms import Votes
from backend.domain.questions.units import Units
from backend.domain.reports.version import VersionMetrics
from backend.domain.suggestions import Suggestion

if TYPE_CHECKING:
    # Types only: this module is imported by everything, and these bring scikit-learn.
    from backend.domain.model.project import ProjectModel
    from backend.domain.model.training import Features, Trained


class VersionStatus(StrEnum):
    """Life of a version. The current one is the one that is being published, else the live one."""

    TRAINING = "training"
    BUILT = "built"
    """Its folder is complete; it was not shown yet."""
    PUBLISHING = "publishing"
    """It is current, and not yet completely in Label Studio. The one that was live before still says so."""
    LIVE = "live"
    """It is completely in Label Studio, and current unless another one is being published."""
    RETIRED = "retired"
    """Replaced by another one. Its folder stays, so that it can be rolled back to."""


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """Metadata of a version. `seen_until`, `n_labels`: newest `updated_at` and number of annotations that taught it."""

    key: str
    number: int
    status: VersionStatus
    created_at: float
    seen_until: str = ""
    n_labels: int = 0
    note: str = ""
    rules: str = ""
    """Changes with what it was trained on besides labels, see `reconcile.basis_of`."""
    current_at: float | None = None
    """Since when it is or was current, in seconds since the epoch. Set by `Versions.set_current`."""

    @property
    def name(self) -> str:
        """The version string, as Label Studio sees it."""
        return version_name(self.number)


@dataclass(frozen=True, slots=True)
class Hold:
    """The version that a person rolled a project back to: no automatic training replaces it. since: as `Deps.now`."""

    number: int
    since: float


def version_name(number: int) -> str:
    """The version string of a number; v0 means that nothing was trained yet."""
    return f"v{number}"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A suggestion on its way to Label Studio, without a cluster: see `priorities.queue.ascending`.

    score: ascending in the order in which tasks are wanted, see there; not above the suggestion's own.
    chosen_by, reason: which strategy put the task among the most useful ones, and why; "" outside of them.
    withheld: the task is an audit task: Label Studio gets an empty answer, and we keep the suggestion to compare.
    """

    task_id: int
    suggestion: Suggestion
    score: float
    chosen_by: str = ""
    reason: str = ""
    withheld: bool = False

    @property
    def is_served(self) -> bool:
        """Whether it is of one of the most useful tasks."""
        return bool(self.chosen_by)


@dataclass(frozen=True, slots=True)
class VersionContents:
    """All that a version's folder holds. The tasks of the frame in `trained` are in the order of `task_ids`."""

    trained: "Trained"
    task_ids: NDArray[np.int64]
    predictions: Sequence[Prediction]
    metrics: VersionMetrics


class Versions(Protocol):
    """Versions, and which of them is current. Raises ModelMissing."""

    def write(self, key: str, number: int, built: VersionContents) -> None:
        """Write a folder completely, or not at all."""

    def model(self, key: str, number: int) -> "ProjectModel":
        """The trained model."""

    def features(
        self,
        key: str,
        data: Sequence[Mapping[str, object]],
        compared: Sequence[tuple[str, str]] = (),
        hashes: Sequence[bytes] | None = None,
    ) -> "Features":
        """Features of a project's tasks to train on, rows in the order of `data`; see `FeatureExtractor.fit`. `hashes`:
        of the tasks' contents, where they are known already."""

    def predictions(self, key: str, number: int) -> list[Prediction]:
        """What the version suggested, most useful task first."""

    def held_out(self, key: str, number: int) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
        """`VersionContents.task_ids`, int64 (n_tasks,), and by decision key each unit's posterior without its own human
        label, float64 (n_units, k); the model's where it has none. NaN rows where nothing is known."""

    def units(self, key: str, number: int) -> dict[str, Units]:
        """Units of the tasks by question, of those of which a task may have several; each task is one of all others."""

    def held_out_classifier(self, key: str, number: int) -> dict[str, NDArray[np.float64]]:
        """The classifier's own, float64 (n_units, k), rows and keys as in `held_out`; NaN rows where it said nothing.
        {} for a version of before this was kept."""

    def votes(self, key: str, number: int) -> dict[str, tuple[tuple[str, ...], Votes]]:
        """Sources and votes, int16 (n_units, n_sources), by decision key, rows as in `held_out`."""

    def questions(self, key: str, number: int) -> tuple[Question, ...]:
        """What was asked when the version was trained."""

    def metrics(self, key: str, number: int) -> VersionMetrics:
        """What was measured of it; what an earlier release didn't measure is empty."""

    def current(self, key: str) -> int:
        """Number of the current version; 0 when nothing was trained yet. Never waits long for the database."""

    def set_current(self, key: str, number: int) -> None:
        """Make a version current: it is `PUBLISHING` from now on, unless it was current already. All at once: readers
        see the old or the new one.
        """
