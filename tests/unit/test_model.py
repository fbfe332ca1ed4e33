import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import skops.io
from numpy.typing import NDArray

from backend.domain.codec import to_json
from backend.domain.model.gold import gold_of
from backend.domain.model.project import ProjectModel, rules_only
from backend.domain.model.storage import TRUSTED_TYPES, from_parts, to_parts
from backend.domain.model.training import Known, Trained, train
from backend.domain.questions import Choices, decisions
from backend.domain.statistics import wilson
from backend.domain.suggestions import suggest
from backend.domain.votes import VoteMatrix, votes_on
from backend.errors import ModelMissing
from tests.unit.planted import (
    GENRE,
    SENTIMENT,
    abstaining,
    frame_with,
    known,
    matrix,
    only_first,
    planted_votes,
    said_by,
    texts_about,
)

N = 400
TRUTH = np.random.default_rng(0).integers(0, 3, N)
DATA = texts_about(TRUTH, seed=1)
VOTES = matrix(SENTIMENT, planted_votes(TRUTH, [0.9, 0.8, 0.6], [0.5, 0.4, 0.3], 3, seed=2))
UNLABELED = np.full(N, -1)
TRUTH_OF_CUES = np.random.default_rng(4).integers(0, 3, 1000)


def trained(gold: NDArray[np.int64], seed: int = 0) -> Trained:
    return train(frame_with([SENTIMENT], votes=VOTES, gold={"sentiment": gold}), DATA, seed=seed)


@pytest.fixture(scope="module")
def taught() -> Trained:
    return trained(only_first(TRUTH, 120))


