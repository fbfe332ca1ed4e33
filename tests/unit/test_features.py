from collections.abc import Sequence

import numpy as np
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from backend.domain.features import TRUSTED_TYPES, FeatureExtractor
from backend.domain.model.training import train
from backend.domain.questions import Choices, decisions
from backend.domain.reports.version import ContentFigures
from backend.domain.suggestions import suggest
from backend.domain.votes import VoteMatrix
from tests.fuzz.effort import effort
from tests.unit.planted import frame_with, said_by

Data = list[dict[str, object]]


def dense(extractor: FeatureExtractor, *tasks: dict[str, object]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(extractor.transform(list(tasks)).toarray())


def n_features(data: Data) -> int:
    return int(np.count_nonzero(FeatureExtractor().fit(data).transform(data).toarray().any(axis=0)))


REVIEWS: Data = [
    {"text": "a splendid film", "year": 1999, "kind": "book", "sold": True, "tags": ["new", "red"]},
    {"text": "a dreadful film", "year": 2005, "kind": "film", "sold": False, "tags": []},
    {"text": "quite ordinary", "year": 2001, "kind": "book", "sold": True, "tags": ["new"]},
    {"text": "so bad it is good", "year": None, "kind": "film", "sold": False},
    {"text": "what a bore", "year": 2010, "kind": "book", "sold": True},
    {"text": "would see it again", "year": 2011, "kind": "film", "sold": True},
]


def test_words_and_pairs_of_texts_are_features() -> None:
    extractor = FeatureExtractor().fit([{"t": "not good at all"}, {"t": "good"}, {"t": "not bad"}] * 2)
    same_words = dense(extractor, {"t": "not good"}, {"t": "good not"})
    assert (same_words[0] != same_words[1]).any(), "word order is lost"
    assert dense(extractor, {"t": "not"}).any(), "stop words are lost"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("これは良い映画です", "これは悪い映画です"),
        ("这部电影很好看", "这部电影很难看"),
        ("यह फिल्म अच्छी है", "यह फिल्म बुरी है"),
        ("фильм хороший", "фильм плохой"),
        ("I 😀", "I 😡"),
        ("ภาพยนตร์ดี", "ภาพยนตร์แย่"),
    ],
)
def test_any_language_gives_shared_and_distinct_features(one: str, other: str) -> None:
    extractor = FeatureExtractor().fit([{"t": one}, {"t": other}, {"t": f"{one}. {other}"}])
    first, second = dense(extractor, {"t": one}, {"t": other})
    assert ((first > 0) & (second > 0)).any()
    assert ((first > 0) & (second == 0)).any()
    assert ((first == 0) & (second > 0)).any()


def test_terms_of_a_single_text_are_not_features() -> None:
    extractor = FeatureExtractor().fit([{"t": "film number one"}, {"t": "film number two"}, {"t": "film three"}])
    assert not dense(extractor, {"t": "one two three"}).any()
    assert dense(extractor, {"t": "number"}).any()


def test_markup_is_not_text() -> None:
    extractor = FeatureExtractor().fit([{"t": "a good film"}, {"t": "some other words"}] * 2)
    plain, marked = dense(extractor, {"t": "good film"}, {"t": '<p class="other">good</p>&nbsp;<b>film</b>'})
    np.testing.assert_allclose(plain, marked)
    assert dense(extractor, {"t": "if 3 < 4 then other words > none"}).any()


def test_each_kind_of_field_tells_tasks_apart() -> None:
    extractor = FeatureExtractor().fit(REVIEWS * 2)
    base: dict[str, object] = {"text": "film", "year": 2000, "kind": "book", "sold": True, "tags": ["new"]}
    for change in ({"text": "bore"}, {"year": 1990}, {"kind": "film"}, {"sold": False}, {"tags": ["red"]}):
        first, second = dense(extractor, base, {**base, **change})
        assert (first != second).any(), change


def test_a_missing_number_is_marked_not_taken_for_the_mean() -> None:
    extractor = FeatureExtractor().fit([{"n": 1}, {"n": 3}, {"n": None}, {}])
    mean, missing, absent, empty = dense(extractor, {"n": 2}, {"n": None}, {}, {"n": ""})
    assert not mean.any()
    assert missing.any()
    np.testing.assert_array_equal(missing, absent)
    np.testing.assert_array_equal(missing, empty)


def test_numbers_are_scaled_and_a_typing_error_cannot_dominate() -> None:
    extractor = FeatureExtractor().fit([{"price": price} for price in (9.0, 10.0, 11.0)])
    assert np.abs(dense(extractor, {"price": 10**9}, {"price": float("inf")}, {"price": 10**400})).max() <= 5


def test_numbers_in_strings_are_numbers() -> None:
    as_strings = FeatureExtractor().fit([{"n": "1"}, {"n": "2.5"}, {"n": "9"}])
    as_numbers = FeatureExtractor().fit([{"n": 1}, {"n": 2.5}, {"n": 9}])
    np.testing.assert_allclose(dense(as_strings, {"n": "4"}), dense(as_numbers, {"n": 4}))


