"""Which classifier: candidates and the trust in weak labels compared on human labels that each could not see."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.classifier import MAX_WEAK, Classifier, Recipe, train_classifier
from backend.domain.classifier.candidates import SMALLEST, Candidate, View, suitable
from backend.domain.codec import omitted

N_FOLDS = 5
STABLE_FROM = 50
"""Labels from which a task's fold depends on its content alone. Fewer are dealt out evenly instead."""
CHOOSE_FROM = 50
"""Labels from which candidates are compared: fewer can't tell them apart."""
TRUSTS = (1.0, 0.0, 0.3)
FACTORS = tuple(2.0 ** (step / 4) for step in range(-8, 17))
"""In steps so small that one label, which can move the sharpness by a step, hardly moves other posteriors."""
SHIFTS = (0.0, 0.25, 0.5, 0.75, 1.0)
PULL = 1.0
"""Summed log-loss that a doubled sharpness has to save."""
BETTER, BETTER_TRUST = 1.0, 4.0
"""The same for another candidate than the default, and for another weight of weak labels. The latter is an even choice
while labels are few, and each change of it changes many posteriors."""
MAX_LABELS, MAX_COMPARED_WEAK = 1_000, 500
"""Tasks that candidates are compared on: more would cost more and hardly change the choice."""
ENOUGH_COMPARED = 500
"""Labels that naive Bayes has to be compared on, if it isn't on half of them: with few it beats linear models that are
better with all (Ng & Jordan 2002). (moviereviews8, 1,400 labels, compared on 88: chosen, and .842 instead of .878.)"""
CALIBRATED_ON = 400
"""Labels of each fold that calibration is measured on at most."""
TRUST_BY = Candidate.SVM
"""What compares weights of weak labels, whichever candidate is chosen: the fastest of those that suit everything."""
VOTE_FOLDS = 3
COST_S = 1.2e-6
"""Estimated seconds for one feature of one task and class, in one fit of all candidates."""

Grid = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RecipeChoice:
    """A recipe, when it was chosen, and why.

    of_folds: for each fold the recipe that its labels had no say in.
    calibrations: factor on the sharpness, and shift, as seen in the comparison; of the recipe, then of each fold's.
        Without a comparison, see `sharpness_by_votes`.
    losses: mean log-loss of what was compared. n_vectors: columns of embeddings that there were.
    """

    recipe: Recipe
    of_folds: tuple[Recipe, ...]
    calibrations: tuple[tuple[float, float], ...]
    n_labels: int
    n_tasks: int
    losses: Mapping[str, float]
    reason: str
    n_vectors: int = omitted(0)

    @property
    def before_labels(self) -> float:
        """Factor on the sharpness that labels have had no say in: 1 where classifiers were compared on them."""
        return 1.0 if self.losses else self.calibrations[0][0]

    def is_due(self, n_labels: int, n_tasks: int, n_vectors: int) -> bool:
        """Whether to choose again: sizes have doubled, folds were not yet stable, or embeddings came or went."""
        if bool(n_vectors) != bool(self.n_vectors):
            return True
        return self.n_labels < STABLE_FROM or n_labels >= 2 * self.n_labels or n_tasks >= 2 * max(self.n_tasks, 1)


def default_choice(
    gold: NDArray[np.int64], n_vectors: int, recipe: Recipe, reason: str, sharpness: float = 1.0
) -> RecipeChoice:
    """No comparison. gold: int64 (n,), class index or -1 = unknown. sharpness: see `sharpness_by_votes`."""
    sizes = int((gold >= 0).sum()), gold.size
    calibrations = ((sharpness, 0.0),) * (1 + N_FOLDS)
    return RecipeChoice(recipe, (recipe,) * N_FOLDS, calibrations, *sizes, {}, reason, n_vectors)


def identities(contents: Sequence[bytes]) -> list[bytes]:
    """16 bytes for each task, from the hash of its content, and its number among those of the same content."""
    seen: Counter[bytes] = Counter()
    found = []
    for content in contents:
        found.append(hashlib.blake2b(content, digest_size=16, salt=seen[content].to_bytes(8)).digest())
        seen[content] += 1
    return found


