"""The sample project: its reviews, its gold labels, and the labeling functions written for it."""

from collections import Counter
from collections.abc import Mapping
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from backend.adapters.rules.loader import FolderRules
from backend.domain.questions import Choices
from backend.domain.questions.forms import ABSTAIN, Votes
from backend.domain.rules import Rule, TaskFields
from backend.domain.votes import RuleFaults, apply_rules
from backend.entrypoints.sample import LABEL_CONFIG, load_gold, load_reviews
from backend.settings import PACKAGED_RULES_DIR

LABELS = ("Positive", "Negative", "Neutral")
SENTIMENT = Choices("sentiment", "text", LABELS)
RULES = FolderRules(PACKAGED_RULES_DIR).load().rules
BY_NAME = {rule.name: rule for rule in RULES}


def gold_classes() -> Votes:
    gold = load_gold()
    return np.array([LABELS.index(gold[str(review["id"])]) for review in load_reviews()], dtype=np.int16)


@pytest.fixture(scope="module")
def voted() -> tuple[Votes, RuleFaults]:
    matrices, faults = apply_rules(RULES, load_reviews(), [SENTIMENT])
    return matrices["sentiment"].votes, faults


def test_there_are_enough_reviews_and_each_has_a_gold_label() -> None:
    ids = [review["id"] for review in load_reviews()]
    assert len(ids) >= 400
    assert len(set(ids)) == len(ids)
    assert ids == list(load_gold())


def test_all_three_labels_come_in_sensible_shares() -> None:
    counts = Counter(load_gold().values())
    assert set(counts) == set(LABELS)
    shares = {label: count / counts.total() for label, count in counts.items()}
    assert 0.35 < shares["Positive"] < 0.45
    assert 0.33 < shares["Negative"] < 0.43
    assert 0.17 < shares["Neutral"] < 0.27


def test_no_two_reviews_are_near_duplicates() -> None:
    vectors = TfidfVectorizer().fit_transform([str(review["text"]) for review in load_reviews()])
    similarity = (vectors @ vectors.T).toarray()
    np.fill_diagonal(similarity, 0)
    assert similarity.max() < 0.6


def test_fields_have_their_types_and_ranges() -> None:
    for review in load_reviews():
        assert set(review) <= {"id", "text", "rating", "awards", "box_office", "year"}
        text, rating, year = review["text"], review["rating"], review["year"]
        awards, box_office = review.get("awards", 0), review.get("box_office", 1.0)
        assert isinstance(text, str)
        assert text.strip()
        assert isinstance(rating, float)
        assert 1 <= rating <= 10
        assert isinstance(awards, int)
        assert 0 <= awards <= 12
        assert isinstance(box_office, float)
        assert box_office > 0
        assert isinstance(year, int)
        assert 1955 <= year <= 2025


def test_some_reviews_lack_a_field_and_most_do_not() -> None:
    reviews = load_reviews()
    lacking = sum("awards" not in review or "box_office" not in review for review in reviews)
    assert 0.02 < lacking / len(reviews) < 0.1


def test_the_reviews_do_not_give_the_label_away() -> None:
    assert not any({"label", "sentiment", "gold"} & set(review) for review in load_reviews())


def test_label_config_asks_the_question_that_gold_answers() -> None:
    config = ElementTree.fromstring(LABEL_CONFIG)
    text, choices, header = config.find("Text"), config.find("Choices"), config.find("Header")
    assert text is not None
    assert text.attrib == {"name": "text", "value": "$text"}
    assert choices is not None
    assert (choices.get("name"), choices.get("toName"), choices.get("choice")) == ("sentiment", "text", "single")
    assert tuple(choice.get("value") for choice in choices) == LABELS
    assert header is not None
    # A name would make Label Studio demand the header's fields of every task, and some tasks lack one.
    assert header.get("name") is None


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_is_described_with_an_example(rule: Rule) -> None:
    assert '"' in rule.description or "`" in rule.description
    assert "\n" not in rule.description


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize(
    "data",
    [
        {},
        {"text": None, "rating": None, "awards": None, "box_office": None},
        {"text": 7, "rating": "n/a", "awards": "many", "box_office": "$"},
        {"text": ["a great film!"], "rating": [9.5], "awards": {"a": 6}, "box_office": [1]},
        {"text": "", "rating": float("nan"), "awards": float("inf"), "box_office": "nan"},
        {"text": True, "rating": False, "awards": True, "box_office": False},
        {"text": {"terrible": "boring"}, "rating": 10**400, "awards": 10**400, "box_office": 10**400},
    ],
    ids=["empty", "none", "words", "containers", "not finite", "booleans", "too large"],
)
def test_rule_abstains_on_missing_and_wrongly_typed_fields(rule: Rule, data: Mapping[str, object]) -> None:
    assert rule.function(TaskFields(data)) is None


