"""Numbers and texts that come from outside, made safe to compute with, to keep, and to show. No text here is HTML."""

import json
import math
import unicodedata
from collections.abc import Sequence
from urllib.parse import urlsplit

KEPT_CHARS = 2_000
"""Of a text that is kept to be read by people, such as an error's: more of it explains nothing."""
SHOWN_CHARS = 200
"""Of a text in a table or a sentence."""
MOST_LISTED = 5
"""Names in a sentence."""
CUT = "…"
JOINERS = "\u200c\u200d"
MAX_DIGITS = 400
"""Of a whole number in JSON. A float has 309 at most; Python refuses to read more than 4,300 as a number."""
STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""A spreadsheet computes a cell that begins like this (OWASP, CSV injection); the last ones are wide = + - @."""
CELL_CHARS = 32_767
"""Excel keeps no more of a cell."""


def bounded_number(value: object, low: float, high: float) -> float | None:
    """A number of JSON as a float in [low, high]; None for anything else: NaN, infinite, too large, a bool, no number.

    An int of hundreds of digits, which JSON may hold and a float may not, is out of bounds, not an error.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Python compares an int with a float exactly, whatever its size; every comparison with NaN is false.
    return float(value) if low <= value <= high and math.isfinite(value) else None


def bounded_whole(value: object, low: int, high: int) -> int | None:
    """A number of JSON as an int in [low, high]; None for anything else, also for one with a fraction."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        return None
    return int(value) if int(value) == value else None


def read_json(text: str, too_deep: object = None) -> object | None:
    """The value of a JSON text from outside; None when it is none, `too_deep` when it is nested too deeply to be read.

    A whole number of more than `MAX_DIGITS` digits becomes infinite: out of all bounds, and all else is read.
    """
    try:
        value: object = json.loads(text, parse_int=whole)
    except RecursionError:
        return too_deep
    except ValueError:
        return None
    return value


def whole(digits: str) -> int | float:
    """A whole number of JSON, for `json`'s parse_int. See `read_json`."""
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf * (-1 if digits[0] == "-" else 1)


def base_url_problem(url: str) -> str:
    """Why an address can't be that of an API, below which paths are asked for: "is not ..."; "" = it can."""
    example = "write for example http://localhost:11434/v1"
    try:
        parts = urlsplit(url)
        # A port that is no number is found out by asking for it.
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(char.isspace() or _acts(char) for char in url):
        return f"is not an address; {example}"
    if "?" in url or "#" in url:
        return (
            f"has a query (?...) or a fragment (#...), behind which no path can stand; {example}, and for Azure "
            "https://<resource>.openai.azure.com/openai/v1"
        )
    return ""


def storable(text: str, limit: int = KEPT_CHARS) -> str:
    """A text that any database, JSON file and log can hold: at most `limit` characters, the last one "…" if cut.

    Half characters (lone surrogates), which no encoding can hold, and NUL, which Postgres refuses, become "\ufffd".
    """
    cut = shortened(text, limit)
    if cut.isascii():
        return cut.replace("\0", "\ufffd")
    return cut.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def one_line(text: str, limit: int = SHOWN_CHARS) -> str:
    """A text for a terminal, a table or a sentence: one line without control, format and half characters, cut.

    Escape sequences can move the cursor, change a window's title or hide what follows; marks of direction (bidi) change
    the order in which the rest is read.
    """
    # What is cut off isn't looked at: the text may have millions of characters.
    start = text[: 4 * limit]
    joined = " ".join(visible(start).split())
    return joined if len(joined) <= limit and len(start) == len(text) else joined[: limit - 1] + CUT


def visible(text: str) -> str:
    """A text for a terminal, of as many characters: each one that acts instead of being seen is a space."""
    return text if text.isprintable() else "".join(" " if _acts(char) else char for char in text)


def visible_lines(text: str) -> str:
    """The same of a text of several lines, such as a traceback."""
    return "\n".join(visible(line) for line in text.split("\n"))


def shortened(text: str, limit: int) -> str:
    """A text of at most `limit` characters, the last one "…" if it was cut."""
    return text if len(text) <= limit else text[: limit - 1] + CUT


def _acts(char: str) -> bool:
    """Whether a character does something instead of being seen. Joiners are parts of words (Persian) and of emoji."""
    return char not in JOINERS and unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def is_word(value: object, word: str) -> bool:
    """Whether a value that people type is a word (in lower case), in any case, and with or without blanks around it."""
    return isinstance(value, str) and value.strip().casefold() == word


def listed(names: Sequence[str], between: str = ", ") -> str:
    """The first names, and how many more there are: a sentence stays one that people read."""
    more = len(names) - MOST_LISTED
    return between.join(names[:MOST_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def cell(value: object) -> object:
    """A value for a CSV file that people open in a spreadsheet: a text that would be computed begins with "'"."""
    if not isinstance(value, str):
        return value
    text = storable(value, CELL_CHARS)
    return f"'{text}" if text.startswith(STARTS_FORMULA) else text
