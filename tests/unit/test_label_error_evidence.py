"""What is known besides the posterior makes wrong labels easier to find; what can't be judged says why."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from backend.domain.features import FeatureExtractor
from backend.domain.label_errors.class_noise import by_class
from backend.domain.label_errors.combine import share_of_errors
from backend.domain.label_errors.held_out import N_FOLDS, Apart, folds, groups_of, held_out_classifier
from backend.domain.label_errors.records import Findings, SearchInputs
from backend.domain.label_errors.search import search
from backend.domain.questions import Rating, decisions
from backend.domain.tasks import content_hash
from backend.domain.votes import VoteMatrix
from tests.unit.planted import GENRE, SENTIMENT, frame_with, matrix, planted_votes, texts_about
from tests.unit.test_label_errors import flip, posterior_of

STARS = Rating("stars", "text", ("1", "2", "3", "4", "5"))


def found_in(
    truth: NDArray[np.int64],
    given: NDArray[np.int64],
    inputs: SearchInputs | None,
    seed: int,
    votes: dict[str, VoteMatrix] | None = None,
) -> Findings:
    posterior = {"sentiment": posterior_of(truth, 3, seed, strength=1.0)}
    frame = frame_with([SENTIMENT], held_out=posterior, gold={"sentiment": given}, votes=votes)
    return search(SENTIMENT, frame, inputs)


def precision(findings: Findings, wrong: NDArray[np.bool_]) -> float:
    return float(average_precision_score(wrong, -findings.quality))


def test_votes_that_know_more_than_the_posterior_find_more_wrong_labels() -> None:
    truth = np.random.default_rng(0).integers(0, 3, 300)
    given = flip(truth, 30, 3, 0)
    votes = matrix(SENTIMENT, planted_votes(truth, [0.8] * 5, [0.7] * 5, 3, 1))
    alone, with_votes = (found_in(truth, given, None, 2, item) for item in (None, votes))
    assert precision(with_votes, given != truth) > precision(alone, given != truth) + 0.2
    assert with_votes.weights["sentiment"]["votes"] > 0


def test_votes_at_random_do_little_harm() -> None:
    truth = np.random.default_rng(0).integers(0, 3, 300)
    given = flip(truth, 30, 3, 0)
    votes = matrix(SENTIMENT, planted_votes(truth, [1 / 3] * 5, [0.7] * 5, 3, 1))
    alone, with_votes = (found_in(truth, given, None, 2, item) for item in (None, votes))
    assert precision(with_votes, given != truth) > precision(alone, given != truth) - 0.05


def test_a_suspect_names_the_votes_against_it_and_neighbours_labeled_as_expected() -> None:
    truth = np.random.default_rng(0).integers(0, 3, 150)
    given = flip(truth, 8, 3, 0)
    data = texts_about(truth, 1, clear=1.0)
    votes = matrix(SENTIMENT, planted_votes(truth, [0.95] * 3, [1.0] * 3, 3, 1), ["a", "b", "c"])
    features = FeatureExtractor().fit(data).transform(data)
    findings = found_in(truth, given, SearchInputs(features=features), 2, votes)
    worst = findings.suspects[0]
    labels = SENTIMENT.labels
    assert given[worst.row] != truth[worst.row]
    said = {name: labels[votes["sentiment"].votes[worst.row, i]] for i, name in enumerate("abc")}
    assert worst.votes_against == {name: label for name, label in said.items() if (label,) != worst.given}
    assert worst.neighbours
    assert worst.row not in worst.neighbours
    assert all((labels[given[row]],) == worst.expected for row in worst.neighbours)


def test_labels_of_a_careless_annotator_are_doubted_more_and_his_rate_is_told() -> None:
    random = np.random.default_rng(3)
    truth, annotators = random.integers(0, 3, 400), random.integers(0, 4, 400)
    wrong = (annotators == 2) & (random.random(400) < 0.5)
    given = np.where(wrong, (truth + 1) % 3, truth)
    alone, known = (found_in(truth, given, item, 4) for item in (None, SearchInputs(annotators=annotators)))
    assert precision(known, wrong) > precision(alone, wrong) + 0.1
    assert max(known.error_rates, key=lambda who: known.error_rates[who]) == 2


def test_suggestions_accepted_unread_do_not_vouch_for_the_votes_they_came_from() -> None:
    random = np.random.default_rng(5)
    truth = random.integers(0, 3, 400)
    votes = planted_votes(truth, [0.4], [1.0], 3, 1)
    rubber_stamped = np.arange(400) < 300
    # Whoever accepts a rule's vote unread agrees with it always.
    given = np.where(rubber_stamped, votes[:, 0], truth).astype(np.int64)
    found = found_in(truth, given, SearchInputs(rubber_stamped=rubber_stamped), 2, matrix(SENTIMENT, votes))
    trusting = found_in(truth, given, None, 2, matrix(SENTIMENT, votes))
    assert found.weights["sentiment"]["votes"] < trusting.weights["sentiment"]["votes"]
    assert precision(found, given != truth) > precision(trusting, given != truth)


def test_how_labels_go_wrong_is_reported() -> None:
    random = np.random.default_rng(6)
    truth = random.integers(0, 3, 2000)
    given = np.where((truth == 0) & (random.random(2000) < 0.3), 1, truth)
    posterior = posterior_of(truth, 3, 7, strength=9.0)
    noise = search(
        SENTIMENT, frame_with([SENTIMENT], held_out={"sentiment": posterior}, gold={"sentiment": given})
    ).noise["sentiment"]
    assert noise.classes == SENTIMENT.labels
    assert noise.joint.sum() == pytest.approx(1)
    np.testing.assert_allclose(noise.transition.sum(axis=0), 1)
    assert noise.transition[1, 0] == pytest.approx(0.3, abs=0.05)
    assert noise.transition[0, 1] < 0.05
    assert noise.n_errors == pytest.approx(int((given != truth).sum()), rel=0.2)
    assert (noise.thresholds > 0.5).all()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (np.full(40, -1), "there are none of 10 that are needed"),
        (np.zeros(40, dtype=np.int64), "all 40 are 'Positive', and there is nothing to mistake it for"),
        (np.where(np.arange(40) < 4, 1, 0), "Positive 36, Negative 4, and two classes with 5 are needed"),
    ],
)
def test_what_can_not_be_judged_yet_says_why(given: NDArray[np.int64], reason: str) -> None:
    findings = search(
        SENTIMENT,
        frame_with(
            [SENTIMENT],
            held_out={"sentiment": posterior_of(np.zeros(40, dtype=np.int64), 3, 0)},
            gold={"sentiment": given},
        ),
    )
    (not_yet,) = findings.not_yet
    assert reason in not_yet.reason
    assert findings.suspects == []
    assert np.isnan(findings.quality).all()


def test_a_class_with_few_labels_waits_while_the_others_are_judged() -> None:
    given = np.array([0, 1] * 20 + [2] * 3)
    posterior = np.full((43, 3), 0.05)
    posterior[np.arange(43), np.where(given == 2, 0, given)] = 0.9
    findings = search(SENTIMENT, frame_with([SENTIMENT], held_out={"sentiment": posterior}, gold={"sentiment": given}))
    (not_yet,) = findings.not_yet
    assert not_yet.classes == ("Neutral",)
    assert np.isnan(findings.quality[-3:]).all()
    assert np.isfinite(findings.quality[:-3]).all()
    assert findings.suspects == []


def test_few_labels_of_everything_and_all_evidence_crash_nothing() -> None:
    for n in (0, 1, 9, 12, 16):
        truth = np.arange(n) % 3
        data = texts_about(truth, 0)
        features = FeatureExtractor().fit(data).transform(data)
        votes = matrix(SENTIMENT, planted_votes(truth, [0.8] * 2, [0.5] * 2, 3, 0))
        nothing = np.full((n, 3), np.nan)
        findings = search(
            SENTIMENT,
            frame_with([SENTIMENT], held_out={"sentiment": nothing}, gold={"sentiment": truth}, votes=votes),
            SearchInputs(features, groups_of([content_hash(item) for item in data]), truth, truth == 5),
        )
        assert findings.quality.shape == (n,)


def test_a_posterior_that_is_partly_nan_is_refused() -> None:
    given, posterior = np.arange(40) % 3, posterior_of(np.arange(40) % 3, 3, 0)
    posterior[7, 1] = np.nan
    with pytest.raises(ValueError, match="'sentiment' is no distribution in 1 rows"):
        search(SENTIMENT, frame_with([SENTIMENT], held_out={"sentiment": posterior}, gold={"sentiment": given}))


def test_labels_of_which_nothing_is_known_are_counted_and_left_out() -> None:
    given, posterior = np.arange(40) % 3, posterior_of(np.arange(40) % 3, 3, 0)
    posterior[:4] = np.nan
    findings = search(SENTIMENT, frame_with([SENTIMENT], held_out={"sentiment": posterior}, gold={"sentiment": given}))
    assert findings.n_unknown == 4
    assert np.isnan(findings.quality[:4]).all()
    assert np.isfinite(findings.quality[4:]).all()


def test_a_rating_far_from_the_truth_is_worse_than_the_next_step() -> None:
    truth = np.arange(100) % 5
    posterior = np.full((100, 5), 0.025)
    posterior[np.arange(100), truth] = 0.9
    given = truth.copy()
    # Five stars and two stars where one is due.
    given[0], given[5] = 4, 1
    far, near = search(STARS, frame_with([STARS], held_out={"stars": posterior}, gold={"stars": given})).suspects
    assert (far.row, far.given, far.expected) == (0, ("5",), ("1",))
    assert (near.row, near.given, near.expected) == (5, ("2",), ("1",))
    assert far.quality < near.quality - 0.3


def test_neighbouring_ratings_that_nobody_can_tell_apart_are_left_alone() -> None:
    truth = np.arange(200) % 5
    steps = np.abs(np.arange(5)[None, :] - truth[:, None])
    posterior = np.exp(-1.2 * steps)
    posterior /= posterior.sum(axis=1, keepdims=True)
    given = np.clip(truth + np.random.default_rng(0).integers(-1, 2, 200), 0, 4)
    assert search(STARS, frame_with([STARS], held_out={"stars": posterior}, gold={"stars": given})).suspects == []


def test_a_label_of_a_set_that_nobody_has_chosen_holds_up_none_of_the_others() -> None:
    random = np.random.default_rng(0)
    given = {decision.key: random.integers(0, 2, 60) for decision in decisions(GENRE)}
    given["genre=horror"][:] = 0
    posteriors = {}
    for key, classes in given.items():
        posteriors[key] = np.full((60, 2), 0.1)
        posteriors[key][np.arange(60), classes] = 0.9
    given["genre=drama"][3] = 1 - given["genre=drama"][3]
    findings = search(GENRE, frame_with([GENRE], held_out=posteriors, gold=given))
    assert [suspect.row for suspect in findings.suspects] == [3]
    assert [item.key for item in findings.not_yet] == ["genre=horror"]


def test_folds_share_out_every_class_and_keep_duplicates_together() -> None:
    random = np.random.default_rng(0)
    gold = random.choice([0, 1, 2, -1], 400, p=[0.5, 0.25, 0.05, 0.2])
    groups = np.arange(400)
    groups[100:200] = groups[:100]
    parts = folds(gold, groups, seed=1)
    assert len(parts) == N_FOLDS
    assert sorted(np.concatenate(parts).tolist()) == np.flatnonzero(gold >= 0).tolist()
    members = [set(groups[part].tolist()) for part in parts]
    assert sum(len(item) for item in members) == len(set.union(*members))
    of_folds = folds(gold, seed=1)
    rare = [int((gold[part] == 2).sum()) for part in of_folds]
    assert max(rare) - min(rare) <= 1


def test_a_classifier_has_not_seen_the_labels_that_it_judges() -> None:
    truth = np.random.default_rng(0).integers(0, 3, 60)
    # Each text is unlike all others, so that only a label that was seen could be told.
    data: list[dict[str, object]] = [{"text": f"{chr(97 + i % 26) * 5} unique{i}"} for i in range(60)]
    features = FeatureExtractor().fit(data).transform(data)
    proba = held_out_classifier(features, truth, 3, Apart(groups_of([content_hash(item) for item in data])))
    assert (proba.argmax(axis=1) == truth).mean() < 0.7
    assert np.isfinite(proba).all()


def test_labels_of_a_class_that_goes_wrong_one_way_are_believed_less() -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 3, 900)
    # Who sees a neutral text says Positive in every third case; nobody errs otherwise.
    wrong = (truth == 2) & (random.random(900) < 1 / 3)
    given = np.where(wrong, 0, truth)
    proba = random.dirichlet(np.ones(3), 900) + 0.6 * np.eye(3)[truth]
    proba /= proba.sum(axis=1, keepdims=True)
    before = average_precision_score(wrong, -proba[np.arange(900), given])
    found = search(SENTIMENT, frame_with([SENTIMENT], held_out={"sentiment": proba}, gold={"sentiment": given}))
    assert precision(found, wrong) > before + 0.05
    assert found.quality[given == 0].mean() < found.quality[given == 1].mean() - 0.1
    neutral = [item for item in found.suspects if item.given == ("Positive",) and item.expected == ("Neutral",)]
    assert {item.row for item in neutral} >= set(np.flatnonzero(wrong & (found.quality < 0.3)))


def test_errors_that_are_spread_evenly_move_nothing() -> None:
    random = np.random.default_rng(4)
    truth = random.integers(0, 3, 600)
    given = np.where(random.random(600) < 0.1, (truth + random.integers(1, 3, 600)) % 3, truth)
    proba = random.dirichlet(np.ones(3), 600) + 1.5 * np.eye(3)[truth]
    proba /= proba.sum(axis=1, keepdims=True)
    errors = share_of_errors(proba[np.arange(600), given], 3)
    assert by_class(given, proba, errors, np.ones(600, dtype=np.bool_)) is proba
