"""The names of the strategies: how the next tasks are chosen."""

from enum import StrEnum


class Strategy(StrEnum):
    """How the tasks to label next are chosen."""

    AUTO = "auto"
    """Representative tasks first, then a mixture of what has taught most in the project, always with random ones."""
    LEAST_CONFIDENCE = "least_confidence"
    MARGIN = "margin"
    ENTROPY = "entropy"
    VOTE_ENTROPY = "vote_entropy"
    """Query by committee: entropy of the votes of rules, LLMs and classifier."""
    CONSENSUS_ENTROPY = "consensus_entropy"
    """Query by committee: entropy of the mean of label model and classifier."""
    DISAGREEMENT = "disagreement"
    """Query by committee: the farthest that label model or classifier is from their mean (Kullback-Leibler)."""
    EXPECTED_ERROR = "expected_error"
    DENSITY = "density"
    """Information density: uncertainty, times how much a task is like the others."""
    VARIANCE = "variance"
    """Expected variance reduction: unsure, and its label makes many others surer."""
    REPRESENTATIVE = "representative"
    """k-means++ on the features, classes with few labels first."""
    RANDOM = "random"


MEASURES = (Strategy.LEAST_CONFIDENCE, Strategy.MARGIN, Strategy.ENTROPY)
"""Those that measure the uncertainty of a posterior, and need nothing else."""
RARE_CLASS = "rare_class"
"""What `auto` calls the share of tasks chosen because they may belong to a rare class. Not to be chosen by a person."""
ANOTHER_OPINION = "another_opinion"
"""What the queue calls the turns of tasks that have labels, but fewer than Label Studio wants. Not to be chosen by a
person."""
