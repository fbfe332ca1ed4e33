"""How far people agree with an LLM."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.domain.codec import omitted
from backend.domain.statistics import Interval

MIN_COMPARED = 50
"""Answers that people judged, below which no source passes the gate."""


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """One label: of the answers that give it, the share that people gave too (precision); of those that people gave,
    the share that the source gave (recall). Intervals are Wilson's (1927), 95 %; None without any."""

    n_precision: int = 0
    precision: float | None = None
    precision_interval: Interval | None = None
    n_recall: int = 0
    recall: float | None = None
    recall_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of about the same confidence: their mean confidence, the share of them that is right, their number."""

    confidence: float
    right: float
    n: int


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What is known of one source.

    Compared are answers with a label to tasks that people labeled: `agreement` on the whole answer with Wilson's
    interval, and Cohen's kappa with its own. kappa of a multiple question is the mean over its labels' yes or no.
    problems: kind -> answers. usd: what all answers cost. confidence_kinds: where confidences come from -> answers.
    auroc: how well confidence tells right answers from wrong ones; None without both.
    calibrated_error: the expected calibration error after calibration, out of fold. calibration: its method. split: see
    `ports.llm.SourceRecord`. entity_f1: of marked spans, with its interval; see `span_gate`.
    """

    n_answers: int = 0
    n_abstained: int = 0
    problems: Mapping[str, int] = field(default_factory=dict)
    usd: float = 0.0
    n_compared: int = 0
    agreement: float | None = None
    agreement_interval: Interval | None = None
    kappa: float | None = None
    kappa_interval: Interval | None = None
    labels: Mapping[str, LabelFigures] = field(default_factory=dict)
    confidence_kinds: Mapping[str, int] = field(default_factory=dict)
    reliability: tuple[Bin, ...] = ()
    calibration_error: float | None = None
    auroc: float | None = None
    calibrated_error: float | None = None
    calibration: str = ""
    split: float | None = None
    entity_f1: float | None = omitted(None)
    entity_f1_interval: Interval | None = omitted(None)

    def passes(self, gate_kappa: float) -> bool:
        """Whether the source's votes may count: enough answers compared, and enough agreement beyond chance."""
        agreement = self.kappa if self.entity_f1 is None else self.entity_f1
        return self.n_compared >= MIN_COMPARED and agreement is not None and agreement >= gate_kappa
