"""What the workflows need from outside, as Protocols, and the records that pass through them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from backend.domain.label_config import LabelConfig
from backend.domain.policy import Policy
from backend.domain.questions import Question
from backend.domain.reports.check import CheckReport
from backend.domain.tasks import Annotation, Answer, MirroredTask
from backend.ports.embeddings import EmbeddingPorts
from backend.ports.llm import LlmPorts
from backend.ports.queue import ALL_PROJECTS as ALL_PROJECTS
from backend.ports.queue import ANSWERED as ANSWERED
from backend.ports.queue import FORCED as FORCED
from backend.ports.queue import LET_GO as LET_GO
from backend.ports.queue import PLAIN as PLAIN
from backend.ports.queue import REGULAR as REGULAR
from backend.ports.queue import Job as Job
from backend.ports.queue import JobOptions as JobOptions
from backend.ports.queue import Queue as Queue
from backend.ports.rules import LoadedRules as LoadedRules
from backend.ports.rules import ProposedRules as ProposedRules
from backend.ports.rules import RuleFiles as RuleFiles
from backend.ports.rules import RuleLoader as RuleLoader
from backend.ports.rules import RuleSample as RuleSample
from backend.ports.suspects import SuspectRecord as SuspectRecord
from backend.ports.suspects import SuspectStatus as SuspectStatus
from backend.ports.suspects import TagPlace as TagPlace
from backend.ports.suspects import TagValue as TagValue
from backend.ports.suspects import VerdictRecord as VerdictRecord
from backend.ports.versions import Hold as Hold
from backend.ports.versions import Prediction as Prediction
from backend.ports.versions import VersionContents as VersionContents
from backend.ports.versions import VersionRecord as VersionRecord
from backend.ports.versions import Versions as Versions
from backend.ports.versions import VersionStatus as VersionStatus
from backend.ports.versions import version_name as version_name

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class ProjectInfo:
    """A project as Label Studio has it now. `uid` is Label Studio's `<id>.<created>`; `instructions` are those for
    annotators, as plain text."""

    id: int
    uid: str
    title: str
    label_config: str
    model_version: str
    shows_predictions: bool
    sampling: str
    n_tasks: int
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class Tab:
    """A Data Manager tab. `id` is None until Label Studio has it."""

    title: str
    ordering: tuple[str, ...]
    filters: tuple[tuple[str, str, str, object], ...]
    """(column, operator, type, value) each; all must hold."""
    shown_columns: tuple[str, ...] = ()
    column_types: Mapping[str, str] = field(default_factory=dict)
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook of a project. `has_secret`: it sends the secret asked about; `sends_everything`: all events, with
    their payload."""

    id: int
    url: str
    is_active: bool
    has_secret: bool
    sends_everything: bool


@dataclass(frozen=True, slots=True)
class Connection:
    """An ML backend registered in a project. `error` is what Label Studio says when it can't reach it."""

    id: int
    url: str
    title: str
    error: str = ""


