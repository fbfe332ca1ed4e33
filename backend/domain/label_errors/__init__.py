"""Label errors: which human labels are probably wrong, what we would have expected instead, and why."""

from backend.domain.label_errors.held_out import classified, groups_of
from backend.domain.label_errors.records import Evidence, Findings, Noise, NotYet, Suspect
from backend.domain.label_errors.search import find_label_errors, search

__all__ = [
    "Evidence",
    "Findings",
    "Noise",
    "NotYet",
    "Suspect",
    "classified",
    "find_label_errors",
    "groups_of",
    "search",
]
