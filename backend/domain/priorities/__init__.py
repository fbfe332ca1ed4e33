"""Priorities: which task a person should label next."""

from backend.domain.priorities.bandit import Round, reward, shares
from backend.domain.priorities.geometry import clusters
from backend.domain.priorities.queue import Evidence, Queue, ascending, choose_next
from backend.domain.priorities.strategy import MEASURES, RARE_CLASS, Strategy
from backend.domain.priorities.uncertainty import Priorities, rank, uncertainty

__all__ = [
    "MEASURES",
    "RARE_CLASS",
    "Evidence",
    "Priorities",
    "Queue",
    "Round",
    "Strategy",
    "ascending",
    "choose_next",
    "clusters",
    "rank",
    "reward",
    "shares",
    "uncertainty",
]