class LabelStudio(Protocol):
    """Label Studio's API. Every method raises LabelStudioError (LabelStudioAuthError for a refused key, ProjectMissing
    when Label Studio itself says that there is no such project)."""

    @property
    def url(self) -> str:
        """Label Studio's address, without a slash at its end."""

    def whoami(self) -> str:
        """E-mail address of the user whose key we use."""

    def people(self) -> dict[int, str]:
        """E-mail addresses of all users, by id. Only for those who run Prelabel: annotators must not see each
        other's figures."""

    def project(self, project_id: int) -> ProjectInfo:
        """One project."""

    def update_project(self, project_id: int, changes: Mapping[str, object]) -> None:
        """Change settings of a project."""

    def tasks(self, project_id: int, since: str | None = None) -> Iterator[list[MirroredTask]]:
        """All tasks in pages; with `since`, those that changed after that `Task.updated_at`."""

    def newest_change(self, project_id: int) -> str:
        """The newest `Task.updated_at`; "" without tasks."""

    def task_ids(self, project_id: int) -> set[int]:
        """Ids of all tasks."""

    def push_one(self, version: str, prediction: Prediction, questions: Sequence[Question]) -> None:
        """Store one prediction: fast, whatever the size of the project."""

    def push_all(
        self, project_id: int, version: str, predictions: Sequence[Prediction], questions: Sequence[Question]
    ) -> int:
        """Store many predictions in one request; returns how many Label Studio created (it drops bad ones)."""

    def acceptable(
        self, label_config: str, predictions: Sequence[Prediction], questions: Sequence[Question]
    ) -> list[Prediction]:
        """The predictions that a bulk import into a project with this label config takes: it drops all others without
        a word."""

    def predicted_tasks(self, project_id: int, version: str, among: Collection[int] | None = None) -> set[int]:
        """Ids of the tasks that have a prediction of a version; with `among`, of these tasks only, which is faster."""

    def versions(self, project_id: int) -> dict[str, int]:
        """Model versions with the number of their predictions."""

    def remove_version(self, project_id: int, version: str) -> int:
        """Delete all predictions of a version; returns their number. May take minutes."""

    def tag(self, project_id: int, key: str, value: str | float, task_ids: Sequence[int]) -> None:
        """Set one of our own keys in the data of some tasks; the rest of the data stays. No ids: nothing happens."""

    def tagged(self, project_id: int, key: str, word: str) -> set[int]:
        """Ids of the tasks in whose data a key of ours is a word, see `is_word`, whoever wrote it."""

    def tags(self, project_id: int, names: Sequence[str]) -> dict[TagPlace, object]:
        """What some keys of the tasks' data say, whoever wrote it, where it isn't empty."""

    def tabs(self, project_id: int) -> list[Tab]:
        """All Data Manager tabs (id and title only)."""

    def create_tab(self, project_id: int, tab: Tab) -> int:
        """Make a tab; returns its id."""

    def connections(self, project_id: int) -> list[Connection]:
        """ML backends of a project."""

    def connect(
        self,
        project_id: int,
        url: str,
        title: str,
        basic_auth: tuple[str, str] | None,
        former: Collection[str] = (),
    ) -> None:
        """Register or update an ML backend; Label Studio calls its /health and /setup during this.

        `former`: addresses that it had before. Of several registrations of it one is left.
        """

    def webhooks(self, project_id: int, secret: str) -> list[Webhook]:
        """Webhooks of a project."""

    def set_webhook(self, project_id: int, webhook_id: int | None, url: str, secret: str) -> None:
        """Create or repair a webhook: active, all events, with our secret."""

    def remove_webhook(self, webhook_id: int) -> None:
        """Delete a webhook."""


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """What we remember of a project. `cursor`: the newest `updated_at` seen; `check_tab`, `data_tab` and
    `next_tab`: our tabs' ids."""

    key: str
    project_id: int
    title: str = ""
    label_config: str = ""
    cursor: str | None = None
    full_sync_at: float = 0.0
    next_tab: int | None = None
    check_tab: int | None = None
    checked_at: float = 0.0
    data_tab: int | None = None


@dataclass(frozen=True, slots=True)
class PastSuggestion:
    """What version `number` suggested for a task before anybody had labeled it, shown or withheld.

    answers: question -> labels. per_question: question -> confidence, 0..1.
    """

    task_id: int
    number: int
    answers: Mapping[str, Answer]
    per_question: Mapping[str, float]


LabelPlace = tuple[str, str]
"""A question's name and a label."""


