"""What of the tasks a version could read."""

import logging
from dataclasses import dataclass

from backend.domain.features.fields import about_left_out
from backend.domain.reports.version import VersionMetrics

NOTHING_TO_READ = (
    "Where nothing votes, they get no suggestion. Import texts themselves instead of their addresses; for images, "
    "set EMBEDDING_MODEL and EMBEDDING_IMAGES, or a model that takes images as LLM_MODEL."
)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ContentReport:
    """What a version's metrics say of the content of tasks.

    n_without_content: tasks of which nothing can be read. sentence: names them, and the fields that are left out.
    """

    n_without_content: int
    sentence: str


def about_content(metrics: VersionMetrics) -> ContentReport | None:
    """What the metrics of a version say; None where an earlier release, which didn't look, or nobody made them."""
    found = metrics.content
    if found is None:
        return None
    parts = [about_left_out(found.left_out) or "all fields are learned from"]
    if found.unread:
        parts.insert(0, f"{found.unread} of {metrics.n_tasks} tasks have nothing that can be read")
    return ContentReport(found.unread, "; ".join(parts))


def warn_of_content(key: str, metrics: VersionMetrics) -> None:
    """Say in the log which fields weren't learned from, and of how many tasks nothing can be read."""
    said = about_content(metrics)
    if said is not None and metrics.content is not None and (said.n_without_content or metrics.content.left_out):
        log.warning("%s: %s", key, said.sentence)
