"""Training: task data, votes and human labels in, a model and what it knows of labeled rows out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.alike import Alike, fingerprint
from backend.domain.classifier import Classifier, Recipe, short_classes, train_classifier
from backend.domain.classifier.choice import (
    Material,
    RecipeChoice,
    best_calibration,
    calibration_losses,
    choose_recipe,
    folds,
    identities,
)
from backend.domain.features import FeatureExtractor, has_no_features
from backend.domain.features.vectors import Vectors, VectorSpace
from backend.domain.frame import CLASSIFIER, LABEL_MODEL, Frame
from backend.domain.label_model.choose import Choice, choose
from backend.domain.metrics import evaluate
from backend.domain.model.project import DecisionModel, ProjectModel, described, joined, prior_ratios
from backend.domain.policy import CHOICE_S
from backend.domain.posterior import fit_exponents, fit_ratios, rule_out_held_out
from backend.domain.questions import Question, decisions
from backend.domain.reports.version import (
    ClassifierFigures,
    ContentFigures,
    EmbeddingFigures,
    RecipeUsed,
    VersionMetrics,
)
from backend.domain.tasks import content_hash
from backend.domain.votes import VoteMatrix, told_by_validated


@dataclass(frozen=True, slots=True)
class Features:
    """A fitted extractor, and its features (n_tasks, d) of the tasks to train on."""

    extractor: FeatureExtractor
    matrix: csr_matrix


@dataclass(frozen=True, slots=True)
class Known:
    """Data that a training can use again, besides tasks, votes and labels.

    features: of the tasks. vectors: their embeddings. hashes: of their contents, see `content_hash`. previous: the
    version before: its choice of classifiers is kept until sizes have doubled.
    """

    features: Features | None = None
    vectors: Vectors | None = None
    hashes: Sequence[bytes] | None = None
    previous: ProjectModel | None = None


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What a team can set. smoothing: share of a human label that is spread over all classes; 0 to below 1. choice_s:
    seconds that comparing classifiers may take, all decisions together; estimated."""

    smoothing: float = 0.0
    choice_s: float = CHOICE_S


@dataclass(frozen=True, slots=True)
class _Shared:
    """What is the same for all decisions of one question. identities: of the content of each unit's task. budget_s:
    seconds that comparing classifiers may take."""

    material: Material
    identities: Sequence[bytes]
    budget_s: float


@dataclass(frozen=True, slots=True)
class _TrainedDecision:
    """What is learned about one decision; see `_train_decision`. Posteriors, float64 (n, k), are held out: no row's
    label had a say in it.

    held_out: of the whole model. held_out_label_model, held_out_classifier: of these two for themselves. choice: of the
    label model, and why.
    """

    model: DecisionModel
    held_out: NDArray[np.float64]
    choice: Choice
    held_out_label_model: NDArray[np.float64]
    held_out_classifier: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trained:
    """Result of `train`.

    frame: what was learned from, with held-out posteriors, what the members say for themselves without any influence
    of the row's own label either, and the units' features. features: (n_tasks, d) of all tasks, embeddings included.
    """

    model: ProjectModel
    frame: Frame
    metrics: VersionMetrics
    features: csr_matrix


def train(
    frame: Frame,
    data: Sequence[Mapping[str, object]],
    known: Known | None = None,
    settings: TrainingSettings | None = None,
    *,
    seed: int = 0,
) -> Trained:
    """Learn label models, classifiers and exponents from task data, votes and human labels, and measure them.

    Args:
        frame: the questions of the project, with votes and gold for every decision, and weights.
        data: data of its tasks.
        known: what is at hand of the same tasks.
        settings: what a team has set.
        seed: makes the result reproducible.
    """
    known, settings = known or Known(), settings or TrainingSettings()
    features, vectors, questions = known.features, known.vectors, frame.questions
    if features is None:
        extractor = FeatureExtractor().fit(data, [pair for question in questions for pair in question.compared])
        features = Features(extractor, extractor.transform(data))
    space = VectorSpace.fit(vectors, seed=seed)
    inputs = joined(features.matrix, space, vectors)
    frame = described(frame, data, inputs)
    learned: dict[str, _TrainedDecision] = {}
    hashes = [content_hash(item) for item in data] if known.hashes is None else known.hashes
    tasks, is_table = identities(hashes), not features.extractor.text_width and space is None
    for question in questions:
        name, units = question.name, frame.units[question.name]
        weights, n_vectors = frame.weights.get(name), space.width if space is not None else 0
        material = Material(frame.features[name], is_table, weights, settings.smoothing, seed, n_vectors)
        of_units = tasks if units.of_task is None else [tasks[task] for task in units.of_task.tolist()]
        shared = _Shared(material, of_units, settings.choice_s / len(questions))
        learned |= _train_question(question, frame, shared, known.previous)
    by_key = {decision.key: learned[decision.key] for question in questions for decision in decisions(question)}
    models = {key: item.model for key, item in by_key.items()}
    frame = replace(
        frame,
        held_out={key: item.held_out for key, item in by_key.items()},
        members={
            LABEL_MODEL: {key: item.held_out_label_model for key, item in by_key.items()},
            CLASSIFIER: {key: item.held_out_classifier for key, item in by_key.items()},
        },
    )
    accuracies = {key: model.label_model.accuracies for key, model in models.items()}
    about: Alike[ClassifierFigures] = Alike()
    metrics = VersionMetrics(
        n_tasks=len(data),
        questions={item.name: evaluate(item, frame, accuracies, seed=seed) for item in questions},
        label_models={key: item.choice.recorded() for key, item in by_key.items()},
        classifiers={key: about.get(model.learned, partial(_about_classifier, model)) for key, model in models.items()},
        content=ContentFigures(int(has_no_features(inputs).sum()), features.extractor.left_out_),
        embeddings=_about_vectors(vectors, space),
    )
    model = ProjectModel(questions, features.extractor, models, space)
    return Trained(model, frame, metrics, inputs)


