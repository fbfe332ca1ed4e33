"""Label errors: which human labels are probably wrong, what we would have expected instead, and why."""

from backend.domain.label_errors.action import WEIGHTS, Action
from backend.domain.label_errors.consensus import MAX_TASKS, Consensus, consensus_of
from backend.domain.label_errors.crowd import Labels
from backend.domain.label_errors.explain import explain
from backend.domain.label_errors.held_out import classified, groups_of
from backend.domain.label_errors.records import Evidence, Findings, Noise, NotYet, Suspect
from backend.domain.label_errors.search import find_label_errors, search
from backend.domain.label_errors.several import NOBODY, labels_of, shared
from backend.domain.label_errors.unread import is_unread
from backend.domain.label_errors.verdicts import (
    MARGIN,
    Precision,
    expected_precision,
    precision_of,
    verdict_id,
    worth_showing,
)

__all__ = [
    "MARGIN",
    "MAX_TASKS",
    "NOBODY",
    "WEIGHTS",
    "Action",
    "Consensus",
    "Evidence",
    "Findings",
    "Labels",
    "Noise",
    "NotYet",
    "Precision",
    "Suspect",
    "classified",
    "consensus_of",
    "expected_precision",
    "explain",
    "find_label_errors",
    "groups_of",
    "is_unread",
    "labels_of",
    "precision_of",
    "search",
    "shared",
    "verdict_id",
    "worth_showing",
]
