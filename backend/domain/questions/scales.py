"""Scales: questions whose labels are ordered, so that an answer can be nearly right."""

from dataclasses import dataclass

import numpy as np

from backend.domain.questions.base import Question
from backend.domain.questions.forms import Gold, Posteriors
from backend.domain.reports.figures import Metric


@dataclass(frozen=True)
class Scale(Question):
    """One label of an ordered list. It is answered by the median of what is probable."""

    ordered = True

    def figures(self, posteriors: Posteriors, gold: Gold) -> tuple[Metric, ...]:
        """See `Question`; from posteriors, float64 (n, k). `mean_absolute_error`: how many steps the answer is off."""
        (decision,) = self.form.decisions
        chosen = decision.choose(posteriors[decision.key])
        off = np.abs(chosen - gold[decision.key])[chosen >= 0]
        return (Metric("mean_absolute_error", float(off.mean()) if off.size else None),)
