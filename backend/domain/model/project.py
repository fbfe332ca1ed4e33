"""A project's model: what was learned about each decision, and the posteriors it gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from backend.domain.alike import Alike, fingerprint
from backend.domain.classifier import Classifier
from backend.domain.classifier.choice import (
    RecipeChoice,
)
from backend.domain.features import FeatureExtractor, has_no_features
from backend.domain.features.vectors import Vectors, VectorSpace
from backend.domain.frame import Frame
from backend.domain.label_model.base import LabelModel
from backend.domain.label_model.propensity import PropensityVote
from backend.domain.marking.model import MarkingModel
from backend.domain.posterior import PRIOR_RATIO, Exponents, rule_out
from backend.domain.questions import Decision, Question, decisions
from backend.domain.questions.forms import ABSTAIN, Votes
from backend.domain.votes import VoteMatrix, told_by_validated


@dataclass(frozen=True, slots=True)
class DecisionModel:
    """What was learned about one decision. `sources` are the columns that the label model knows, in order.

    `ratios`: float64 (n_sources,), how much less probable each makes a class that it votes against, see `fit_ratios`.
    """

    decision: Decision
    sources: tuple[str, ...]
    label_model: LabelModel
    classifier: Classifier | None
    exponents: Exponents
    ratios: NDArray[np.float64]
    choice: RecipeChoice | None = None
    short: tuple[int, ...] = ()

    @property
    def learned(self) -> tuple[object, ...]:
        """The identity of all learned parts, which decisions that are alike share."""
        return (
            id(self.label_model),
            id(self.classifier),
            id(self.ratios),
            id(self.choice),
            self.exponents,
            self.short,
            self.sources,
        )

    def posterior(self, votes: VoteMatrix | None, features: csr_matrix) -> NDArray[np.float64]:
        """Posterior, float64 (n, k); NaN rows where nobody votes and there is no classifier, or nothing for it to
        read."""
        n_tasks = features.shape[0]
        known = _columns(votes, self.sources, n_tasks)
        by_label_model = self.label_model.predict_proba(known)
        by_classifier = (
            np.full(by_label_model.shape, np.nan)
            if self.classifier is None
            else self.classifier.predict_proba(features)
        )
        # How often a class is right is no suggestion for a task of which nothing can be read.
        by_classifier[has_no_features(features)] = np.nan
        combined = self.exponents.combine(by_label_model, by_classifier, told_by_validated(known, self.sources))
        if votes is None or votes.excluded is None:
            return combined
        against = replace(votes, votes=votes.excluded)
        return rule_out(combined, _columns(against, self.sources, n_tasks), self.ratios)


@dataclass(frozen=True)
class ProjectModel:
    """What was learned about a project; `decisions` by `Decision.key`. space: of embeddings, where there are any.
    marking: what was learned about its questions of spans, by name."""

    questions: tuple[Question, ...]
    extractor: FeatureExtractor
    decisions: dict[str, DecisionModel]
    space: VectorSpace | None = None
    marking: Mapping[str, MarkingModel] = field(default_factory=dict)

    @property
    def answered(self) -> tuple[Question, ...]:
        """All questions that it was trained on, however they are learned."""
        return (*self.questions, *(item.question for item in self.marking.values()))

    def posteriors(
        self, data: Sequence[Mapping[str, object]], frame: Frame, vectors: Vectors | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Posteriors, float64 (n_units, k), by `Decision.key` of the frame's questions that the model was trained on;
        NaN rows where nothing is known.

        Votes are matched to the trained sources by name: a source that is gone abstains, one that wasn't there in
        training has no known accuracy and is not counted until the next version.

        Args:
            data: of the frame's tasks.
            frame: units and votes.
            vectors: the tasks' embeddings.
        """
        features = joined(self.extractor.transform(data), self.space, vectors)
        return self.posteriors_of(described(frame, data, features))

    def posteriors_of(self, frame: Frame) -> dict[str, NDArray[np.float64]]:
        """Posteriors, float64 (n_units, k), where the units' features are in the frame (see `described`)."""
        alike: Alike[NDArray[np.float64]] = Alike()
        found = {}
        for question in filter(self.knows, frame.questions):
            features = frame.features[question.name]
            for key in (decision.key for decision in question.form.decisions):
                model, matrix = self.decisions[key], frame.votes.get(key)
                basis = model.learned, None if matrix is None else matrix.fingerprint, id(features)
                found[key] = alike.get(basis, partial(model.posterior, matrix, features))
        return found

    def knows(self, question: Question) -> bool:
        """Whether it was trained on a question as it is now."""
        return self._by_name.get(question.name) == question

    @cached_property
    def _by_name(self) -> dict[str, Question]:
        return {question.name: question for question in self.questions}


def described(frame: Frame, data: Sequence[Mapping[str, object]], features: csr_matrix) -> Frame:
    """The frame with what a classifier reads of each unit.

    Args:
        frame: units.
        data, features: of the frame's tasks; features are sparse float32 (n_tasks, d).
    """
    of_units = {
        question.name: question.unit_features(frame.units[question.name], data, features)
        for question in frame.questions
    }
    return replace(frame, features=of_units)


def joined(features: csr_matrix, space: VectorSpace | None, vectors: Vectors | None) -> csr_matrix:
    """Features, sparse float32 (n, d), of an extractor, and behind them those of the embeddings, if the model has a
    space for them."""
    if space is None:
        return features
    return csr_matrix(hstack([features, space.transform(vectors, features.shape[0])], format="csr"))


def rules_only(frame: Frame) -> ProjectModel:
    """The model before the first version: a label model that knows how sources agree on these votes, no classifier."""
    models = {}
    alike: Alike[DecisionModel] = Alike()
    for decision in (decision for question in frame.questions for decision in decisions(question)):
        matrix = frame.votes[decision.key]
        basis = len(decision.classes), matrix.sources, fingerprint(matrix.votes)
        models[decision.key] = replace(alike.get(basis, partial(_from_votes, decision, matrix)), decision=decision)
    return ProjectModel(frame.questions, FeatureExtractor().fit([]), models)


def _from_votes(decision: Decision, matrix: VoteMatrix) -> DecisionModel:
    nothing = np.full(len(matrix.votes), -1, dtype=np.int64)
    label_model = PropensityVote().fit(matrix.votes, len(decision.classes), nothing, validated=matrix.validated)
    return DecisionModel(decision, matrix.sources, label_model, None, Exponents(), prior_ratios(matrix.sources))


def prior_ratios(sources: Sequence[str]) -> NDArray[np.float64]:
    """Ratios of votes against a class before anything is known of the sources: float64 (n_sources,), see
    `fit_ratios`."""
    return np.full(len(sources), PRIOR_RATIO)


def _columns(matrix: VoteMatrix | None, sources: Sequence[str], n_tasks: int) -> Votes:
    """Votes with exactly the columns `sources`, matched by name; sources that are missing abstain."""
    votes = np.full((n_tasks, len(sources)), ABSTAIN, dtype=np.int16)
    if matrix is not None:
        for column, source in enumerate(sources):
            if source in matrix.sources:
                votes[:, column] = matrix.votes[:, matrix.sources.index(source)]
    return votes
