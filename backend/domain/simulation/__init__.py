"""Simulation: a labeled project is labeled again, and what each label brings is measured."""

from backend.domain.simulation.curves import (
    SHARES,
    Band,
    BandPoint,
    Cost,
    Final,
    band,
    by_plan,
    costs,
    finals,
    mean_curve,
    ratio,
)
from backend.domain.simulation.loop import Stage, full_accuracy, replay, rounds, split, stage_of
from backend.domain.simulation.records import NOTHING, Curve, LabeledTasks, LlmUse, Plan, Point

__all__ = [
    "NOTHING",
    "SHARES",
    "Band",
    "BandPoint",
    "Cost",
    "Curve",
    "Final",
    "LabeledTasks",
    "LlmUse",
    "Plan",
    "Point",
    "Stage",
    "band",
    "by_plan",
    "costs",
    "finals",
    "full_accuracy",
    "mean_curve",
    "ratio",
    "replay",
    "rounds",
    "split",
    "stage_of",
]
