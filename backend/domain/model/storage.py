"""A model in parts, as it is stored."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from backend.domain import classifier as classifiers
from backend.domain import features as extractors
from backend.domain.alike import Alike
from backend.domain.classifier import Classifier
from backend.domain.classifier.choice import RecipeChoice
from backend.domain.label_model.choose import from_dict as label_model_from_dict
from backend.domain.model.project import DecisionModel, ProjectModel, prior_ratios
from backend.domain.posterior import Pool
from backend.domain.questions import Decision, decisions, from_dict, to_dict
from backend.errors import ModelMissing

TRUSTED_TYPES = extractors.TRUSTED_TYPES + classifiers.TRUSTED_TYPES
"""Types in the first half of `to_parts`, which a skops loader has to be told to trust."""
FORMAT = 2
"""Changes when classifiers or extractors are stored in another form."""


def to_parts(model: ProjectModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """A model as two parts for storage: scikit-learn objects (for skops, see `TRUSTED_TYPES`), and the rest as JSON."""
    fitted = {
        "extractor": model.extractor,
        "space": model.space,
        "classifiers": {key: item.classifier for key, item in model.decisions.items() if item.classifier is not None},
    }
    alike: Alike[dict[str, Any]] = Alike()
    described = {
        "format": FORMAT,
        "questions": [to_dict(question) for question in model.questions],
        "decisions": {key: alike.get(item.learned, partial(_fields_of, item)) for key, item in model.decisions.items()},
    }
    return fitted, described


def _fields_of(model: DecisionModel) -> dict[str, Any]:
    return {
        "sources": list(model.sources),
        "label_model": model.label_model.to_dict(),
        "pool": asdict(model.pool),
        "ratios": model.ratios.tolist(),
        "choice": None if model.choice is None else model.choice.to_dict(),
        "short": list(model.short),
    }


def from_parts(fitted: Mapping[str, Any], described: Mapping[str, Any]) -> ProjectModel:
    """The model that `to_parts` took apart.

    Raises:
        ModelMissing: it was stored by a release whose classifiers were others.
    """
    if described.get("format") != FORMAT:
        raise ModelMissing("This version was trained by another release, which stored other classifiers. Train anew.")
    try:
        questions = tuple(from_dict(fields) for fields in described["questions"])
    except KeyError as error:
        raise ModelMissing(f"This version asks what this release doesn't know ({error}). Train anew.") from error
    models = {}
    alike: Alike[DecisionModel] = Alike()
    for decision in (decision for question in questions for decision in decisions(question)):
        fields, classifier = described["decisions"][decision.key], fitted["classifiers"].get(decision.key)
        basis = id(classifier), json.dumps(fields)
        models[decision.key] = replace(
            alike.get(basis, partial(_decision_model, decision, fields, classifier)), decision=decision
        )
    return ProjectModel(questions, fitted["extractor"], models, fitted.get("space"))


def _decision_model(decision: Decision, fields: Mapping[str, Any], classifier: Classifier | None) -> DecisionModel:
    return DecisionModel(
        decision=decision,
        sources=tuple(fields["sources"]),
        label_model=label_model_from_dict(fields["label_model"]),
        classifier=classifier,
        pool=Pool(**fields["pool"]),
        # Versions before votes against a class were used have none.
        ratios=np.array(fields["ratios"]) if "ratios" in fields else prior_ratios(fields["sources"]),
        choice=RecipeChoice.from_dict(fields["choice"]) if fields.get("choice") else None,
        short=tuple(fields.get("short", ())),
    )