@pytest.mark.parametrize(
    "value",
    [
        "https://example.org/a{}.png",
        "s3://bucket/a{}.jpg",
        "/data/upload/3/8f-photo{}.jpg",
        "images/cat{}.jpg",
        "cat{}.jpg",
    ],
)
def test_urls_and_file_paths_are_not_learned_from(value: str) -> None:
    assert n_features([{"image": value.format(index)} for index in range(5)]) == 0


def test_text_with_a_link_in_it_is_still_text() -> None:
    assert n_features([{"t": "see https://example.org now"}, {"t": "and/or"}, {"t": "now a second text"}]) > 0


def test_what_we_wrote_ourselves_is_not_learned_from() -> None:
    assert n_features([{"prelabel_quality": 0.1, "prelabel_expected": "x"}, {"prelabel_quality": 0.9}]) == 0


@pytest.mark.parametrize(
    "data", [[], [{}], [{"a": None}, {}], [{"a": [[1]]}, {"a": [None]}], [{"t": "!?"}, {"t": "..."}]]
)
def test_nothing_usable_gives_one_column_of_zeros(data: Data) -> None:
    extractor = FeatureExtractor().fit(data)
    assert dense(extractor, {"a": 1}, {}).tolist() == [[0.0], [0.0]]
    assert extractor.transform([]).shape == (0, 1)


def test_fields_and_values_never_seen_are_ignored() -> None:
    extractor = FeatureExtractor().fit(REVIEWS * 2)
    known, strange = dense(
        extractor, {"kind": "book"}, {"kind": "book", "colour": "red", "tags": ["never"], "text": "xyzzy"}
    )
    np.testing.assert_array_equal(known, strange)
    dense(extractor, {"text": 3, "year": "unknown", "kind": ["list"], "sold": {"a": 1}, "tags": "none"})