class Database(Protocol):
    """The mirror (can be thrown away) and the records (can't)."""

    def project(self, key: str) -> ProjectRecord | None:
        """What we remember of a project."""

    def projects(self) -> list[ProjectRecord]:
        """All projects we know."""

    def save_project(self, record: ProjectRecord) -> None:
        """Insert or replace."""

    def forget_project(self, key: str) -> None:
        """Forget a project that is gone, with its mirror. Versions and verdicts stay."""

    def save_tasks(self, key: str, tasks: Iterable[MirroredTask]) -> None:
        """Insert or replace tasks; a task's annotations are replaced as a whole."""

    def keep_tasks(self, key: str, task_ids: set[int]) -> int:
        """Forget all tasks but these; returns how many went."""

    def tasks(self, key: str, among: Collection[int] | None = None) -> list[MirroredTask]:
        """All mirrored tasks, or those of some ids, by id."""

    def task_ids(self, key: str, *, open_only: bool = False) -> set[int]:
        """Ids of all mirrored tasks, or of those that are open."""

    def first_data(self, key: str, n: int) -> list[Mapping[str, object]]:
        """Data of the n mirrored tasks with the lowest ids."""

    def annotations(self, key: str) -> list[Annotation]:
        """All mirrored annotations, by id."""

    def count_tasks(self, key: str) -> int:
        """Number of mirrored tasks."""

    def count_teaching(self, key: str, since: str) -> tuple[int, int]:
        """Numbers of mirrored annotations that teach: all of them, and those that were changed after a moment."""

    def added_labels(self, key: str) -> dict[LabelPlace, str]:
        """Labels that came after others of their question: Label Studio's newest change when we saw each first."""

    def save_added_labels(self, key: str, labels: Mapping[LabelPlace, str]) -> None:
        """Insert or replace."""

    def renamed_labels(self, key: str) -> dict[LabelPlace, str]:
        """Labels that answers have, and which label of today each means. Annotations are read so."""

    def save_renamed_label(self, key: str, place: LabelPlace, now: str | None) -> None:
        """Let a label of answers mean another one from now on; None undoes it."""

    def mark_suggested(self, key: str, task_ids: Iterable[int], number: int) -> None:
        """Remember that tasks have a prediction of a version."""

    def not_suggested(self, key: str, number: int) -> set[int]:
        """Open tasks without a prediction of a version, as far as we remember."""

    def new_version(self, key: str, *, above: int = 0) -> VersionRecord:
        """Take the next version number, higher than `above`, status `training`."""

    def save_version(self, record: VersionRecord) -> None:
        """Replace a version's record."""

    def versions(self, key: str) -> list[VersionRecord]:
        """All versions, by number."""

    def hold(self, key: str) -> Hold | None:
        """The version that a person wants a project to stay at."""

    def save_hold(self, key: str, hold: Hold | None) -> None:
        """Replace it; None lets go."""

    def past_suggestions(self, key: str) -> dict[int, PastSuggestion]:
        """What was suggested for tasks when people labeled them, by task id."""

    def save_past_suggestions(self, key: str, suggestions: Iterable[PastSuggestion]) -> None:
        """Remember what was suggested; of each task the first one stays."""

    def suspects(self, key: str) -> list[SuspectRecord]:
        """All suspects, settled ones included."""

    def save_suspects(self, key: str, suspects: Sequence[SuspectRecord]) -> None:
        """Insert or replace, by task, question and region."""

    def verdicts(self, key: str) -> list[VerdictRecord]:
        """All verdicts, the oldest first."""

    def save_verdicts(self, key: str, verdicts: Sequence[VerdictRecord]) -> None:
        """Insert or replace, by id."""

    def tags(self, key: str) -> dict[TagPlace, TagValue | None]:
        """What we wrote into task data last; None: something, but it isn't known what."""

    def save_tags(self, key: str, tags: Mapping[TagPlace, TagValue | None]) -> None:
        """Insert or replace."""

    def check_report(self, key: str) -> CheckReport:
        """What the last search for wrong labels said of the project as a whole; empty before the first one."""

    def save_check_report(self, key: str, report: CheckReport) -> None:
        """Replace it. Numbers are finite."""


@dataclass(frozen=True, slots=True)
class Deps:
    """All that workflows need from outside. `now` gives seconds since the epoch."""

    label_studio: LabelStudio
    database: Database
    versions: Versions
    rules: RuleLoader
    queue: Queue
    parse_label_config: Callable[[str], LabelConfig]
    policy: Callable[[str], Policy]
    """The policy of a project, by its key."""
    now: Callable[[], float]
    llm: LlmPorts | None = None
    """None: no LLM endpoint is set up, and no LLM votes."""
    embeddings: EmbeddingPorts | None = None
    """None: no embedding model is set up."""
