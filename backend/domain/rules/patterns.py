"""Regular expressions that users bring, with an end.

Python's `re` may take years for one line, nothing can stop it, and no other thread runs meanwhile. The package `regex`
reads the same expressions, can be stopped, and lets others run. It differs in one letter: with case ignored, it takes
the Turkish capital İ for an i. So `re` does what can't take long.
"""

import re
import time
from collections.abc import Collection, Iterator

import regex

from backend.domain.outside import one_line
from backend.errors import RuleError

TIME_LIMIT_S = 1.0
"""For one text. What takes longer has gone astray: a second reads megabytes."""
FEW_STEPS = 1_000_000
MAX_CHARACTERS = 10_000
"""Of an expression: compiling a long one takes long, and nothing can stop that."""
_QUANTIFIER = re.compile(r"(?<!\()[?*+{]")
_REPEATED_GROUP = re.compile(r"\)(?:\(\?#[^)]*\))*[?*+{]")
_IGNORES_BLANKS = re.compile(r"\(\?[a-zA-Z-]*x")
_LITERAL_BRACE = re.compile(r"(\\N\{[^}]*\}|\\.)|\{(?!\d*,?\d*\})", re.DOTALL)


class Late(RuleError):
    """A text takes longer than a regular expression may."""


class Pattern:
    """A regular expression of Python's `re`."""

    def __init__(self, written: str, *, ignore_case: bool) -> None:
        """Raises RuleError when it is none."""
        if len(written) > MAX_CHARACTERS:
            raise RuleError(f"the regular expression has {len(written):,} characters; {MAX_CHARACTERS:,} are the most")
        flags = re.IGNORECASE if ignore_case else 0
        try:
            self._plain = re.compile(written, flags)
            # A brace that repeats nothing is a brace; `regex` would read it as a fuzzy match.
            own = _LITERAL_BRACE.sub(lambda found: found[1] or r"\{", written)
            self._stoppable = regex.compile(own, flags | regex.VERSION0)
        except (re.error, regex.error, OverflowError, RecursionError) as error:
            raise RuleError(f"{one_line(written)!r} is not a regular expression: {error}") from error
        self._exponent = 1 + len(_QUANTIFIER.findall(written))
        n_groups = 1 + written.count("(")
        # Each group tries each of its choices: their product is largest where all groups have equally many.
        self._choices = min((1 + written.count("|") / n_groups) ** min(n_groups, 100), float(FEW_STEPS))
        # Where blanks don't count, a group and what repeats it need not stand side by side.
        self._is_nested = any(found.search(written) for found in (_REPEATED_GROUP, _IGNORES_BLANKS))

    def is_in(self, text: str) -> bool:
        """Whether it matches anywhere. Raises Late when the text would take too long."""
        return next(self.starts(text), None) is not None

    def starts(self, text: str) -> Iterator[int]:
        """Where its matches begin. Raises Late when the text would take too long."""
        return (start for start, _ in self.spans(text))

    @property
    def groups(self) -> Collection[str]:
        """Names of its groups."""
        return self._plain.groupindex.keys()

    def spans(self, text: str, limit_s: float = TIME_LIMIT_S, group: str | int = 0) -> Iterator[tuple[int, int]]:
        """Where its matches begin and end, or a group in them; (-1, -1) for a match without the group.

        Raises Late when the text would take more than `limit_s` seconds.
        """
        # Without a group that repeats, each quantifier tries at most each place.
        steps = self._choices * float(max(len(text), 1)) ** min(self._exponent, 10)
        if not self._is_nested and steps <= FEW_STEPS:
            yield from (found.span(group) for found in self._plain.finditer(text))
            return
        # Its own time: on a busy machine nothing has gone astray.
        started = time.thread_time()
        try:
            for found in self._stoppable.finditer(text, timeout=limit_s):
                yield found.span(group)
                if time.thread_time() - started > limit_s:
                    raise TimeoutError
        except TimeoutError:
            raise Late(f"the regular expression takes more than {limit_s:g} s for a text") from None
