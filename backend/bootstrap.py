"""The one place that builds things. Building opens no connection: each part connects when it is first used.

What talks to LLMs and embedding models is loaded where one is configured, and a backup where one is made.
"""

import hmac
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from backend.adapters.label_studio.client import LabelStudioApi
from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.logs import configure_logging
from backend.adapters.project_settings import ProjectSettings
from backend.adapters.redaction import redact
from backend.adapters.redis.event_requests import EventRequests
from backend.adapters.redis.queue import RedisQueue
from backend.adapters.rules.loader import FolderRules
from backend.adapters.rules.tried import TriedRules
from backend.adapters.sql.database import SqlDatabase
from backend.adapters.sql.engine import Sql
from backend.adapters.sql.installation import Installation
from backend.adapters.sql.label_studios import LabelStudioMark
from backend.adapters.versions.folders import VersionFolders
from backend.adapters.webhook_secret import WebhookSecret
from backend.errors import ConfigurationError
from backend.ports import Deps, LoadedRules, ProjectRecord, RuleSample
from backend.ports.embeddings import Embedder, EmbeddingPorts
from backend.ports.llm import LlmPorts
from backend.settings import Settings
from backend.settings.llm import BUILTIN
from backend.workflows.moved import mark_at

if TYPE_CHECKING:
    from backend.adapters.backup import Backup
    from backend.adapters.rules.rule_files import RuleFiles


@dataclass(frozen=True, slots=True)
class App:
    """The built application: the ports for the workflows, and the same parts with all their own methods."""

    settings: Settings
    deps: Deps
    label_studio: LabelStudioApi
    database: SqlDatabase
    versions: VersionFolders
    queue: RedisQueue
    events: EventRequests
    rules: TriedRules
    project_settings: ProjectSettings
    mark: LabelStudioMark

    def key(self, project_uid: str) -> str:
        """Key of a project of the configured Label Studio, fit for a folder's name.

        Raises:
            ConfigurationError: no Label Studio is configured.
        """
        return f"{project_uid}-{self.mark.current()}"

    def own_key(self, key: str) -> str | None:
        """The key by which we know a project of the configured Label Studio; None for one of another Label Studio.

        What was asked for before it was settled which Label Studio this is, was asked for by the key of a new one.
        """
        uid, _, mark = key.rpartition("-")
        return self.key(uid) if mark in {self.mark.current(), self.mark.fresh} else None

    def projects(self) -> list[ProjectRecord]:
        """The projects that we know of the configured Label Studio."""
        return [project for project in self.database.projects() if self.own_key(project.key) == project.key]

    def may_have_moved(self) -> bool:
        """Whether projects are known, and nobody has found out yet whether this is their Label Studio.

        Raises:
            ConfigurationError: the database doesn't answer.
        """
        return self.mark.settled() is None and bool(self.database.projects())

    def settle_mark(self) -> None:
        """Find out which Label Studio the configured one is, unless that is known, or nothing proves it yet.

        Raises:
            LabelStudioError: it refused or did not answer, so nothing is known.
        """
        if self.mark.settled() is None:
            secret = webhook_secret(self.settings.model_dir)
            found = mark_at(self.label_studio, self.database.projects(), self.mark.fresh, secret)
            if found is not None:
                self.mark.settle(found)


WHICH_ONE = (
    "A worker looks with each job (`prelabel up`, `prelabel jobs`). If this Label Studio moved here, the user of "
    "LABEL_STUDIO_API_KEY must see its projects; if it is another one, run `prelabel connect PROJECT`."
)
"""What to do while it isn't known whether the configured Label Studio is one that moved."""


def build(settings: Settings, *, makes_database: bool = True) -> App:
    """Build the application from settings, for a process that computes with one thread.

    `makes_database`: an SQLite file that isn't there is made when the database is first used.

    Our matrices are small. On cores that others use too, threads wait for each other longer than they compute: with
    two threads on two busy cores, training took eight times as long as with one.
    """
    threadpool_limits(1)
    settings.trust_certificates()
    label_studio = LabelStudioApi(
        settings.label_studio_url,
        settings.label_studio_api_key.get_secret_value(),
        settings.label_studio_timeout_s,
    )
    sql = Sql(settings.sql_url, Installation(settings.model_dir.resolve()), makes_database=makes_database)
    database = SqlDatabase(sql, time.time)
    versions = VersionFolders(settings.model_dir.resolve(), sql)
    queue = RedisQueue(settings.queue_url, settings.train_timeout_s)
    rules = TriedRules(settings.lf_rules_dir, settings.model_dir.resolve() / "rules", settings.rule_databases)
    project_settings = ProjectSettings(sql, settings.model_dir.resolve(), settings.policy)
    deps = Deps(
        label_studio=label_studio,
        database=database,
        versions=versions,
        rules=rules,
        queue=queue,
        parse_label_config=partial(parse_label_config, max_labels=settings.max_labels),
        policy=project_settings.policy,
        now=time.time,
        llm=_llm_parts(settings, sql, label_studio) if settings.llm_model else None,
        embeddings=_embedding_parts(settings, sql, label_studio) if settings.embeds else None,
    )
    events = EventRequests(settings.queue_url)
    mark = LabelStudioMark(sql, settings.label_studio_url)
    return App(settings, deps, label_studio, database, versions, queue, events, rules, project_settings, mark)


