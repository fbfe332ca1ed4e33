"""Strings that only name a place: addresses, file paths and file names. They have no content to learn from."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

LONGEST = 2_000
"""Characters of an address; browsers and stores take no longer ones. `data:` holds the thing itself."""
_DATA = re.compile(r"data:(?:[\w.+-]+/[\w.+-]+)?(?:;[\w.=+-]+)*,", re.IGNORECASE)
_FILE_TYPES = (
    "jpe?g|jpe|jfif|png|gif|bmp|webp|tiff?|svg|hei[cf]|avif|ico|raw|dcm|nii|psd|eps|"
    "mp[234]|m4[av]|wav|flac|og[gav]|opus|aac|aiff?|wma|amr|mid|mov|avi|mkv|webm|mpe?g|wmv|flv|3gp|"
    "pdf|docx?|xlsx?|pptx?|od[tsp]|rtf|txt|md|tex|epub|html?|xml|ya?ml|jsonl?|csv|tsv|parquet|log|srt|vtt|eml|msg|"
    "zip|gz|bz2|xz|tar|tgz|7z|rar|np[yz]|h5|pkl|pt|pcd|las|laz|ply|obj|stl"
)
_LOCATION = re.compile(
    r"""
    (?!https?:)[a-z][a-z0-9+.-]*://\S.*                # s3://bucket/Dog photo (3).jpg: keys may have spaces
    | https?://\S+                                     # With spaces, a text may begin with an address
    | [a-z]:[\\/]\S.* | \\\\[^\\\s]+\\\S.*             # C:\photos\dog.jpg, \\server\share\dog.jpg
    | ~?/[^/\s]+(?:/[^/\s]*)+                          # /data/upload/3/8f-photo
    | [^\s/\\]+(?:[/\\][^\s/\\]+)+\.[a-z][a-z0-9]{1,4} # images/dog.jpg, but not km/h
    | [^<>|"\n]{0,250}[^\s.<>|"]\.(?:FILE_TYPES)               # Dog photo (3).jpg, but not Node.js
    """.replace("FILE_TYPES", _FILE_TYPES),
    re.IGNORECASE | re.VERBOSE,
)
WEB = ("http://", "https://")


def is_location(text: str) -> bool:
    """Whether a string is nothing but an address, a path of a file, or its name.

    Units (km/h), dates (01/31/2024), "and/or" and host names are words: of paths without a type of file, only those
    that begin at a root count.
    """
    text = text.strip()
    if _DATA.match(text):
        return True
    return len(text) <= LONGEST and _LOCATION.fullmatch(text) is not None


def is_stored(text: str) -> bool:
    """Whether a string is a location that isn't a web address: that may be what is looked at, as a text."""
    return not text.strip().lower().startswith(WEB) and is_location(text)


def is_elsewhere(value: object) -> bool:
    """Whether a value only says where something is stored, or, a list, where several things are."""
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(isinstance(item, str) and is_stored(item) for item in items)


def fields_elsewhere(rows: Iterable[Mapping[str, object]]) -> frozenset[str]:
    """Names of the fields of which most values only say where something is stored, see `is_elsewhere`.

    One value doesn't tell: "Dog photo.jpg" is a file, and "I can't open report.pdf" is what somebody wrote.
    """
    n_values: Counter[str] = Counter()
    n_elsewhere: Counter[str] = Counter()
    for row in rows:
        for name, value in row.items():
            if value not in (None, "", []):
                n_values[name] += 1
                n_elsewhere[name] += is_elsewhere(value)
    return frozenset(name for name, count in n_values.items() if 2 * n_elsewhere[name] > count)
