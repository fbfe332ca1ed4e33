"""Wrong spans of people, what comes next, what several people agree on, and how spans are scored."""

from dataclasses import replace

import pytest

from backend.domain.spans.consensus import agreement, consensus, rank_people
from backend.domain.spans.fit import fit, hold_out
from backend.domain.spans.model import Raw, Suggested
from backend.domain.spans.next_texts import usefulness
from backend.domain.spans.scores import span_scores
from backend.domain.spans.suspects import Fault, Suspect, find_suspects, token_doubts
from backend.domain.spans.text import Run
from backend.domain.spans.vote import Runs, Voted
from tests.unit.spans.planted import planted

WORDS = ("the", "hard", "drive", "fan", "of", "my", "Mac", "Pro")
DRIVE, BOTH, MAC, PERSON = Run(1, 3, "A"), Run(1, 4, "A"), Run(6, 8, "A"), Run(6, 8, "B")
TEXT = Voted(WORDS, ((BOTH,), (MAC, BOTH)))


def suspects(given: Runs, chances: dict[Run, float]) -> list[Suspect]:
    return find_suspects([TEXT], [given], [Raw({}, chances, 0.0)])


@pytest.mark.parametrize(
    ("given", "chances", "fault", "expected", "sources"),
    [
        ((), {BOTH: 0.9, DRIVE: 0.05}, Fault.MISSING, BOTH, (0, 1)),
        ((DRIVE,), {DRIVE: 0.001}, Fault.SPURIOUS, None, ()),
        ((DRIVE,), {DRIVE: 0.1, BOTH: 0.8}, Fault.WRONG_BOUNDARY, BOTH, (0, 1)),
        ((PERSON,), {PERSON: 0.1, MAC: 0.8}, Fault.WRONG_LABEL, MAC, (1,)),
    ],
)
def test_each_kind_of_fault_is_named_with_what_is_expected(
    given: Runs, chances: dict[Run, float], fault: Fault, expected: Run | None, sources: tuple[int, ...]
) -> None:
    (found,) = suspects(given, chances)
    assert (found.row, found.fault, found.expected, found.sources) == (0, fault, expected, sources)
    assert found.given == (given[0] if given else None)
    assert 0 < found.doubt < 1


def test_spans_that_are_expected_are_no_suspects() -> None:
    assert suspects((BOTH, MAC), {BOTH: 0.9, DRIVE: 0.05, MAC: 0.8, PERSON: 0.05}) == []
    assert find_suspects([TEXT, TEXT], [None, (MAC,)], [Raw({BOTH: 0.9}), None]) == []


def test_a_longer_span_is_a_rival_of_the_one_that_it_shares_most_with() -> None:
    first, second = Run(0, 1, "A"), Run(1, 4, "A")
    (found,) = suspects((first, second), {Run(0, 4, "A"): 0.6, first: 0.9, second: 0.1})
    assert found.given == second


def test_a_doubt_is_at_the_tokens_that_would_change() -> None:
    found = [
        Suspect(0, Fault.WRONG_BOUNDARY, DRIVE, BOTH, 0.5, ()),
        Suspect(0, Fault.MISSING, None, MAC, 0.3, ()),
        Suspect(1, Fault.WRONG_BOUNDARY, Run(0, 2, "A"), Run(1, 2, "A"), 0.4, ()),
    ]
    first, second = token_doubts([TEXT, TEXT], found)
    assert first.tolist() == [0, 0, 0, 0.5, 0, 0, 0.3, 0.3]
    assert second.tolist() == [0.4, 0.4, 0, 0, 0, 0, 0, 0]


def test_planted_errors_come_first() -> None:
    texts, gold = planted(40)
    given = list(gold)
    given[3] = gold[3][:1]
    given[7] = (Run(1, 3, "person"), gold[7][1])
    given[11] = (gold[11][0], Run(4, 5, "person"))
    found = find_suspects(texts, given, hold_out(texts, given, ("person", "film")))
    assert {(item.row, item.fault) for item in found[:3]} == {
        (3, Fault.MISSING),
        (7, Fault.WRONG_BOUNDARY),
        (11, Fault.WRONG_LABEL),
    }


def test_few_labels_hold_nothing_out() -> None:
    texts, gold = planted(3)
    assert hold_out(texts, gold, ("person", "film")) == [None] * 3


def test_the_text_that_the_tagger_is_least_sure_of_comes_next_and_length_is_no_merit() -> None:
    sure = Suggested({}, {}, 0.9, -0.01)
    texts = [Voted(WORDS, ()), Voted(WORDS * 10, ()), Voted(WORDS, ())]
    useful = usefulness(texts, [sure, replace(sure, best=-0.02), replace(sure, best=-0.3)])
    assert useful.argsort().tolist() == [0, 1, 2]


def test_without_a_tagger_the_text_with_most_candidates_comes_next() -> None:
    texts = [Voted(WORDS, ((),)), Voted(WORDS, ((DRIVE,),)), Voted(WORDS, ((DRIVE,), (BOTH,))), Voted((), ())]
    useful = usefulness(texts, fit(texts, [None] * 4, ("A",)).model.suggest(texts))
    assert useful.tolist() == pytest.approx([0, 2 / 8, 3 / 8 + 0.5 * 2 / 8, 0])


def test_the_majority_decides_and_what_it_splits_over_is_disputed() -> None:
    found = consensus({"ann": (DRIVE, MAC), "bob": (DRIVE, PERSON), "cem": (BOTH, Run(4, 5, "A"))})
    assert found.runs == pytest.approx({DRIVE: 2 / 3})
    assert found.disputed == pytest.approx({MAC: 1 / 3})
    assert consensus({}).runs == {}


def test_agreement_counts_exact_or_overlapping_spans() -> None:
    assert agreement((DRIVE, MAC), (BOTH, MAC)) == 0.5
    assert agreement((DRIVE, MAC), (BOTH, MAC), exact=False) == 1.0
    assert agreement((DRIVE, MAC), (BOTH, PERSON), exact=False) == 0.5
    assert agreement((BOTH,), (Run(1, 2, "A"), Run(3, 4, "A")), exact=False) == pytest.approx(2 / 3)
    assert agreement((), ()) == 1.0
    assert agreement((DRIVE,), ()) == 0.0


def test_people_are_ranked_by_their_agreement_with_others() -> None:
    texts: list[dict[str, Runs]] = [
        {"ann": (DRIVE, MAC), "bob": (DRIVE, MAC), "cem": (BOTH,)},
        {"ann": (DRIVE,), "bob": (DRIVE,)},
        {"dan": (DRIVE,)},
    ]
    assert list(rank_people(texts).items()) == [("ann", 0.75), ("bob", 0.75), ("cem", 0.0)]


def test_scores_are_exact_with_an_interval_over_texts() -> None:
    scores = span_scores([(DRIVE, MAC), (), (BOTH,)] * 20, [(DRIVE,), (MAC,), (BOTH,)] * 20)
    assert (scores.n_right, scores.n_marked, scores.n_true) == (40, 60, 60)
    assert [scores.precision, scores.recall, scores.f1] == pytest.approx([2 / 3] * 3)
    assert 0.5 < scores.interval[0] < 2 / 3 < scores.interval[1] < 0.8
    assert span_scores([], []).f1 == span_scores([()], [()]).f1 == 1.0
