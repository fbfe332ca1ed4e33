"""Short forms that a text explains: "acute renal failure (ARF)", after Schwartz and Hearst (2003).

The short form stands in brackets behind the long one; each of its letters is found in the long form, from the right to
the left, the first one at the beginning of a word.
"""

from collections.abc import Iterable, Sequence

from backend.domain.spans.text import Run

LONGEST = 10
"""Characters of a short form."""
OPENS, CLOSES = frozenset("([\uff08"), frozenset(")]\uff09")


def short_forms(words: Sequence[str], runs: Iterable[Run]) -> dict[str, str]:
    """Short form -> label, for those of the runs that are followed by their short form in brackets."""
    explained = [
        (at, word)
        for at, word in enumerate(words[1:-1], start=1)
        if words[at - 1] in OPENS and words[at + 1] in CLOSES and _is_short(word)
    ]
    if not explained:
        return {}
    ends = {run.stop: run for run in runs}
    found: dict[str, str] = {}
    for at, word in explained:
        run = ends.get(at - 1)
        if run is not None and _fits(word, " ".join(words[run.first : run.stop])):
            found.setdefault(word, run.label)
    return found


def _is_short(word: str) -> bool:
    return 2 <= len(word) <= LONGEST and word[0].isalnum() and any(char.isupper() for char in word)


def _fits(short: str, long: str) -> bool:
    place, long = len(long) - 1, long.lower()
    letters = [char for char in short.lower() if char.isalnum()]
    for index, letter in reversed(list(enumerate(letters))):
        while place >= 0 and (long[place] != letter or (index == 0 and place > 0 and long[place - 1].isalnum())):
            place -= 1
        if place < 0:
            return False
        place -= 1
    return True
