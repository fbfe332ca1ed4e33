"""What of the tasks could be read, for the log."""

import logging
from collections.abc import Mapping
from typing import Any

from backend.domain.features.fields import about_left_out
from backend.domain.model.training import CONTENT

log = logging.getLogger(__name__)


def warn_of_content(key: str, metrics: Mapping[str, Any]) -> None:
    """Say which fields weren't learned from, and of how many tasks nothing can be read; `metrics`: of the training."""
    found = metrics[CONTENT]
    if found["unread"]:
        log.warning("%s: %d of %d tasks have nothing that can be read", key, found["unread"], metrics["n_tasks"])
    if fields := about_left_out(found["left_out"]):
        log.warning("%s: %s", key, fields)