def test_survives_skops_with_only_the_listed_types() -> None:
    extractor = FeatureExtractor().fit(REVIEWS * 2)
    stored = skops.io.dumps(extractor)
    assert set(skops.io.get_untrusted_types(data=stored)) <= set(TRUSTED_TYPES)
    again = skops.io.loads(stored, trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(again.transform(REVIEWS).toarray(), extractor.transform(REVIEWS).toarray())
    empty = skops.io.loads(skops.io.dumps(FeatureExtractor().fit([])), trusted=list(TRUSTED_TYPES))
    assert empty.transform([{}]).shape == (1, 1)


def test_a_classifier_can_learn_from_it() -> None:
    data: Data = [{"text": f"{word} thing number {index}"} for index in range(20) for word in ("splendid", "dreadful")]
    features = FeatureExtractor().fit(data).transform(data)
    model = LogisticRegression().fit(features[:20], [0, 1] * 10)
    assert model.score(features[20:], [0, 1] * 10) == 1


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
TASKS = st.lists(st.dictionaries(st.sampled_from("abc"), JSON_VALUES, max_size=3), max_size=8)


@effort(400)
@given(TASKS, TASKS)
def test_any_json_gives_finite_features_of_one_width(seen: Data, unseen: Data) -> None:
    extractor = FeatureExtractor().fit(seen)
    matrix = extractor.transform(unseen)
    assert matrix.shape == (len(unseen), extractor.transform(seen).shape[1])
    assert np.isfinite(matrix.toarray()).all()


def test_endings_and_misspelt_words_have_features_in_common() -> None:
    extractor = FeatureExtractor().fit([{"t": "refunding"}, {"t": "refunds"}, {"t": "crying"}, {"t": "cries"}])
    known, misspelt, other = dense(extractor, {"t": "refunded"}, {"t": "rrefund"}, {"t": "cry"})
    assert known @ misspelt > 0
    assert known @ other == 0


@pytest.mark.parametrize("dates", [["2024-01-31", "2024-02-01"], ["2024-01-31T08:15:00Z", "2024-02-01 09:00"]])
def test_dates_are_near_when_days_are(dates: list[str]) -> None:
    data: Data = [{"at": dates[0]}, {"at": dates[1]}, {"at": "2021-07-09"}, {"at": "30.6.2025"}, {"at": None}]
    one, next_day, years_ago, _, missing = dense(FeatureExtractor().fit(data), *data)
    assert np.linalg.norm(one - next_day) < np.linalg.norm(one - years_ago)
    assert missing.any()


def test_fields_of_nested_objects_are_features() -> None:
    def dialogue(answer: str, year: int) -> dict[str, object]:
        turns = [{"author": "us", "text": "how was it"}, {"author": "them", "text": answer}]
        return {"meta": {"year": year}, "turns": turns}

    data = [dialogue("a splendid evening", 1990), dialogue("a dreadful evening", 2020)]
    extractor = FeatureExtractor().fit(data * 3)
    one, other, earlier = dense(extractor, *data, dialogue("a splendid evening", 2020))
    assert (one != other).any()
    assert (one != earlier).any()


@pytest.mark.parametrize(
    "value",
    [
        "s3://bucket/Dog photo ({}).jpg",
        "gs://bucket/some folder/{}",
        "C:\\photos\\Dog {}.jpg",
        "D:/photos/dog{}.jpg",
        "\\\\server\\share\\dogs\\{}",
        "Dog photo ({}).jpg",
        "IMG 2024-01-02 at 10.15.{}.PNG",
        "my photos/Dog {}.jpeg",
        "data:image/png;base64,iVBORw0KGgo{}",
        "/data/local-files/?d=Dog photo {}.jpg",
        "https://example.org/Dog photo {}.jpg",
    ],
)
def test_addresses_and_file_names_with_spaces_are_not_learned_from(value: str) -> None:
    data: Data = [{"image": value.format(index), "images": [value.format(index)]} for index in (7, 3, 9, 1)]
    extractor = FeatureExtractor().fit(data)
    assert not extractor.transform(data).nnz
    assert extractor.left_out_ == {"image": "location", "images": "location"}


@pytest.mark.parametrize(
    "values",
    [
        ["km/h", "kg/m", "km/h", "kg/m"],
        ["01/31/2024", "02/01/2024", "01/31/2024"],
        ["and/or", "either/or", "and/or"],
        ["n/a", "yes", "n/a", "n/a"],
        ["Node.js", "Vue.js", "Node.js"],
        ["bbc.co.uk", "cnn.com", "bbc.co.uk"],
        ["https://example.org is down", "https://example.org is up again"],
        ["He opened cat.jpg and laughed.", "She opened dog.jpg and cried."],
    ],
)
def test_words_with_slashes_and_points_are_no_locations(values: list[str]) -> None:
    assert n_features([{"word": value} for value in values]) > 0


def in_order(values: Sequence[object]) -> dict[str, str]:
    return FeatureExtractor().fit([{"n": value} for value in values]).left_out_


@pytest.mark.parametrize(
    "values",
    [
        list(range(40)),
        [str(number) for number in range(200, 100, -3)],
        [float(number) for number in range(40)],
        [f"train_{number:05d}" for number in range(40)],
        [f"2024-01-{day:02d}T08:15:00Z" for day in range(1, 29)],
        # Two files, one after the other.
        [*range(40), *range(40)],
    ],
)
def test_what_numbers_the_tasks_is_not_learned_from(values: list[object]) -> None:
    assert in_order(values) == {"n": "order"}


@pytest.mark.parametrize(
    "values",
    [
        # Years of a sorted table, measures, what is in no order, and too few to know.
        [1990, 1990, 1991, 1991, 1992, 1993, 1993, 1993, 1994, 1995, 1995, 1996],
        [0.1 * number + 0.05 for number in range(40)],
        [(7 * number) % 41 for number in range(41)],
        [1, 2, 3],
        [f"text {number} of {number}" for number in range(40)],
    ],
)
def test_quantities_are_learned_from(values: list[object]) -> None:
    assert in_order(values) == {}


def test_a_task_of_which_nothing_can_be_read_gets_no_suggestion() -> None:
    question = Choices("animal", "image", ("cat", "dog"))
    names = [f"s3://bucket/{('Cat', 'Dog')[index % 2]} photo ({index}).jpg" for index in range(40)]
    gold = {"animal": np.arange(40) % 2}
    votes = {"animal": VoteMatrix(decisions(question)[0], (), np.zeros((40, 0), dtype=np.int16))}
    trained = train(frame_with([question], votes=votes, gold=gold), [{"image": name} for name in names])
    posteriors = said_by(trained.model, [{"image": "s3://bucket/Dog photo (99).jpg"}], {})
    (suggestion,) = suggest(frame_with([question], posteriors=posteriors))
    assert (suggestion.answers, suggestion.score) == ({}, 0.0)
    assert trained.metrics.content == ContentFigures(40, {"image": "location"})
    # One of which something can be read gets one, beside another of which nothing can.
    data = [{"image": name, "about": ("it meows", "it barks")[index % 2]} for index, name in enumerate(names)]
    trained = train(frame_with([question], votes=votes, gold=gold), data)
    seen, unseen = suggest(
        frame_with([question], posteriors=said_by(trained.model, [{"about": "it barks"}, {"image": "x.jpg"}], {}))
    )
    assert (seen.answers, unseen.answers) == ({"animal": ("dog",)}, {})


def test_of_two_texts_that_are_compared_it_counts_how_they_differ() -> None:
    words = ["brave", "dull", "kind", "cold"]
    data: list[dict[str, object]] = [
        {"left": f"a {words[n % 4]} answer", "right": f"a {words[n // 4 % 4]} answer"} for n in range(32)
    ]
    apart, compared = FeatureExtractor().fit(data), FeatureExtractor().fit(data, [("left", "right"), ("left", "none")])
    features = compared.transform(data).toarray()
    assert compared.text_width > apart.text_width
    differences = features[:, apart.text_width : compared.text_width]
    # Task 1 is task 4 the other way round, and the texts of task 0 are the same.
    np.testing.assert_allclose(differences[1], -differences[4], atol=1e-6)
    assert not differences[0].any()
    again = skops.io.loads(skops.io.dumps(compared), trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(again.transform(data).toarray(), features)
