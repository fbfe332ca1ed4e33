"""Prometheus figures: what this web service counts, and the state of the installation at the moment it is asked."""

import time
from collections import Counter as Counts
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from backend.adapters.redis.figures import BUCKETS_S, Labels, histogram
from backend.bootstrap import App
from backend.domain.reports.version import VersionMetrics
from backend.errors import BackendError
from backend.ports import ProjectRecord
from backend.workflows.held import held_at

log = structlog.get_logger()


class Metrics:
    """Figures of one web service, in a registry of its own (tests build several services)."""

    def __init__(self, app: App) -> None:
        self.registry = CollectorRegistry()
        names = ["method", "path", "status"]
        self.requests = Counter("prelabel_requests_total", "HTTP requests.", names, registry=self.registry)
        self.seconds = Histogram("prelabel_request_seconds", "Time to answer.", ["path"], registry=self.registry)
        self.events = Counter("prelabel_events_total", "Webhook events.", ["action"], registry=self.registry)
        self.lag = Histogram(
            "prelabel_webhook_lag_seconds",
            "From an annotation's change in Label Studio to the arrival of its event.",
            buckets=(0.1, 0.5, 1, 2, 5, 15, 60, 300),
            registry=self.registry,
        )
        self.suggested = Counter("prelabel_suggestions_total", "Suggestions.", ["kind"], registry=self.registry)
        self.faults = Counter(
            "prelabel_rule_faults_total", "Faults of rules in `/predict`.", ["rule"], registry=self.registry
        )
        self.ended = Counter(
            "prelabel_connections_ended_total", "Connections that were ended.", ["reason"], registry=self.registry
        )
        self.registry.register(_State(app))

    def note_lag(self, annotation: object) -> None:
        """Note how late an event came, where its annotation says when it was changed."""
        changed = annotation.get("updated_at") if isinstance(annotation, Mapping) else None
        try:
            moment = datetime.fromisoformat(str(changed))
        except ValueError:
            return
        # Clocks of two machines differ: an event can't come before its change.
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        self.lag.observe(max(0.0, time.time() - moment.timestamp()))


