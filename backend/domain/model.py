"""What is known of a project, learned: votes, labels and task data in, posteriors out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain import classifier as classifiers
from backend.domain import features as extractors
from backend.domain.classifier import Classifier, train_classifier
from backend.domain.features import FeatureExtractor
from backend.domain.label_model import Choice, LabelModel, PropensityVote, choose
from backend.domain.label_model import from_dict as label_model_from_dict
from backend.domain.metrics import evaluate
from backend.domain.posterior import PRIOR_RATIO, Pool, fit_pool, fit_ratios, rule_out, rule_out_held_out
from backend.domain.questions import Decision, Kind, Question, decisions
from backend.domain.tasks import Answer
from backend.domain.votes import ABSTAIN, VoteMatrix, Votes

TRUSTED_TYPES = extractors.TRUSTED_TYPES + classifiers.TRUSTED_TYPES
"""Our own types in the first half of `to_parts`, which a skops loader has to be told to trust."""
N_FOLDS = 5


@dataclass(frozen=True, slots=True)
class DecisionModel:
    """What was learned about one decision. `sources` are the columns that the label model knows, in order.

    `ratios`: float64 (n_sources,), how much less probable each makes a class that it votes against, see `fit_ratios`.
    """

    decision: Decision
    sources: tuple[str, ...]
    label_model: LabelModel
    classifier: Classifier | None
    pool: Pool
    ratios: NDArray[np.float64]

    def posterior(self, votes: VoteMatrix | None, features: csr_matrix) -> NDArray[np.float64]:
        """Posterior (n, k); NaN rows where nobody votes and there is no classifier."""
        n_tasks = features.shape[0]
        voted = self.label_model.predict_proba(_columns(votes, self.sources, n_tasks))
        learned = np.full(voted.shape, np.nan) if self.classifier is None else self.classifier.predict_proba(features)
        pooled = self.pool.combine(voted, learned)
        if votes is None or votes.excluded is None:
            return pooled
        against = replace(votes, votes=votes.excluded)
        return rule_out(pooled, _columns(against, self.sources, n_tasks), self.ratios)


@dataclass(frozen=True, slots=True)
class ProjectModel:
    """What was learned about a project; `decisions` by `Decision.key`."""

    questions: tuple[Question, ...]
    extractor: FeatureExtractor
    decisions: dict[str, DecisionModel]

    def posteriors(
        self, data: Sequence[Mapping[str, object]], votes: Mapping[str, VoteMatrix]
    ) -> dict[str, NDArray[np.float64]]:
        """Posteriors (n_tasks, k) by `Decision.key`, rows in the order of `data`; NaN rows where nothing is known.

        Votes are matched to the trained sources by name: a source that is gone abstains, one that wasn't there in
        training has no known accuracy and is not counted until the next version.
        """
        features = self.extractor.transform(data)
        return {key: model.posterior(votes.get(key), features) for key, model in self.decisions.items()}


@dataclass(frozen=True, slots=True)
class Trained:
    """Result of `train`. `out_of_fold`: posteriors by `Decision.key` without any influence of the row's own label."""

    model: ProjectModel
    out_of_fold: dict[str, NDArray[np.float64]]
    metrics: dict[str, Any]


def rules_only(questions: Sequence[Question], votes: Mapping[str, VoteMatrix]) -> ProjectModel:
    """The model before the first version: a label model that knows how sources agree on these votes, no classifier."""
    models = {}
    for decision in (decision for question in questions for decision in decisions(question)):
        matrix = votes[decision.key]
        nothing = np.full(len(matrix.votes), -1, dtype=np.int64)
        label_model = PropensityVote().fit(matrix.votes, len(decision.classes), nothing)
        models[decision.key] = DecisionModel(
            decision, matrix.sources, label_model, None, Pool(), _prior_ratios(matrix.sources)
        )
    return ProjectModel(tuple(questions), FeatureExtractor().fit([]), models)


