"""Numbers in sentences agree with their nouns, and with each other."""

import pytest

from backend.domain.words import both_shares, counted, share


@pytest.mark.parametrize(("n", "said"), [(0, "0 labels"), (1, "1 label"), (2, "2 labels"), (12345, "12,345 labels")])
def test_a_number_has_its_noun(n: int, said: str) -> None:
    assert counted(n, "label") == said


def test_a_noun_may_have_a_plural_of_its_own() -> None:
    assert [counted(n, "entry", "entries") for n in (1, 2)] == ["1 entry", "2 entries"]


@pytest.mark.parametrize(
    ("value", "form", "said"),
    [
        (0.0, ".2f", "0.00"),
        (0.001, ".2f", "<0.01"),
        (0.999, ".2f", ">0.99"),
        (1.0, ".2f", "1.00"),
        (0.996, ".0%", ">99%"),
        (1.0, ".0%", "100%"),
        (0.001, ".0%", "<1%"),
        (0.0001, ".1%", "<0.1%"),
        (0.345, ".1%", "34.5%"),
    ],
)
def test_nearly_all_is_not_all(value: float, form: str, said: str) -> None:
    assert share(value, form) == said


def test_two_probabilities_never_add_up_to_more_than_one() -> None:
    assert both_shares(0.6, 0.2) == ("0.60", "0.20")
    assert both_shares(0.996, 0.004) == (">0.99", "<0.01")
    assert both_shares(1.0, 0.0) == (">0.99", "<0.01")
    for hundreds in range(500, 1001):
        shown = both_shares(hundreds / 1000, 1 - hundreds / 1000)
        assert sum(float(text.strip("<>")) for text in shown) <= 1, hundreds
