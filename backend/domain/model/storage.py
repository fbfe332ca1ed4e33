"""A model in parts, as it is stored."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from backend.domain.classifier.choice import (
    RecipeChoice,
)
from backend.domain.label_model import from_dict as label_model_from_dict
from backend.domain.model.project import DecisionModel, ProjectModel, prior_ratios
from backend.domain.posterior import Pool
from backend.domain.questions import Condition, Kind, Question, decisions
from backend.errors import ModelMissing

FORMAT = 2
"""Changes when classifiers or extractors are stored in another form."""


def to_parts(model: ProjectModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """A model as two parts for storage: scikit-learn objects (for skops, see `TRUSTED_TYPES`), and the rest as JSON."""
    fitted = {
        "extractor": model.extractor,
        "space": model.space,
        "classifiers": {key: item.classifier for key, item in model.decisions.items() if item.classifier is not None},
    }
    described = {
        "format": FORMAT,
        "questions": [asdict(question) for question in model.questions],
        "decisions": {
            key: {
                "sources": list(item.sources),
                "label_model": item.label_model.to_dict(),
                "pool": asdict(item.pool),
                "ratios": item.ratios.tolist(),
                "choice": None if item.choice is None else item.choice.to_dict(),
                "short": list(item.short),
            }
            for key, item in model.decisions.items()
        },
    }
    return fitted, described


def from_parts(fitted: Mapping[str, Any], described: Mapping[str, Any]) -> ProjectModel:
    """The model that `to_parts` took apart.

    Raises:
        ModelMissing: it was stored by a release whose classifiers were others.
    """
    if described.get("format") != FORMAT:
        raise ModelMissing("This version was trained by another release, which stored other classifiers. Train anew.")
    questions = tuple(_question(fields) for fields in described["questions"])
    models = {}
    for decision in (decision for question in questions for decision in decisions(question)):
        fields = described["decisions"][decision.key]
        models[decision.key] = DecisionModel(
            decision=decision,
            sources=tuple(fields["sources"]),
            label_model=label_model_from_dict(fields["label_model"]),
            classifier=fitted["classifiers"].get(decision.key),
            pool=Pool(**fields["pool"]),
            # Versions before votes against a class were used have none.
            ratios=np.array(fields["ratios"]) if "ratios" in fields else prior_ratios(fields["sources"]),
            choice=RecipeChoice.from_dict(fields["choice"]) if fields.get("choice") else None,
            short=tuple(fields.get("short", ())),
        )
    return ProjectModel(questions, fitted["extractor"], models, fitted.get("space"))


def _question(fields: Mapping[str, Any]) -> Question:
    return Question(
        name=fields["name"],
        to_name=fields["to_name"],
        kind=Kind(fields["kind"]),
        labels=tuple(fields["labels"]),
        multiple=fields["multiple"],
        paths=tuple(tuple(path) for path in fields["paths"]),
        # Earlier releases suggested hidden questions too.
        shown_when=tuple(_condition(item) for item in fields.get("shown_when", ())),
    )


def _condition(fields: Mapping[str, Any]) -> Condition:
    return Condition(fields["question"], tuple(tuple(group) for group in fields["groups"]), fields["chosen"])