def _llm_parts(settings: Settings, sql: Sql, label_studio: LabelStudioApi) -> LlmPorts:
    from backend.adapters.llm.endpoint import OpenAiEndpoint
    from backend.adapters.llm.prices import FilePrices
    from backend.adapters.llm.prompt_templates import JinjaTemplates
    from backend.adapters.media import Images
    from backend.adapters.sql.llm_records import SqlLlmRecords

    records = SqlLlmRecords(sql, time.time)
    return LlmPorts(
        endpoint=OpenAiEndpoint(
            settings.openai_base_url,
            settings.openai_api_key.get_secret_value(),
            records,
            concurrency=settings.llm_concurrency,
            timeout_s=settings.llm_timeout_s,
        ),
        records=records,
        templates=JinjaTemplates(settings.llm_prompts_dir),
        prices=FilePrices(settings.llm_prices),
        fetch_image=Images(settings.label_studio_url, label_studio.download),
    )


def _embedding_parts(settings: Settings, sql: Sql, label_studio: LabelStudioApi) -> EmbeddingPorts:
    from backend.adapters.embedding.builtin import BuiltinEmbedder
    from backend.adapters.embedding.endpoint import EndpointEmbedder
    from backend.adapters.embedding.local import LOCAL, LocalEmbedder
    from backend.adapters.media import Images
    from backend.adapters.sql.vectors import SqlVectors

    embedder: Embedder
    if settings.embedding_model == BUILTIN:
        embedder = BuiltinEmbedder()
    elif settings.embedding_model.startswith(LOCAL):
        model = settings.embedding_model.removeprefix(LOCAL)
        embedder = LocalEmbedder(model, takes_images=settings.embedding_images)
    else:
        # A key belongs to its endpoint: OpenAI's is not sent to another one.
        key = settings.embedding_api_key if settings.embedding_base_url else settings.openai_api_key
        embedder = EndpointEmbedder(
            settings.embedding_base_url or settings.openai_base_url,
            key.get_secret_value(),
            settings.embedding_model,
            takes_images=settings.embedding_images,
            timeout_s=settings.llm_timeout_s,
        )
    return EmbeddingPorts(embedder, SqlVectors(sql), Images(settings.label_studio_url, label_studio.download))


def backup_of(settings: Settings, *, makes_database: bool) -> "Backup":
    """Backs up and restores the installation that the settings name."""
    from backend.adapters.backup import Backup

    root = settings.model_dir.resolve()
    return Backup(Sql(settings.sql_url, Installation(root), makes_database=makes_database), root)


def rules_in(folder: Path, settings: Settings) -> FolderRules:
    """The rules as they lie in a folder now, whether they are in use or not."""
    return FolderRules(folder, settings.rule_databases)


def rule_files(settings: Settings) -> "RuleFiles":
    """Reads proposed rules, and writes those that are taken over."""
    from backend.adapters.rules.rule_files import RuleFiles

    return RuleFiles(settings.lf_rules_dir)


def tried_in(folder: Path, settings: Settings, samples: Sequence[RuleSample]) -> LoadedRules:
    """What of a folder's rules passes its try-out, without being put into use.

    Raises:
        ConfigurationError: there is no such folder, or no file of rules in it.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder: --folder names the one with the edited rules.")
    if not FolderRules(folder).names():
        raise ConfigurationError(
            f"{folder} has no file of rules (*.py, *.yaml, *.yml): --folder names the edited copy."
        )
    with tempfile.TemporaryDirectory() as store:
        return TriedRules(folder, Path(store), settings.rule_databases).try_out(samples)


def webhook_secret(model_dir: Path) -> str:
    """The secret that our webhooks send; made when there is none yet.

    Raises:
        ConfigurationError: the file in `model_dir` holds none that can be used.
    """
    return WebhookSecret(model_dir).get()


def same_secret(left: str, right: str) -> bool:
    """Compare in constant time. What is empty or blank matches nothing: it would let everybody in."""
    return hmac.compare_digest(left.encode(), right.encode()) and bool(left.strip())


def start_logging(settings: Settings) -> None:
    """Log as the settings say, and show none of their secrets from now on."""
    redact.learn(settings.secrets(), (settings.basic_auth_user, settings.basic_auth_pass.get_secret_value()))
    configure_logging(settings.log_level, settings.log_format)
