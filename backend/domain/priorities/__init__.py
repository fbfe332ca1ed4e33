"""Priorities: which task a person should label next."""

from backend.domain.priorities.audit_turns import AUDIT, choose_with_audit, scores_of_new
from backend.domain.priorities.bandit import Round, reward, shares
from backend.domain.priorities.opinions import Opinions
from backend.domain.priorities.queue import Evidence, Queue, ascending, choose_next
from backend.domain.priorities.strategy import ANOTHER_OPINION, MEASURES, RARE_CLASS, Strategy
from backend.domain.priorities.uncertainty import Priorities, rank, uncertainty

__all__ = [
    "ANOTHER_OPINION",
    "AUDIT",
    "MEASURES",
    "RARE_CLASS",
    "Evidence",
    "Opinions",
    "Priorities",
    "Queue",
    "Round",
    "Strategy",
    "ascending",
    "choose_next",
    "choose_with_audit",
    "rank",
    "reward",
    "scores_of_new",
    "shares",
    "uncertainty",
]