def _train_question(
    question: Question, frame: Frame, shared: _Shared, previous: ProjectModel | None
) -> dict[str, _TrainedDecision]:
    """What is learned about each decision of a question, by `Decision.key`."""
    asked, gold = decisions(question), frame.gold
    # Of a set of labels, the one that says most about what suits the question goes first, and chooses for the others.
    asked.sort(key=lambda item: -int((gold[item.key] > 0).sum()))
    choice: RecipeChoice | None = None
    learned: dict[str, _TrainedDecision] = {}
    alike: Alike[_TrainedDecision] = Alike()
    for decision in asked:
        key, matrix = decision.key, frame.votes[decision.key]
        last = None if previous is None or key not in previous.decisions else previous.decisions[key]
        known = last.choice if last is not None and last.decision == decision else None
        chosen, is_due = choice or known, choice is None
        learn = partial(_train_decision, matrix, gold[key], shared, chosen, is_due=is_due)
        found = alike.get((id(choice), matrix.fingerprint, fingerprint(gold[key])), learn)
        learned[key] = replace(found, model=replace(found.model, decision=decision))
        choice = found.model.choice
    return learned


def _about_vectors(vectors: Vectors | None, space: VectorSpace | None) -> EmbeddingFigures | None:
    if vectors is None:
        return None
    used = 0 if space is None else space.width
    return EmbeddingFigures(vectors.model, len(vectors.known), used, vectors.problem)


def _about_classifier(model: DecisionModel) -> ClassifierFigures:
    figures = ClassifierFigures(too_few_labels=tuple(model.decision.classes[index] for index in model.short))
    if model.classifier is not None:
        figures = replace(figures, sharpness=model.classifier.sharpness, shift=model.classifier.shift)
    choice = model.choice
    if choice is None:
        return figures
    recipe = choice.recipe
    return replace(
        figures,
        recipe=RecipeUsed(recipe.candidate.value, recipe.trust, recipe.smoothing, recipe.view.value),
        calibrations=choice.calibrations,
        n_labels=choice.n_labels,
        n_tasks=choice.n_tasks,
        losses=choice.losses,
        reason=choice.reason,
    )