def train(
    questions: Sequence[Question],
    data: Sequence[Mapping[str, object]],
    votes: Mapping[str, VoteMatrix],
    gold: Mapping[str, NDArray[np.int64]],
    *,
    seed: int = 0,
) -> Trained:
    """Learn label models, classifiers and pools from task data, votes and human labels, and measure them.

    Args:
        questions: the questions of the project.
        data: task data, n of them.
        votes: for every decision, rows in the order of `data`.
        gold: int64 (n,) by `Decision.key`, class index or -1 = unknown; see `gold_of`.
        seed: makes the result reproducible.
    """
    extractor = FeatureExtractor().fit(data)
    features = extractor.transform(data)
    models, held_out, choices = {}, {}, {}
    for decision in (decision for question in questions for decision in decisions(question)):
        key = decision.key
        models[key], held_out[key], choices[key] = _train_decision(decision, votes[key], features, gold[key], seed)
    accuracies = {key: model.label_model.accuracies for key, model in models.items()}
    metrics = {
        "n_tasks": len(data),
        "questions": {
            question.name: evaluate(question, held_out, gold, votes, accuracies, seed=seed) for question in questions
        },
        "label_models": {key: choice.to_dict() for key, choice in choices.items()},
    }
    return Trained(ProjectModel(tuple(questions), extractor, models), held_out, metrics)


def _train_decision(
    decision: Decision, matrix: VoteMatrix, features: csr_matrix, gold: NDArray[np.int64], seed: int
) -> tuple[DecisionModel, NDArray[np.float64], Choice]:
    """The model of one decision, its posterior (n, k) in which no row's own label had a say, and why this label model.

    Labeled rows are split in folds. Each fold's posterior comes from a label model and a classifier that were chosen
    and fitted as if its rows were open tasks, so it is what open tasks get: the classifier has learned from their weak
    labels, made without their human ones. They are pooled with exponents chosen on the other folds. What remains of a
    row's own label is that the models of other folds, on which those exponents were chosen, have seen it: through a few
    numbers from a coarse grid.
    """
    k = len(decision.classes)
    choice = choose(matrix.votes, k, gold, seed=seed)
    label_model, voted, classifier, learned = _fit(choice, matrix.votes, features, gold, k, seed)
    parts = _folds(gold, seed)
    for fold in parts:
        rest = _without(gold, fold)
        fold_choice = choose(matrix.votes, k, rest, seed=seed)
        _, fold_voted, _, fold_learned = _fit(fold_choice, matrix.votes, features, rest, k, seed)
        voted[fold], learned[fold] = fold_voted[fold], fold_learned[fold]
    pool = fit_pool(voted, learned, gold)
    held_out = pool.combine(voted, learned)
    for fold in parts:
        held_out[fold] = fit_pool(voted, learned, _without(gold, fold)).combine(voted[fold], learned[fold])
    ratios = _prior_ratios(matrix.sources)
    if matrix.excluded is not None:
        ratios = fit_ratios(held_out, matrix.excluded, gold)
        held_out = rule_out_held_out(held_out, matrix.excluded, gold, parts)
    return DecisionModel(decision, matrix.sources, label_model, classifier, pool, ratios), held_out, choice


def _prior_ratios(sources: Sequence[str]) -> NDArray[np.float64]:
    return np.full(len(sources), PRIOR_RATIO)


def _fit(
    choice: Choice, votes: Votes, features: csr_matrix, gold: NDArray[np.int64], n_classes: int, seed: int
) -> tuple[LabelModel, NDArray[np.float64], Classifier | None, NDArray[np.float64]]:
    """Fit label model and classifier, and what each says of all rows; NaN where it says nothing."""
    label_model = choice.method().fit(votes, n_classes, gold)
    voted = label_model.predict_proba(votes)
    classifier = train_classifier(features, gold, voted, n_classes, seed=seed)
    learned = np.full(voted.shape, np.nan) if classifier is None else classifier.predict_proba(features)
    return label_model, voted, classifier, learned


