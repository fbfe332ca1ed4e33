"""Regular expressions with an end.

Python's `re` may take years for one line, nothing can stop it, and no other thread runs meanwhile. The package `regex`
reads the same expressions, can be stopped, and lets others run. It differs in one letter: with case ignored, it takes
the Turkish capital İ for an i. So `re` does what can't take long.
"""

import re
import time
from collections.abc import Iterator

import regex

from backend.errors import RuleError

TIME_LIMIT_S = 1.0
"""For one text. What takes longer has gone astray: a second reads megabytes."""
FEW_STEPS = 1_000_000
_QUANTIFIER = re.compile(r"(?<!\()[?*+{]")
_REPEATED_GROUP = re.compile(r"\)[?*+{]")
_LITERAL_BRACE = re.compile(r"(\\N\{[^}]*\}|\\.)|\{(?!\d*,?\d*\})", re.DOTALL)


class Pattern:
    """A regular expression of Python's `re`."""

    def __init__(self, written: str, *, ignore_case: bool) -> None:
        """Raises RuleError when it is none."""
        flags = re.IGNORECASE if ignore_case else 0
        try:
            self._plain = re.compile(written, flags)
            # A brace that repeats nothing is a brace; `regex` would read it as a fuzzy match.
            own = _LITERAL_BRACE.sub(lambda found: found[1] or r"\{", written)
            self._stoppable = regex.compile(own, flags | regex.VERSION0)
        except (re.error, regex.error, OverflowError, RecursionError) as error:
            raise RuleError(f"{written!r} is not a regular expression: {error}") from error
        self._exponent = 1 + len(_QUANTIFIER.findall(written))
        self._is_nested = _REPEATED_GROUP.search(written) is not None

    def is_in(self, text: str) -> bool:
        """Whether it matches anywhere. Raises RuleError when the text would take too long."""
        return next(self.starts(text), None) is not None

    def starts(self, text: str) -> Iterator[int]:
        """Where its matches begin. Raises RuleError when the text would take too long."""
        # Without a group that repeats, each quantifier tries at most each place.
        if not self._is_nested and float(max(len(text), 1)) ** min(self._exponent, 10) <= FEW_STEPS:
            yield from (found.start() for found in self._plain.finditer(text))
            return
        started = time.monotonic()
        try:
            for found in self._stoppable.finditer(text, timeout=TIME_LIMIT_S):
                yield found.start()
                if time.monotonic() - started > TIME_LIMIT_S:
                    raise TimeoutError
        except TimeoutError:
            raise RuleError(f"the regular expression takes more than {TIME_LIMIT_S:g} s for a text") from None