def _train_decision(
    matrix: VoteMatrix,
    gold: NDArray[np.int64],
    shared: _Shared,
    known: RecipeChoice | None,
    *,
    is_due: bool,
) -> _TrainedDecision:
    """The model of one decision, its posterior (n, k) in which no row's own label had a say, and why this label model;
    and what label model and classifier say for themselves, (n, k), no row's own label having a say.

    Labeled rows are split in folds. Each fold's posterior comes from a label model and a classifier that were chosen
    and fitted as if its rows were open tasks, so it is what open tasks get: the classifier has learned from their weak
    labels, made without their human ones. They are calibrated and combined with numbers chosen on the other folds. What
    remains of a row's own label is that the models of other folds, on which those numbers and the kind of classifier
    were chosen, have seen it: through a few numbers from a coarse grid.

    `known` is a choice of classifier made before; it is made anew when sizes have doubled since, if `is_due`.
    """
    decision, seed = matrix.decision, shared.material.seed
    k = len(decision.classes)
    choice = choose(matrix.votes, k, gold, seed=seed, validated=matrix.validated)
    label_model = choice.fit(matrix.votes, k, gold)
    by_label_model = label_model.predict_proba(matrix.votes)
    parts = folds(shared.identities, gold)
    without_fold = [_without_labels_of(matrix, gold, part, by_label_model, seed) for part in parts]
    recipes = known
    sizes = int((gold >= 0).sum()), gold.size, shared.material.n_vectors
    if recipes is None or (is_due and recipes.is_due(*sizes)):
        recipes = choose_recipe(shared.material, gold, without_fold, parts, k, budget_s=shared.budget_s)
    classifier, by_classifier = _classify(shared.material, gold, by_label_model, without_fold, parts, recipes)
    for part, without in zip(parts, without_fold, strict=True):
        by_label_model[part] = without[part]
    parts = [part for part in parts if part.size]
    told = told_by_validated(matrix.votes, matrix.sources)
    exponents = fit_exponents(by_label_model, by_classifier, gold, told)
    if not (gold >= 0).any():
        exponents = exponents.flattened(recipes.before_labels)
    held_out = exponents.combine(by_label_model, by_classifier, told)
    for fold in parts:
        held_out[fold] = fit_exponents(by_label_model, by_classifier, _without(gold, fold), told).combine(
            by_label_model[fold], by_classifier[fold], told[fold]
        )
    ratios = prior_ratios(matrix.sources)
    if matrix.excluded is not None:
        ratios = fit_ratios(held_out, matrix.excluded, gold)
        held_out = rule_out_held_out(held_out, matrix.excluded, gold, parts)
    short = tuple(short_classes(gold, k))
    model = DecisionModel(decision, matrix.sources, label_model, classifier, exponents, ratios, recipes, short)
    return _TrainedDecision(model, held_out, choice, by_label_model, by_classifier)


def _without_labels_of(
    matrix: VoteMatrix,
    gold: NDArray[np.int64],
    fold: NDArray[np.int64],
    by_label_model: NDArray[np.float64],
    seed: int,
) -> NDArray[np.float64]:
    """What a label model says of all rows (n, k) that was chosen and fitted without the labels of a fold."""
    if not fold.size or not matrix.sources:
        return by_label_model
    votes, k, rest = matrix.votes, len(matrix.decision.classes), _without(gold, fold)
    return choose(votes, k, rest, seed=seed, validated=matrix.validated).fit(votes, k, rest).predict_proba(votes)


def _classify(
    material: Material,
    gold: NDArray[np.int64],
    by_label_model: NDArray[np.float64],
    without_fold: Sequence[NDArray[np.float64]],
    parts: Sequence[NDArray[np.int64]],
    recipes: RecipeChoice,
) -> tuple[Classifier | None, NDArray[np.float64]]:
    """The classifier, and what one says of each row (n, k) that its label had no say in; NaN without any."""

    def fit(known: NDArray[np.int64], weak: NDArray[np.float64], recipe: Recipe) -> Classifier | None:
        return train_classifier(
            material.seen(recipe.view),
            known,
            weak,
            seed=material.seed,
            recipe=recipe,
            weights=material.weights,
            n_vectors=material.n_seen(recipe.view),
        )

    found = []
    for part, weak, recipe in zip(parts, without_fold, recipes.of_folds, strict=True):
        of_fold = fit(_without(gold, part), weak, recipe) if part.size else None
        scores = None if of_fold is None else of_fold.scores(material.seen(recipe.view)[part])
        losses = None if of_fold is None or scores is None else calibration_losses(of_fold, scores, gold[part])
        found.append((recipe, part, of_fold, scores, losses))

    def calibration(place: int, recipe: Recipe) -> tuple[float, float]:
        """On folds other than `place` with the same candidate and view, or as it was when these were compared."""
        usable = [
            losses
            for other, (known, *_, losses) in enumerate(found)
            if other != place and losses is not None and known.name == recipe.name
        ]
        if len(usable) > 1:
            return best_calibration(np.sum(usable, axis=0), recipes.before_labels)
        return recipes.calibrations[place + 1]

    classifier = fit(gold, by_label_model, recipes.recipe)
    by_classifier = np.full(by_label_model.shape, np.nan)
    if classifier is not None:
        classifier = classifier.calibrated_by(*calibration(-1, recipes.recipe))
        by_classifier = classifier.predict_proba(material.seen(recipes.recipe.view))
    by_classifier[gold >= 0] = np.nan
    for place, (recipe, part, of_fold, scores, _) in enumerate(found):
        if of_fold is not None and scores is not None:
            by_classifier[part] = of_fold.calibrated_by(*calibration(place, recipe)).calibrated(scores)
    by_classifier[has_no_features(material.features)] = np.nan
    if classifier is not None:
        classifier = classifier.among(material.columns(recipes.recipe.view), material.features.shape[1])
    return classifier, by_classifier


def _without(gold: NDArray[np.int64], fold: NDArray[np.int64]) -> NDArray[np.int64]:
    """Gold with the rows of a fold unknown."""
    hidden = gold.copy()
    hidden[fold] = -1
    return hidden
