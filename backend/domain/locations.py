"""Which strings only say where something lies: addresses, file paths and file names. Nothing can be read in them."""

import re

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