def accuracy(posterior: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    return float((posterior.argmax(axis=1) == truth).mean())


def test_rules_alone_answer_where_they_vote_and_nowhere_else() -> None:
    posterior = said_by(rules_only(frame_with([SENTIMENT], votes=VOTES)), DATA, VOTES)["sentiment"]
    covered = (VOTES["sentiment"].votes >= 0).any(axis=1)
    np.testing.assert_array_equal(np.isfinite(posterior).all(axis=1), covered)
    assert accuracy(posterior[covered], TRUTH[covered]) > 0.75


def test_without_labels_suggestions_are_about_as_sure_as_they_are_right() -> None:
    """Ten words that always come together count as one: they name the wrong class in three tasks of ten."""
    random = np.random.default_rng(5)
    cue = np.where(random.random(1000) < 0.7, TRUTH_OF_CUES, random.integers(0, 3, 1000))
    data = [{"text": " ".join(f"word{index}x{copy}" for copy in range(10))} for index in cue]
    votes = matrix(SENTIMENT, planted_votes(TRUTH_OF_CUES, [0.8, 0.75, 0.7], [0.4, 0.4, 0.4], 3, seed=6))
    frame = frame_with([SENTIMENT], votes=votes, gold={"sentiment": np.full(1000, -1)})
    posterior = train(frame, data).frame.held_out["sentiment"]
    assert abs(posterior.max(axis=1).mean() - accuracy(posterior, TRUTH_OF_CUES)) < 0.1


def test_figures_say_by_label_how_sure_suggestions_are_and_how_often_right(taught: Trained) -> None:
    posterior = taught.frame.held_out["sentiment"][:120]
    chosen, figures = posterior.argmax(axis=1), taught.metrics.questions["sentiment"]
    assert list(figures.by_label) == list(SENTIMENT.labels)
    for place, label in enumerate(SENTIMENT.labels):
        rows = chosen == place
        found = figures.by_label[label]
        assert found.n == rows.sum()
        assert found.accuracy == pytest.approx((TRUTH[:120][rows] == place).mean())
        assert found.confidence == pytest.approx(posterior[rows, place].mean())


def test_figures_say_which_label_model_was_chosen_and_why(taught: Trained) -> None:
    choice = taught.metrics.label_models["sentiment"]
    assert choice.method == taught.model.decisions["sentiment"].label_model.method
    assert choice.reason
    json.dumps(to_json(taught.metrics))
    assert "0 human labels" in trained(UNLABELED).metrics.label_models["sentiment"].reason


def test_training_answers_every_task_better_than_the_rules(taught: Trained) -> None:
    posterior = said_by(taught.model, DATA, VOTES)["sentiment"]
    assert np.isfinite(posterior).all()
    assert accuracy(posterior[120:], TRUTH[120:]) > 0.85


def test_training_without_any_human_label_learns_from_the_rules() -> None:
    result = trained(UNLABELED)
    posterior = said_by(result.model, DATA, VOTES)["sentiment"]
    assert accuracy(posterior, TRUTH) > 0.8
    np.testing.assert_allclose(result.frame.held_out["sentiment"], posterior)


def test_training_without_rules_learns_from_people() -> None:
    nobody = {"sentiment": abstaining(decisions(SENTIMENT)[0], N)}
    result = train(frame_with([SENTIMENT], votes=nobody, gold={"sentiment": only_first(TRUTH, 120)}), DATA)
    assert accuracy(said_by(result.model, DATA, nobody)["sentiment"][120:], TRUTH[120:]) > 0.75


@pytest.mark.parametrize("n_labels", [1, 2, 3, 6])
def test_a_handful_of_labels_is_no_crash(n_labels: int) -> None:
    result = trained(only_first(TRUTH, n_labels))
    assert result.metrics.questions["sentiment"].n_labels == n_labels
    assert accuracy(said_by(result.model, DATA, VOTES)["sentiment"], TRUTH) > 0.7


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_task_is_no_crash(n: int) -> None:
    votes = {"sentiment": abstaining(decisions(SENTIMENT)[0], n)}
    result = train(frame_with([SENTIMENT], votes=votes, gold={"sentiment": TRUTH[:n]}), DATA[:n])
    assert result.frame.held_out["sentiment"].shape == (n, 3)
    json.dumps(to_json(result.metrics), allow_nan=False)


def test_same_seed_same_version(taught: Trained) -> None:
    again = trained(only_first(TRUTH, 120))
    np.testing.assert_array_equal(again.frame.held_out["sentiment"], taught.frame.held_out["sentiment"])
    assert again.metrics == taught.metrics


def test_a_rows_own_label_has_no_say_in_its_held_out_posterior(taught: Trained) -> None:
    """It may change what was chosen for other folds, and so the pool's exponents a little, but never in its favour."""
    before, gains, own_gains = taught.frame.held_out["sentiment"], [], []
    for row in (0, 17, 60, 90):
        gold = only_first(TRUTH, 120)
        gold[row] = (gold[row] + 1) % 3
        flipped = trained(gold)
        gains.append(flipped.frame.held_out["sentiment"][row, gold[row]] - before[row, gold[row]])
        own = said_by(flipped.model, DATA, VOTES)["sentiment"][row, gold[row]]
        own_gains.append(own - flipped.frame.held_out["sentiment"][row, gold[row]])
    assert max(gains) < 0.05
    assert min(own_gains) > -0.01, "the model itself does learn from this label"
    assert np.mean(own_gains) > 0.05


def test_open_tasks_are_answered_as_well_as_held_out_and_new_ones() -> None:
    """The classifier learns from weak labels of the open tasks, and must not know their mistakes by heart."""
    held_out, opened, new = [], [], []
    for seed in range(4):
        truth = np.random.default_rng(seed).integers(0, 3, 1000)
        data = texts_about(truth, seed=seed + 10)
        votes = planted_votes(truth, [0.9, 0.8, 0.6], [0.5, 0.4, 0.3], 3, seed=seed + 20)
        seen = matrix(SENTIMENT, votes[:400])
        result = train(
            frame_with([SENTIMENT], votes=seen, gold={"sentiment": only_first(truth[:400], 120)}), data[:400]
        )
        right = said_by(result.model, data, matrix(SENTIMENT, votes))["sentiment"].argmax(axis=1) == truth
        held_out.append(known(result.metrics.questions["sentiment"].accuracy))
        opened.append(right[120:400].mean())
        new.append(right[400:].mean())
    assert np.mean(opened) == pytest.approx(np.mean(held_out), abs=0.03)
    assert np.mean(opened) == pytest.approx(np.mean(new), abs=0.03)


def test_a_memorising_classifier_cannot_look_good() -> None:
    """Labels that are pure chance, with words that identify each task: held-out accuracy must be chance."""
    noise = np.random.default_rng(5).integers(0, 3, 150)
    words = np.random.default_rng(6).integers(0, 300, (150, 12))
    data: list[dict[str, object]] = [{"text": " ".join(f"word{index}" for index in row)} for row in words]
    votes = {"sentiment": abstaining(decisions(SENTIMENT)[0], 150)}
    result = train(frame_with([SENTIMENT], votes=votes, gold={"sentiment": noise}), data)
    assert accuracy(said_by(result.model, data, votes)["sentiment"], noise) > 0.9
    assert known(result.metrics.questions["sentiment"].accuracy) < 0.45


def test_held_out_accuracy_is_what_new_tasks_get(taught: Trained) -> None:
    figures = taught.metrics.questions["sentiment"]
    fresh = accuracy(said_by(taught.model, DATA, VOTES)["sentiment"][120:], TRUTH[120:])
    low, high = known(figures.accuracy_interval)
    assert low < fresh < high


def test_figures_of_a_question(taught: Trained) -> None:
    figures = taught.metrics.questions["sentiment"]
    assert taught.metrics.n_tasks == N
    assert figures.n_labels == 120
    assert figures.answered == 1.0
    assert known(figures.accuracy) > known(figures.majority_vote.accuracy)
    covered = (VOTES["sentiment"].votes[:120] >= 0).any(axis=1)
    assert figures.majority_vote.answered == pytest.approx(covered.mean())
    low, high = known(figures.macro_f1_interval)
    assert low < known(figures.macro_f1) < high
    assert 0 < known(figures.log_loss) < 0.7
    assert 0 <= known(figures.calibration_error) < 0.2
    assert figures.sources["rule0"].coverage == pytest.approx(0.5, abs=0.06)
    assert known(figures.sources["rule0"].accuracy) > known(figures.sources["rule2"].accuracy)
    json.dumps(to_json(taught.metrics), allow_nan=False)


def test_without_human_labels_no_figure_is_invented() -> None:
    figures = trained(UNLABELED).metrics.questions["sentiment"]
    assert figures.n_labels == 0
    for name in ("accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval", "log_loss", "calibration_error"):
        assert getattr(figures, name) is None, name
    assert figures.majority_vote.accuracy is None


def test_wilson_interval_against_published_values() -> None:
    assert wilson(81, 263) == pytest.approx([0.2553, 0.3662], abs=1e-4)  # Newcombe 1998, table I
    assert wilson(0, 20) == pytest.approx([0.0, 0.1611], abs=1e-4)
    assert wilson(0, 0) is None


def test_votes_are_matched_to_sources_by_name(taught: Trained) -> None:
    model, votes = taught.model, VOTES["sentiment"]
    expected = said_by(model, DATA, VOTES)["sentiment"]
    shuffled = VoteMatrix(votes.decision, ("rule2", "new", "rule0", "rule1"), votes.votes[:, [2, 2, 0, 1]])
    np.testing.assert_array_equal(said_by(model, DATA, {"sentiment": shuffled})["sentiment"], expected)
    gone = VoteMatrix(votes.decision, ("rule0", "rule1"), votes.votes[:, :2])
    silent = replace(votes, votes=np.where([True, True, False], votes.votes, np.int16(-1)))
    np.testing.assert_array_equal(
        said_by(model, DATA, {"sentiment": gone})["sentiment"],
        said_by(model, DATA, {"sentiment": silent})["sentiment"],
    )
    assert np.isfinite(said_by(model, DATA, {})["sentiment"]).all()


def stored_and_loaded(model: ProjectModel) -> ProjectModel:
    fitted, described = to_parts(model)
    loaded = skops.io.loads(skops.io.dumps(fitted), trusted=list(TRUSTED_TYPES))
    return from_parts(loaded, json.loads(json.dumps(described, allow_nan=False)))


def test_a_stored_model_answers_the_same(taught: Trained) -> None:
    again = stored_and_loaded(taught.model)
    assert again.questions == taught.model.questions
    np.testing.assert_array_equal(
        said_by(again, DATA, VOTES)["sentiment"], said_by(taught.model, DATA, VOTES)["sentiment"]
    )


def against(excluded: NDArray[np.int64]) -> dict[str, VoteMatrix]:
    """The planted votes, and one more source that only votes against classes."""
    planted = VOTES["sentiment"]
    silent = np.full((N, 1), -1, dtype=np.int16)
    others = np.full(planted.votes.shape, -1, dtype=np.int16)
    return {
        "sentiment": VoteMatrix(
            planted.decision,
            (*planted.sources, "denies"),
            np.hstack([planted.votes, silent]),
            np.hstack([others, excluded[:, None].astype(np.int16)]),
        )
    }


def test_a_vote_against_a_class_changes_the_suggestion_as_far_as_people_confirm_it() -> None:
    guess = said_by(trained(only_first(TRUTH, 120)).model, DATA, VOTES)["sentiment"].argmax(axis=1)
    wrong = guess != TRUTH
    wrong[:120] = False
    assert wrong.sum() > 5
    known = np.arange(N) < 120
    # On labeled tasks it denies classes that people didn't choose, on the others whatever we would wrongly say.
    denies = np.where(known, (TRUTH + 1) % 3, np.where(wrong, guess, -1))
    confirmed = train(frame_with([SENTIMENT], votes=against(denies), gold={"sentiment": only_first(TRUTH, 120)}), DATA)
    mended = said_by(confirmed.model, DATA, against(denies))["sentiment"].argmax(axis=1)
    assert (mended[wrong] != guess[wrong]).mean() >= 0.6
    # A source that denies what people chose is not believed, and not taken for its opposite.
    lies = np.where(known, TRUTH, denies)
    refuted = train(frame_with([SENTIMENT], votes=against(lies), gold={"sentiment": only_first(TRUTH, 120)}), DATA)
    kept = said_by(refuted.model, DATA, against(lies))["sentiment"].argmax(axis=1)
    assert (kept[wrong] == guess[wrong]).mean() > 0.8
    assert accuracy(confirmed.frame.held_out["sentiment"][:120], TRUTH[:120]) >= accuracy(
        refuted.frame.held_out["sentiment"][:120], TRUTH[:120]
    )


def test_votes_against_a_class_count_before_the_first_version_and_after_storing() -> None:
    votes = against(np.zeros(N, dtype=np.int64))
    without = said_by(rules_only(frame_with([SENTIMENT], votes=VOTES)), DATA, VOTES)["sentiment"]
    denied = said_by(rules_only(frame_with([SENTIMENT], votes=votes)), DATA, votes)["sentiment"]
    covered = np.isfinite(without).all(axis=1)
    assert (denied[covered, 0] < without[covered, 0]).all()
    np.testing.assert_array_equal(np.isfinite(denied).all(axis=1), covered)
    model = train(frame_with([SENTIMENT], votes=votes, gold={"sentiment": only_first(TRUTH, 60)}), DATA).model
    again = stored_and_loaded(model)
    np.testing.assert_array_equal(said_by(again, DATA, votes)["sentiment"], said_by(model, DATA, votes)["sentiment"])


def test_models_stored_before_votes_against_classes_were_used_can_be_read(taught: Trained) -> None:
    fitted, parts = to_parts(taught.model)
    described = json.loads(json.dumps(parts))
    for fields in described["decisions"].values():
        del fields["ratios"]
    np.testing.assert_array_equal(
        said_by(from_parts(fitted, described), DATA, VOTES)["sentiment"],
        said_by(taught.model, DATA, VOTES)["sentiment"],
    )


def test_models_of_another_release_are_trained_anew_instead_of_failing_later(taught: Trained) -> None:
    fitted, described = to_parts(taught.model)
    with pytest.raises(ModelMissing, match="Train anew"):
        from_parts(fitted, {name: value for name, value in described.items() if name != "format"})


def test_the_choice_of_a_classifier_is_kept_while_labels_are_few_more(taught: Trained) -> None:
    more = {"sentiment": only_first(TRUTH, 130)}
    kept = train(frame_with([SENTIMENT], votes=VOTES, gold=more), DATA, Known(previous=stored_and_loaded(taught.model)))
    assert kept.metrics.classifiers["sentiment"].n_labels == 120
    assert kept.metrics.questions["sentiment"].n_labels == 130
    assert train(frame_with([SENTIMENT], votes=VOTES, gold=more), DATA).metrics.classifiers["sentiment"].n_labels == 130


def test_classes_that_people_hardly_gave_are_named() -> None:
    gold = only_first(np.where(TRUTH == 2, 0, TRUTH), 40)
    result = trained(gold)
    assert result.model.decisions["sentiment"].short == (2,)
    assert result.metrics.classifiers["sentiment"].too_few_labels == ("Neutral",)


def genre_project() -> tuple[list[dict[str, object]], dict[str, VoteMatrix], dict[str, NDArray[np.int64]]]:
    random = np.random.default_rng(0)
    sets = random.random((200, 3)) < 0.4
    data: list[dict[str, object]] = [
        {"text": " ".join([f"the {GENRE.labels[index]}" for index in np.flatnonzero(row)] + ["film"])} for row in sets
    ]
    spotted = [[tuple(np.flatnonzero(row & (random.random(3) < 0.5)).tolist())] for row in sets]
    votes = votes_on(GENRE, ("keyword",), spotted)
    gold = {
        decision.key: only_first(sets[:, index].astype(np.int64), 80) for index, decision in enumerate(decisions(GENRE))
    }
    return data, votes, gold


def test_sets_of_labels_from_votes_to_suggestions() -> None:
    data, votes, gold = genre_project()
    result = train(frame_with([GENRE], votes=votes, gold=gold), data)
    suggestions = suggest(
        frame_with([GENRE], posteriors=said_by(stored_and_loaded(result.model), data, votes), votes=votes)
    )
    wanted = [tuple(label for label in GENRE.labels if label in str(task["text"])) for task in data]
    right = [item.answers.get("genre", ()) == labels for item, labels in zip(suggestions, wanted, strict=True)]
    assert np.mean(right[80:]) > 0.9
    figures = result.metrics.questions["genre"]
    assert figures.n_labels == 80
    assert known(figures.accuracy) > 0.85
    assert known(figures.macro_f1) > 0.9
    assert known(figures.majority_vote.accuracy) < known(figures.accuracy)


def test_several_questions_do_not_disturb_each_other() -> None:
    data, votes, gold = genre_project()
    alone = train(frame_with([GENRE], votes=votes, gold=gold), data)
    both = train(
        frame_with(
            [SENTIMENT, GENRE],
            votes=votes | {"sentiment": abstaining(decisions(SENTIMENT)[0], 200)},
            gold=gold | {"sentiment": np.full(200, -1)},
        ),
        data,
    )
    assert both.metrics.questions["genre"] == alone.metrics.questions["genre"]
    assert np.isnan(both.frame.held_out["sentiment"]).all()
    first = suggest(frame_with([SENTIMENT, GENRE], posteriors=said_by(both.model, data, votes)))[0]
    assert set(first.per_question) == {"genre"}


Answers = list[list[Mapping[str, tuple[str, ...]]]]


def test_gold_is_the_majority_and_unknown_on_a_tie() -> None:
    positive, negative = {"sentiment": ("Positive",)}, {"sentiment": ("Negative",)}
    answers: Answers = [[], [negative], [positive, negative, negative], [positive, negative], [{"other": ("x",)}]]
    assert gold_of([SENTIMENT], answers)["sentiment"].tolist() == [-1, 1, 1, -1, -1]


def test_labels_that_a_question_no_longer_has_teach_nothing() -> None:
    answers: Answers = [[{"sentiment": ("Mixed",)}], [{"sentiment": ("Mixed",)}, {"sentiment": ("Neutral",)}]]
    assert gold_of([SENTIMENT], answers)["sentiment"].tolist() == [-1, 2]
    assert gold_of([GENRE], [[{"genre": ("western",)}], [{"genre": ("western", "drama")}]]) == {
        "genre=drama": pytest.approx([-1, 1]),
        "genre=comedy": pytest.approx([-1, 0]),
        "genre=horror": pytest.approx([-1, 0]),
    }


def test_an_answered_set_says_no_to_the_other_labels_and_an_empty_one_says_nothing() -> None:
    answers: Answers = [
        [{"genre": ("drama", "horror")}],
        [{"genre": ()}],
        [{"genre": ("drama",)}, {"genre": ("drama", "comedy")}],
    ]
    gold = gold_of([GENRE], answers)
    assert [gold[f"genre={label}"].tolist() for label in GENRE.labels] == [[1, -1, 1], [0, -1, -1], [1, -1, 0]]


def test_two_labels_for_a_question_that_takes_one_are_no_answer() -> None:
    assert gold_of([SENTIMENT], [[{"sentiment": ("Positive", "Negative")}]])["sentiment"].tolist() == [-1]


def test_a_question_with_a_single_label_is_learned_without_fuss() -> None:
    question = Choices("ok", "text", ("yes",))
    votes = matrix(question, np.zeros((5, 1), dtype=np.int16))
    result = train(frame_with([question], votes=votes, gold={"ok": np.array([0, 0, 0, -1, -1])}), DATA[:5])
    assert suggest(frame_with([question], posteriors=said_by(result.model, DATA[:5], votes)))[4].answers == {
        "ok": ("yes",)
    }
    assert result.metrics.questions["ok"].accuracy == 1.0
