"""A model in parts, as it is stored."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypedDict

import numpy as np

from backend.domain import classifier as classifiers
from backend.domain import features as extractors
from backend.domain.alike import Alike
from backend.domain.classifier import Classifier
from backend.domain.classifier.choice import RecipeChoice
from backend.domain.codec import Json, JsonObject, Unreadable, from_json, to_json
from backend.domain.features import FeatureExtractor
from backend.domain.features.vectors import VectorSpace
from backend.domain.label_model.choose import from_dict as label_model_from_dict
from backend.domain.model.project import DecisionModel, ProjectModel, prior_ratios
from backend.domain.posterior import Exponents
from backend.domain.questions import Decision, decisions, from_dict, to_dict
from backend.errors import ModelMissing

TRUSTED_TYPES = extractors.TRUSTED_TYPES + classifiers.TRUSTED_TYPES
"""Types in the first half of `to_parts`, which a skops loader has to be told to trust."""
FORMAT = 2
"""Changes when classifiers or extractors are stored in another form."""


class FittedParts(TypedDict):
    """The scikit-learn objects of a model."""

    extractor: FeatureExtractor
    space: VectorSpace | None
    classifiers: dict[str, Classifier]


@dataclass(frozen=True, slots=True)
class _StoredDecision:
    """A decision's part of the JSON. ratios: None in versions of before votes against a class were used."""

    sources: tuple[str, ...]
    label_model: Mapping[str, object]
    pool: Exponents
    ratios: tuple[float, ...] | None = None
    choice: RecipeChoice | None = None
    short: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Stored:
    """The JSON as a whole; decisions are read one by one, of those that are alike one."""

    format: int
    questions: tuple[Mapping[str, object], ...]
    decisions: Mapping[str, Mapping[str, object]]


def to_parts(model: ProjectModel) -> tuple[FittedParts, JsonObject]:
    """A model as two parts for storage: scikit-learn objects (for skops, see `TRUSTED_TYPES`), and the rest as JSON."""
    fitted: FittedParts = {
        "extractor": model.extractor,
        "space": model.space,
        "classifiers": {key: item.classifier for key, item in model.decisions.items() if item.classifier is not None},
    }
    alike: Alike[dict[str, Json]] = Alike()
    stored = _Stored(
        format=FORMAT,
        questions=tuple(to_dict(question) for question in model.questions),
        decisions={key: alike.get(item.learned, partial(_described, item)) for key, item in model.decisions.items()},
    )
    return fitted, to_json(stored)


def _described(model: DecisionModel) -> dict[str, Json]:
    stored = _StoredDecision(
        sources=model.sources,
        label_model=model.label_model.to_dict(),
        pool=model.exponents,
        ratios=tuple(model.ratios.tolist()),
        choice=model.choice,
        short=model.short,
    )
    return to_json(stored)


def from_parts(fitted: FittedParts, described: Mapping[str, object]) -> ProjectModel:
    """The model that `to_parts` took apart.

    Raises:
        ModelMissing: it was stored by a release whose classifiers were others, or is damaged.
    """
    if described.get("format") != FORMAT:
        raise ModelMissing("This version was trained by another release, which stored other classifiers. Train anew.")
    try:
        stored = from_json(_Stored, described)
        questions = tuple(map(from_dict, stored.questions))
    except (KeyError, ValueError) as error:
        raise ModelMissing(f"This version asks what this release doesn't know ({error}). Train anew.") from error
    models = {}
    alike: Alike[DecisionModel] = Alike()
    for decision in (decision for question in questions for decision in decisions(question)):
        found, classifier = stored.decisions[decision.key], fitted["classifiers"].get(decision.key)
        basis = id(classifier), json.dumps(found)
        models[decision.key] = replace(
            alike.get(basis, partial(_decision_model, decision, found, classifier)), decision=decision
        )
    return ProjectModel(questions, fitted["extractor"], models, fitted.get("space"))


def _decision_model(decision: Decision, found: Mapping[str, object], classifier: Classifier | None) -> DecisionModel:
    try:
        stored = from_json(_StoredDecision, found)
    except Unreadable as error:
        raise ModelMissing(f"The model of {decision.key} can't be read ({error}). Train anew.") from error
    return DecisionModel(
        decision=decision,
        sources=stored.sources,
        label_model=label_model_from_dict(stored.label_model),
        classifier=classifier,
        exponents=stored.pool,
        ratios=prior_ratios(stored.sources) if stored.ratios is None else np.array(stored.ratios),
        choice=stored.choice,
        short=stored.short,
    )