def _folds(gold: NDArray[np.int64], seed: int) -> list[NDArray[np.int64]]:
    """Labeled rows in up to `N_FOLDS` parts.

    Not stratified: then which rows share a fold would depend on their labels, and a label could speak for itself.
    """
    labeled = np.random.default_rng(seed).permutation(np.flatnonzero(gold >= 0))
    return [np.sort(part) for part in np.array_split(labeled, min(N_FOLDS, labeled.size))] if labeled.size else []


def _without(gold: NDArray[np.int64], fold: NDArray[np.int64]) -> NDArray[np.int64]:
    """Gold with the rows of a fold unknown."""
    hidden = gold.copy()
    hidden[fold] = -1
    return hidden


def _columns(matrix: VoteMatrix | None, sources: Sequence[str], n_tasks: int) -> Votes:
    """Votes with exactly the columns `sources`, matched by name; sources that are missing abstain."""
    votes = np.full((n_tasks, len(sources)), ABSTAIN, dtype=np.int16)
    if matrix is not None:
        for column, source in enumerate(sources):
            if source in matrix.sources:
                votes[:, column] = matrix.votes[:, matrix.sources.index(source)]
    return votes


def gold_of(
    questions: Sequence[Question], answers: Sequence[Sequence[Mapping[str, Answer]]]
) -> dict[str, NDArray[np.int64]]:
    """What people chose: int64 (n_tasks,) by `Decision.key`, class index or -1 = unknown.

    Args:
        questions: the questions of the project.
        answers: for each task the answers of each of its annotators, question name -> labels.

    Several annotators: the majority; unknown on a tie. Labels that the question doesn't have (any more) are ignored,
    and an answer without any other is none. An answer to a multiple question says yes or no to each of its labels.
    """
    gold = {}
    for question in questions:
        given = [[known for answer in task if (known := _known_labels(question, answer))] for task in answers]
        for index, decision in enumerate(decisions(question)):
            if question.multiple:
                picks = [[int(index in labels) for labels in task] for task in given]
            else:
                picks = [[labels[0] for labels in task if len(labels) == 1] for task in given]
            gold[decision.key] = np.array([_majority(task) for task in picks], dtype=np.int64)
    return gold


def _known_labels(question: Question, answer: Mapping[str, Answer]) -> list[int]:
    indices = [question.index(label) for label in answer.get(question.name, ())]
    return [index for index in indices if index is not None]


def _majority(picks: Sequence[int]) -> int:
    counts = np.bincount(picks) if picks else np.zeros(1, dtype=np.int64)
    best = np.flatnonzero(counts == counts.max())
    return int(best[0]) if picks and best.size == 1 else -1


def to_parts(model: ProjectModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """A model as two parts for storage: scikit-learn objects (for skops, see `TRUSTED_TYPES`), and the rest as JSON."""
    fitted = {
        "extractor": model.extractor,
        "classifiers": {key: item.classifier for key, item in model.decisions.items() if item.classifier is not None},
    }
    described = {
        "questions": [asdict(question) for question in model.questions],
        "decisions": {
            key: {
                "sources": list(item.sources),
                "label_model": item.label_model.to_dict(),
                "pool": asdict(item.pool),
                "ratios": item.ratios.tolist(),
            }
            for key, item in model.decisions.items()
        },
    }
    return fitted, described


def from_parts(fitted: Mapping[str, Any], described: Mapping[str, Any]) -> ProjectModel:
    """The model that `to_parts` took apart."""
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
            ratios=np.array(fields["ratios"]) if "ratios" in fields else _prior_ratios(fields["sources"]),
        )
    return ProjectModel(questions, fitted["extractor"], models)


def _question(fields: Mapping[str, Any]) -> Question:
    return Question(
        name=fields["name"],
        to_name=fields["to_name"],
        kind=Kind(fields["kind"]),
        labels=tuple(fields["labels"]),
        multiple=fields["multiple"],
        paths=tuple(tuple(path) for path in fields["paths"]),
    )