@pytest.mark.parametrize(
    ("name", "data", "vote"),
    [
        ("high_rating", {"rating": 8.1}, "Positive"),
        ("high_rating", {"rating": 8.0}, None),
        ("high_rating", {"rating": "8.6"}, "Positive"),
        ("low_rating", {"rating": 3.9}, "Negative"),
        ("low_rating", {"rating": 4}, None),
        ("many_awards", {"awards": 5}, "Positive"),
        ("small_film_with_awards", {"awards": 3, "box_office": 1.4}, "Positive"),
        ("small_film_with_awards", {"awards": 3}, None),
        ("seen_by_many_liked_by_few", {"box_office": 210, "rating": 4.4}, "Negative"),
        ("praise", {"text": "A wonderful film."}, "Positive"),
        ("praise", {"text": "It was not good."}, None),
        ("praise", {"text": "Goodness, a greatcoat."}, None),
        ("blame", {"text": "Boring, and badly acted."}, "Negative"),
        ("blame", {"text": "Not a bad film."}, None),
        ("blame", {"text": "Not for me. Boring."}, "Negative"),
        ("something_missing", {"text": "It isn\u2019t funny."}, "Negative"),
        ("nothing_to_blame", {"text": "I can't fault it."}, "Positive"),
        ("lukewarm_words", {"text": "A decent film."}, "Neutral"),
        ("hedged_at_a_middling_rating", {"text": "A bit long, I suppose.", "rating": 6.1}, "Neutral"),
        ("hedged_at_a_middling_rating", {"text": "A bit long, I suppose."}, None),
        ("praise_but_blame", {"text": "A great cast, but a dull script."}, "Neutral"),
        ("weighs_both_sides", {"text": "Good in places."}, "Neutral"),
        ("ironic_praise", {"text": "Bravo. Another remake."}, "Negative"),
        ("time_or_money_lost", {"text": "A waste of an evening."}, "Negative"),
        ("would_come_back", {"text": "Highly recommended."}, "Positive"),
        ("exclaims_without_blame", {"text": "What a ride!"}, "Positive"),
        ("exclaims_without_blame", {"text": "Terrible!"}, None),
        ("rhetorical_question", {"text": "Who wrote this?"}, "Negative"),
        ("liked_by_audience_and_jury", {"rating": "7.8", "awards": 2}, "Positive"),
        ("liked_by_audience_and_jury", {"rating": 7.8}, None),
        ("plain_praise", {"text": "A superb cast."}, "Positive"),
        ("plain_praise", {"text": "It is never delightful."}, None),
        ("disliked_and_unnoticed", {"rating": 4.6, "awards": 0}, "Negative"),
        ("disliked_and_unnoticed", {"rating": 4.6, "awards": 1}, None),
    ],
)
def test_rule_votes_as_described(name: str, data: Mapping[str, object], vote: str | None) -> None:
    assert BY_NAME[name].function(TaskFields(data)) == vote


def test_every_rule_votes_and_only_for_its_declared_labels(voted: tuple[Votes, RuleFaults]) -> None:
    votes, faults = voted
    assert faults.counts == {}
    for rule, column in zip(RULES, votes.T, strict=True):
        chosen = {LABELS[vote] for vote in column[column != ABSTAIN]}
        assert chosen, rule.name
        assert chosen <= set(rule.labels or ()), rule.name


def test_every_rule_is_right_more_often_than_wrong(voted: tuple[Votes, RuleFaults]) -> None:
    gold = gold_classes()
    for rule, column in zip(RULES, voted[0].T, strict=True):
        cast = column != ABSTAIN
        assert (column[cast] == gold[cast]).mean() >= 0.6, rule.name


def test_each_label_can_be_voted_for_by_several_rules() -> None:
    counts = Counter(label for rule in RULES for label in rule.labels or ())
    assert all(counts[label] >= 2 for label in LABELS)


def test_majority_of_votes_is_useful_and_leaves_something_to_learn(voted: tuple[Votes, RuleFaults]) -> None:
    votes, _ = voted
    covered = (votes != ABSTAIN).any(axis=1)
    counts = np.stack([(votes == label).sum(axis=1) for label in range(len(LABELS))], axis=1)
    right = counts.argmax(axis=1)[covered] == gold_classes()[covered]
    assert covered.mean() >= 0.85
    assert 0.65 < right.mean() < 0.9
