"""Reports that are kept as JSON."""

import logging
from typing import TypeVar

from backend.domain.codec import Unreadable, from_json

log = logging.getLogger(__name__)
Report = TypeVar("Report")


def read_report(kind: type[Report], found: object) -> Report | None:
    """A report as it was kept; None where there is none, or none that can be read: it is made anew now and then."""
    if not found:
        return None
    try:
        return from_json(kind, found)
    except Unreadable as error:
        log.warning(
            "A %s in the database can't be read, and is left out until it is made anew: %s", kind.__name__, error
        )
        return None