class _State(Collector):
    """Reads queue, database and what workers counted, at each scrape. What is away is 0 in `prelabel_up`."""

    def __init__(self, app: App) -> None:
        self._app = app

    def describe(self) -> Iterable[Metric]:
        """Nothing: names need not be known before the first scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All figures; those of a part that is away are left out."""
        up = GaugeMetricFamily("prelabel_up", "1: it answers.", labels=["part"])
        for part, read in (("redis", self._of_redis), ("database", self._of_database), ("rules", self._of_rules)):
            try:
                found = list(read())
            except (BackendError, RedisError) as error:
                log.warning("figures are incomplete", part=part, error=str(error))
                up.add_metric([part], 0)
                continue
            up.add_metric([part], 1)
            yield from found
        yield up

    def _of_redis(self) -> Iterator[Metric]:
        queue = self._app.queue
        waiting, running = queue.depth()
        workers, scheduler = queue.alive()
        yield _gauge("prelabel_jobs_waiting", "Jobs that wait for a worker.", waiting)
        yield _gauge("prelabel_jobs_running", "Jobs that run.", running)
        yield _gauge("prelabel_jobs_failed", "Jobs that failed for good in the last 7 days.", queue.failed())
        yield _gauge("prelabel_queue_age_seconds", "How long the oldest job that is due waits.", queue.age_s())
        yield _gauge("prelabel_workers", "Workers that live.", workers)
        yield _gauge("prelabel_schedulers", "1: a scheduler lives.", int(scheduler))
        figures = queue.figures.read()
        yield _counter("prelabel_jobs", "Jobs by what became of them.", ["job", "outcome"], figures.get("jobs", {}))
        drift = figures.get("drift", {})
        yield _counter("prelabel_reconcile_drift", "Annotations that no event had told of.", ["project"], drift)
        seconds = HistogramMetricFamily("prelabel_job_seconds", "Time that jobs take.", labels=["job"])
        for labels, (counts, total) in histogram(figures, "job").items():
            ends = [("+Inf" if end == BUCKETS_S[-1] else str(end), n) for end, n in zip(BUCKETS_S, counts, strict=True)]
            seconds.add_metric([dict(labels)["job"]], ends, total)
        yield seconds
        last = GaugeMetricFamily("prelabel_training_seconds", "Time of the last training.", labels=["project"])
        for labels, value in figures.get("training:last", {}).items():
            last.add_metric([dict(labels)["project"]], value)
        yield last

    def _of_database(self) -> Iterator[Metric]:
        projects = self._app.projects()
        version = GaugeMetricFamily("prelabel_version", "Current version.", labels=["project"])
        count = GaugeMetricFamily("prelabel_versions", "Versions.", labels=["project", "status"])
        made = GaugeMetricFamily("prelabel_version_timestamp_seconds", "When it was trained.", labels=["project"])
        n_tasks = GaugeMetricFamily("prelabel_tasks", "Tasks in the mirror.", labels=["project"])
        labels = ["project", "question", "outcome"]
        shown = GaugeMetricFamily("prelabel_shown_suggestions", "What people did with suggestions.", labels=labels)
        held = GaugeMetricFamily("prelabel_held_version", "Version that a person holds it at.", labels=["project"])
        waiting = GaugeMetricFamily("prelabel_held_new_labels", "Labels that wait meanwhile.", labels=["project"])
        faults = GaugeMetricFamily("prelabel_training_rule_faults", "Faults in training.", labels=["project", "rule"])
        for project in projects:
            key = project.key
            current = self._current(project)
            version.add_metric([key], current)
            n_tasks.add_metric([key], self._app.database.count_tasks(key))
            records = self._app.database.versions(key)
            for status, n in Counts(record.status.value for record in records).items():
                count.add_metric([key, status], n)
            for record in records:
                if record.number == current:
                    made.add_metric([key], record.created_at)
            for (question, outcome), n in self._app.database.origins(key).items():
                shown.add_metric([key, question, outcome.name.lower()], n)
            hold = held_at(self._app.deps, project)
            if hold is not None:
                held.add_metric([key], hold.number)
                waiting.add_metric([key], hold.n_new)
            for rule, n_faults in self._rule_faults(key, current).items():
                faults.add_metric([key, rule], n_faults)
        yield from (version, count, made, n_tasks, shown, held, waiting, faults)
        yield from self._of_llms(projects)

    def _of_rules(self) -> Iterator[Metric]:
        n_aside = len(self._app.deps.rules.load().set_aside)
        yield _gauge("prelabel_rules_set_aside", "Rules that can't be used.", n_aside)

    def _of_llms(self, projects: Iterable[ProjectRecord]) -> Iterator[Metric]:
        spent = GaugeMetricFamily("prelabel_llm_spent_usd", "What LLMs cost, or may have cost.", labels=["project"])
        budget = GaugeMetricFamily("prelabel_llm_budget_usd", "The most that they may cost.", labels=["project"])
        for project in projects if self._app.deps.llm else ():
            spent.add_metric([project.key], self._app.deps.llm.records.spending(project.key).total)  # type: ignore[union-attr]
            budget.add_metric([project.key], self._app.deps.policy(project.key).llm.budget_usd)
        yield from (spent, budget)

    def _current(self, project: ProjectRecord) -> float:
        """The current version; Prometheus shows NaN where it can't be read."""
        try:
            return self._app.versions.current(project.key)
        except BackendError as error:
            log.error("current version can't be read", project=project.key, error=str(error))
            return float("nan")

    def _rule_faults(self, key: str, number: float) -> dict[str, float]:
        """Faults of rules when the current version was trained; {} without one, or when its folder is gone."""
        try:
            found = self._app.versions.metrics(key, int(number)) if number > 0 else VersionMetrics()
        except BackendError:
            return {}
        return {rule: float(fault.count) for rule, fault in found.rule_faults.items()}


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, labels: list[str], values: Mapping[Labels, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for given, value in values.items():
        family.add_metric([dict(given)[label] for label in labels], value)
    return family
