"""Twenty labeling functions as people write them: what `apply_rules` measures, here and in Snorkel's environment.

Plain functions of a task's text, likes, replies and sender; the same code runs on both sides. The peer sets SPAM, HAM
and ABSTAIN to its own numbers before it runs them. `spam_rules.yaml` says the same twenty without Python.
"""

import re
from typing import Any

SPAM: Any = "spam"
HAM: Any = "ham"
ABSTAIN: Any = None

_OFFER = re.compile(r"\b(?:free|offer|prize|winner|cash|win|claim)\b", re.IGNORECASE)
_CALL = re.compile(r"\b(?:call|text|txt|reply|click|visit)\b", re.IGNORECASE)
_CHANNEL = re.compile(r"\b(?:subscribe|channel|subscribers|follow)\b", re.IGNORECASE)
_PRAISE = re.compile(r"\b(?:love|great|best|awesome|amazing)\b", re.IGNORECASE)
_CHECK_OUT = re.compile(r"check.*out", re.IGNORECASE)
_MONEY = re.compile(r"[$\u00a3\u20ac]\s?\d+")
BLOCKED = {f"user{number}" for number in range(0, 97, 7)}
KNOWN = {f"user{number}" for number in range(1, 97, 5)}


def offer(x: Any) -> Any:
    return SPAM if _OFFER.search(x.text) else ABSTAIN


def call_to_act(x: Any) -> Any:
    return SPAM if _CALL.search(x.text) else ABSTAIN


def channel(x: Any) -> Any:
    return SPAM if _CHANNEL.search(x.text) else ABSTAIN


def praise(x: Any) -> Any:
    return HAM if _PRAISE.search(x.text) else ABSTAIN


def check_out(x: Any) -> Any:
    return SPAM if _CHECK_OUT.search(x.text) else ABSTAIN


def money(x: Any) -> Any:
    return SPAM if _MONEY.search(x.text) else ABSTAIN


def has_link(x: Any) -> Any:
    return SPAM if "http" in x.text.lower() else ABSTAIN


def please(x: Any) -> Any:
    return SPAM if "please" in x.text.lower() else ABSTAIN


def song(x: Any) -> Any:
    return HAM if "song" in x.text.lower() else ABSTAIN


def my(x: Any) -> Any:
    return SPAM if "my " in x.text.lower() else ABSTAIN


def short(x: Any) -> Any:
    return HAM if len(x.text.split()) < 5 else ABSTAIN


def long(x: Any) -> Any:
    return SPAM if len(x.text) > 140 else ABSTAIN


def exclaims(x: Any) -> Any:
    return SPAM if x.text.count("!") + x.text.count("\uff01") >= 2 else ABSTAIN


def asks(x: Any) -> Any:
    return HAM if x.text.count("?") + x.text.count("\uff1f") >= 1 else ABSTAIN


def liked(x: Any) -> Any:
    return HAM if x.likes > 8 else ABSTAIN


def not_liked(x: Any) -> Any:
    return SPAM if x.likes < 1 else ABSTAIN


def liked_reply(x: Any) -> Any:
    return HAM if x.likes >= 3 and x.replies >= 2 else ABSTAIN


def more_replies_than_likes(x: Any) -> Any:
    return SPAM if x.replies > x.likes else ABSTAIN


def blocked_sender(x: Any) -> Any:
    return SPAM if x.sender in BLOCKED else ABSTAIN


def known_sender(x: Any) -> Any:
    return HAM if x.sender in KNOWN else ABSTAIN


FUNCTIONS = [
    offer,
    call_to_act,
    channel,
    praise,
    check_out,
    money,
    has_link,
    please,
    song,
    my,
    short,
    long,
    exclaims,
    asks,
    liked,
    not_liked,
    liked_reply,
    more_replies_than_likes,
    blocked_sender,
    known_sender,
]
