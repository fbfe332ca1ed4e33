"""What is known of a project, learned: votes, labels and task data in, posteriors out."""

from backend.domain import classifier as classifiers
from backend.domain import features as extractors
from backend.domain.model.gold import gold_of
from backend.domain.model.project import DecisionModel, ProjectModel, rules_only
from backend.domain.model.storage import from_parts, to_parts
from backend.domain.model.training import CLASSIFIER, LABEL_MODEL, Features, Trained, train

__all__ = [
    "CLASSIFIER",
    "LABEL_MODEL",
    "TRUSTED_TYPES",
    "DecisionModel",
    "Features",
    "ProjectModel",
    "Trained",
    "from_parts",
    "gold_of",
    "rules_only",
    "to_parts",
    "train",
]

TRUSTED_TYPES = extractors.TRUSTED_TYPES + classifiers.TRUSTED_TYPES
"""Types in the first half of `to_parts`, which a skops loader has to be told to trust."""