def folds(tasks: Sequence[bytes], gold: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Labeled rows in `N_FOLDS` parts, int64 (n_part,), some perhaps empty, by `identities`.

    So a task stays in its fold from version to version, and what was once chosen without its label can be used again
    without it. Not stratified: then which rows share a fold would depend on their labels, and a label could speak for
    itself.
    """
    labeled = np.flatnonzero(gold >= 0)
    if labeled.size < STABLE_FROM:
        order = sorted(range(labeled.size), key=lambda place: tasks[int(labeled[place])])
        return [np.sort(part) for part in np.array_split(labeled[order], N_FOLDS)]
    numbers = np.array([tasks[row][0] % N_FOLDS for row in labeled.tolist()], dtype=np.int64)
    return [labeled[numbers == number] for number in range(N_FOLDS)]


@dataclass(frozen=True)
class Material:
    """The data that all decisions of one training learn from.

    features: (n, d), of which the last `n_vectors` columns are of embeddings. is_table: no feature comes from a text.
    weights: float64 (n,), how much each label counts; None = 1. smoothing: see `Recipe`. seed: makes the result
    reproducible.
    """

    features: csr_matrix
    is_table: bool = False
    weights: NDArray[np.float64] | None = None
    smoothing: float = 0.0
    seed: int = 0
    n_vectors: int = 0

    def columns(self, view: View) -> slice:
        """The columns of a view."""
        return view.columns(self.features.shape[1], self.n_vectors)

    def seen(self, view: View) -> csr_matrix:
        """The features of a view, sparse float32 (n, d'); made once."""
        if view not in self._views:
            self._views[view] = self.features if view is View.ALL else self.features[:, self.columns(view)]
        return self._views[view]

    def n_seen(self, view: View) -> int:
        """Columns of embeddings in a view, at its end."""
        return 0 if view is View.WITHOUT_VECTORS else self.n_vectors

    def part(self, rows: NDArray[np.int64]) -> "Material":
        """The material of some of the tasks: int64 (n_some,), their rows."""
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, features=self.features[rows], weights=weights)

    @cached_property
    def _views(self) -> dict[View, csr_matrix]:
        return {}


def choose_recipe(
    material: Material,
    gold: NDArray[np.int64],
    weak: Sequence[NDArray[np.float64]],
    parts: Sequence[NDArray[np.int64]],
    n_classes: int,
    *,
    budget_s: float,
) -> RecipeChoice:
    """Compare candidates, then weights of the weak labels for the best one, by cross-validated log-loss.

    Args:
        material: what is learned from, n tasks.
        gold: int64 (n,), class index or -1 = unknown.
        weak: for each fold the label model's posterior (n, k) made without its labels.
        parts: the labeled rows, see `folds`.
        n_classes: k.
        budget_s: seconds the comparison may take. They are estimated from sizes and not measured, so that the same data
            gives the same model; fewer tasks are compared on when they would not do.
    """
    default = Recipe(smoothing=material.smoothing)
    labeled = np.flatnonzero(gold >= 0)
    n, n_tasks = labeled.size, gold.size
    if n < CHOOSE_FROM or np.unique(gold[labeled]).size < 2:
        of_few, reason = _best_of_few(material, weak), f"{n} human labels are too few to compare classifiers on."
        return default_choice(gold, material.n_vectors, of_few, reason, sharpness_by_votes(material, weak[0], of_few))
    rows, each_weak = _sample(material.features, gold, weak, budget_s, material.seed)
    if (gold[rows] >= 0).sum() < CHOOSE_FROM:
        reason = f"Comparing classifiers would take more than {budget_s:g} s."
        return default_choice(gold, material.n_vectors, default, reason)
    of_part = [item[rows] for item in weak]
    trial = _Trial(material.part(rows), gold[rows], of_part, parts, rows, each_weak, n_classes)
    n_compared = int((gold[rows] >= 0).sum())
    compared = _taking_part(trial.material, n, n_compared)
    trials = [trial.losses(item) for item in compared]
    best, trusts = _best([losses for losses, _ in trials], BETTER), [0] * (1 + N_FOLDS)
    found = {item.name: losses for item, (losses, _) in zip(compared, trials, strict=True)}
    if each_weak:
        of_trusts = [trial.losses(replace(default, candidate=TRUST_BY, trust=item))[0] for item in TRUSTS]
        found |= {f"weak labels x {value:g}": losses for value, losses in zip(TRUSTS, of_trusts, strict=True)}
        trusts = _best(of_trusts, BETTER_TRUST)
    recipe, *of_folds = (replace(compared[one], trust=TRUSTS[other]) for one, other in zip(best, trusts, strict=True))
    return RecipeChoice(
        recipe=recipe,
        of_folds=tuple(of_folds),
        calibrations=tuple(trials[one][1][place] for place, one in enumerate(best)),
        n_labels=n,
        n_tasks=n_tasks,
        losses={name: float(losses[0] / n_compared) for name, losses in found.items()},
        reason=f"Least log-loss on {n_compared} of {n} human labels.",
        n_vectors=material.n_vectors,
    )


def _taking_part(material: Material, n_labels: int, n_compared: int) -> list[Recipe]:
    """What can be compared on so many of the labels, see `ENOUGH_COMPARED`; the default first.

    Embeddings beside the other features, without these, and left out: a model that doesn't know a language makes its
    texts look alike in ways that mean nothing.
    """
    is_enough = n_compared >= min(n_labels / 2, ENOUGH_COMPARED)
    every = suitable(material.features, is_table=material.is_table, n_vectors=material.n_vectors)
    found = [(item, View.ALL) for item in every]
    if material.n_vectors:
        without = suitable(material.seen(View.WITHOUT_VECTORS), is_table=False)
        found += [(item, View.WITHOUT_VECTORS) for item in without if item is not Candidate.SVM]
        found.append((Candidate.LOGISTIC, View.VECTORS_ALONE))
    return [
        Recipe(candidate, 1.0, material.smoothing, view)
        for candidate, view in found
        if is_enough or candidate is not Candidate.BAYES
    ]


def _best_of_few(material: Material, weak: Sequence[NDArray[np.float64]]) -> Recipe:
    """What learns best from few human labels: naive Bayes where there are weak labels, which it bears best.

    Of weak labels that are wrong in the same way it takes the shares of words and no more, where a linear model learns
    to tell the wrong ones apart. (Five text sets with rules, with 0, 20 and 50 human labels: suggestions are 3.0 points
    more accurate in the mean than with logistic regression, in 12 of 15 cases, and at worst 1.3 points less.)
    """
    is_weak = any(np.isfinite(item).all(axis=1).any() for item in weak)
    bears_weak = is_weak and Candidate.BAYES in suitable(
        material.features, is_table=False, n_vectors=material.n_vectors
    )
    return Recipe(Candidate.BAYES if bears_weak else Candidate.LOGISTIC, smoothing=material.smoothing)


def sharpness_by_votes(material: Material, weak: NDArray[np.float64], recipe: Recipe) -> float:
    """Factor on the sharpness with which a classifier is as sure as it is often of one mind with votes that it hasn't
    learned from; at most 1.

    Naive Bayes, which takes all that it sees for independent, is far too sure, most of all of embeddings. Votes are
    wrong, too; but how often they and a classifier agree is close to how often it is right. (Six sets of texts without
    labels, embedded or not: agreement of .55 to .95, right in .54 to .97, at most .12 apart.) It is one step of a grid,
    found on a thousand tasks, in which a single label that the label model has seen can't be made out.

    Args:
        material: what is learned from, n tasks.
        weak: the label model's posterior (n, k); NaN rows where there is none.
        recipe: how the classifier is made.
    """
    two = np.sort(weak, axis=1)[:, -2:]
    # A tie (and NaN, where nobody votes) says nothing.
    rows = np.flatnonzero(two[:, -1] - two[:, 0] > SMALLEST)
    if rows.size < CHOOSE_FROM or not recipe.trust:
        return 1.0
    features, losses = material.seen(recipe.view), np.zeros((len(FACTORS), len(SHIFTS)))
    nobody = np.full(len(weak), -1)
    for fold in np.array_split(np.random.default_rng(material.seed).permutation(rows), VOTE_FOLDS):
        rest = weak.copy()
        rest[fold] = np.nan
        classifier = train_classifier(
            features, nobody, rest, seed=material.seed, recipe=recipe, n_vectors=material.n_seen(recipe.view)
        )
        if classifier is None:
            return 1.0
        losses += calibration_losses(classifier, classifier.scores(features[fold]), weak[fold].argmax(axis=1))
    factor: float = FACTORS[int(losses[:, 0].argmin())]
    return min(1.0, factor)


def calibration_losses(classifier: Classifier, scores: NDArray[np.float64], gold: NDArray[np.int64]) -> Grid:
    """Summed log-loss on labeled rows: float64 (n_factors, n_shifts), see `FACTORS` and `SHIFTS`."""
    losses = np.zeros((len(FACTORS), len(SHIFTS)))
    scores, gold = scores[:CALIBRATED_ON], gold[:CALIBRATED_ON]
    for j, shift in enumerate(SHIFTS):
        proba = classifier.calibrated_each(scores, np.array(FACTORS), shift)
        losses[:, j] = -np.log(proba[:, np.arange(gold.size), gold]).sum(axis=1)
    return losses


def best_calibration(losses: Grid, around: float = 1.0) -> tuple[float, float]:
    """Factor on the sharpness and shift of least log-loss, pulled towards `around` and 0."""
    i, j = _place(losses, around)
    return FACTORS[i], SHIFTS[j]


@dataclass(frozen=True)
class _Trial:
    """A part of a project's tasks, on which recipes are compared; `rows` says which part.

    each_weak: how many weak labels of the whole project one in this part stands for.
    """

    material: Material
    gold: NDArray[np.int64]
    weak: Sequence[NDArray[np.float64]]
    parts: Sequence[NDArray[np.int64]]
    rows: NDArray[np.int64]
    each_weak: float
    n_classes: int

    def losses(self, recipe: Recipe) -> tuple[NDArray[np.float64], list[tuple[float, float]]]:
        """Summed log-loss, and the calibration that gives it: of all labels, then for each fold of all but its own.

        For a fold g, the loss on a fold f is of a model that has seen the labels of neither; it serves for the loss on
        g when f is left out, too. So nothing that is chosen for a fold depends on its labels.
        """
        folds_ = [np.flatnonzero(np.isin(self.rows, part)) for part in self.parts]
        alone = [self._grids(recipe, index, (fold,)) for index, fold in enumerate(folds_)]
        grids = np.zeros((N_FOLDS, N_FOLDS, len(FACTORS), len(SHIFTS)))
        for one in range(N_FOLDS):
            for other in range(one):
                grids[one, other], grids[other, one] = self._grids(recipe, one, (folds_[other], folds_[one]))
        totals = [np.sum(alone, axis=(0, 1)), *grids.sum(axis=1)]
        return np.array([total[_place(total)] for total in totals]), [best_calibration(total) for total in totals]

    def _grids(self, recipe: Recipe, weak_of: int, hidden: tuple[NDArray[np.int64], ...]) -> list[Grid]:
        """`calibration_losses` on each of some folds, by a model that has seen none of their labels."""
        features = self.material.seen(recipe.view)
        gold, weak = self.gold.copy(), self.weak[weak_of].copy()
        for fold in hidden:
            # Their weak labels come from a label model that may have seen their human ones, so they are left out too.
            gold[fold], weak[fold] = -1, np.nan
        classifier = train_classifier(
            features,
            gold,
            weak,
            seed=self.material.seed,
            recipe=replace(recipe, trust=recipe.trust * self.each_weak),
            weights=self.material.weights,
            n_vectors=self.material.n_seen(recipe.view),
        )
        if classifier is None:
            shape = (len(FACTORS), len(SHIFTS))
            return [np.full(shape, min(fold.size, CALIBRATED_ON) * np.log(self.n_classes)) for fold in hidden]
        return [calibration_losses(classifier, classifier.scores(features[fold]), self.gold[fold]) for fold in hidden]


def _place(losses: Grid, around: float = 1.0) -> tuple[int, int]:
    pulls = PULL * ((np.log2(FACTORS) - np.log2(around))[:, None] ** 2 + np.array(SHIFTS)[None, :] ** 2)
    i, j = np.unravel_index(int((losses + pulls).argmin()), losses.shape)
    return int(i), int(j)


def _best(losses: Sequence[NDArray[np.float64]], handicap: float) -> list[int]:
    """The best option for all, then for each fold, from the losses of each; the first one by default."""
    table = np.array(losses)
    table[1:] += handicap
    return [int(index) for index in table.argmin(axis=0)]


def _sample(
    features: csr_matrix, gold: NDArray[np.int64], weak: Sequence[NDArray[np.float64]], budget_s: float, seed: int
) -> tuple[NDArray[np.int64], float]:
    """Rows to compare on, as many as the budget allows, and how many weak labels each one among them stands for."""
    random = np.random.default_rng(seed)
    labeled = np.flatnonzero(gold >= 0)
    k = max(np.unique(gold[labeled]).size, 2)
    per_task = max(features.nnz / max(features.shape[0], 1), 1.0) * COST_S * N_FOLDS * (1 if k == 2 else k)
    usable = np.flatnonzero((gold < 0) & np.isfinite(weak[0]).all(axis=1))
    affordable = int(budget_s / per_task)
    n_weak = min(usable.size, MAX_COMPARED_WEAK, affordable // 2)
    n_labels = min(labeled.size, MAX_LABELS, affordable - n_weak)
    chosen = [random.permutation(labeled)[:n_labels], random.permutation(usable)[:n_weak]]
    return np.sort(np.concatenate(chosen)), min(usable.size, MAX_WEAK) / n_weak if n_weak else 0.0
