"""The vote over spans, and how far sources are trusted."""

import pytest

from backend.domain.spans.best import best_runs, best_share
from backend.domain.spans.short_forms import short_forms
from backend.domain.spans.text import Run
from backend.domain.spans.vote import SHORT_FORM, Trust, Voted, first_trust, learn_trust, supporters, vote, vote_chances

WORDS = tuple(["the", "hard", "drive", "fan", "of", "my", "Mac", "Pro"])
DRIVE, FAN, BOTH, MAC = Run(1, 3, "A"), Run(3, 4, "A"), Run(1, 4, "A"), Run(6, 8, "B")


def test_most_votes_win_then_length_and_nothing_overlaps() -> None:
    assert vote(Voted(WORDS, ((DRIVE,), (DRIVE,), (BOTH, MAC)))) == [DRIVE, MAC]
    assert vote(Voted(WORDS, ((DRIVE,), (BOTH, MAC)))) == [BOTH, MAC]
    assert vote(Voted(WORDS, ((), ()))) == []


def test_a_source_that_says_one_thing_twice_has_one_vote() -> None:
    assert vote(Voted(WORDS, ((DRIVE, DRIVE), (BOTH,)))) == [BOTH]


def test_votes_against_a_span_are_counted() -> None:
    against = ((Run(2, 3, ""),),)
    assert vote(Voted(WORDS, ((DRIVE, MAC),), against)) == [MAC]
    assert vote(Voted(WORDS, ((DRIVE, MAC), (DRIVE,)), against)) == [DRIVE, MAC]
    assert vote(Voted(WORDS, ((DRIVE,),), ((Run(1, 3, "B"),),))) == [DRIVE]


def test_hints_have_no_vote() -> None:
    assert vote(Voted(WORDS, ((DRIVE,),), hints=((FAN,),))) == [DRIVE]


def test_a_short_form_is_marked_wherever_it_stands() -> None:
    words = tuple(["acute", "renal", "failure", "(", "ARF", ")", "and", "ARF", "or", "CT", "(", "scan", ")"])
    text = Voted(words, ((Run(0, 3, "Disease"),),))
    assert vote(text) == [Run(0, 3, "Disease"), Run(4, 5, "Disease"), Run(7, 8, "Disease")]
    assert supporters(text)[Run(7, 8, "Disease")] == [SHORT_FORM]
    assert vote(Voted(words, ((Run(1, 2, "Disease"),),))) == [Run(1, 2, "Disease")]


@pytest.mark.parametrize(
    ("words", "short"),
    [
        ("acute renal failure ( ARF )", "ARF"),
        ("gamma-aminobutyric acid [ GABA ]", "GABA"),
        ("heat shock protein ( NSP )", None),
        ("serotonin ( five )", None),
        ("serotonin ( X )", None),
        ("serotonin (", None),
    ],
)
def test_short_forms_have_the_letters_of_the_long_one(words: str, short: str | None) -> None:
    tokens = words.split()
    end = next(at for at, word in enumerate(tokens) if word in "([")
    assert short_forms(tokens, [Run(0, end, "A")]) == ({short: "A"} if short else {})


def test_trust_is_learned_from_what_people_kept() -> None:
    texts = [Voted(WORDS, ((DRIVE,), (FAN,)))] * 100
    trust = learn_trust(texts, [(DRIVE,)] * 100, 2)
    assert list(trust.weights) == pytest.approx([116 / 120, 16 / 120])
    assert trust.short_form == first_trust(2).short_form == 0.8


def test_a_run_is_as_probable_as_its_most_trusted_source_says_and_more_with_another() -> None:
    trust = Trust((0.8, 0.6))
    assert vote_chances(Voted(WORDS, ((DRIVE, MAC), (MAC, FAN))), trust) == pytest.approx(
        {DRIVE: 0.8, MAC: 0.9, FAN: 0.6}
    )


def test_the_set_with_the_best_expected_f1_is_shown() -> None:
    # Sure ones alone: 2 * 1.8 / (2 + 2.3); with the third: 2 * 2.2 / (3 + 2.3); with all: 2 * 2.3 / (4 + 2.3).
    assert best_share([{DRIVE: 0.9, MAC: 0.9}, {DRIVE: 0.4, FAN: 0.1}]) == pytest.approx(0.5 * 2 * 1.8 / 4.3)
    assert best_share([]) == 0.0


def test_runs_with_the_largest_sum_are_chosen_among_those_that_overlap() -> None:
    assert best_runs({DRIVE: 0.6, FAN: 0.6, BOTH: 0.7}, 0.4) == [DRIVE, FAN]
    assert best_runs({DRIVE: 0.45, FAN: 0.45, BOTH: 0.7, MAC: 0.3}, 0.4) == [BOTH]
    assert best_runs({}, 0.4) == []
