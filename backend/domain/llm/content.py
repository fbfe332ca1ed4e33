"""What of a task is sent to an LLM, and its hash: the same content is never asked about twice."""

import hashlib
import json
import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from backend.domain.locations import is_elsewhere
from backend.domain.outside import one_line
from backend.domain.rules.patterns import Pattern
from backend.domain.tasks import user_fields
from backend.errors import BadRequest, RuleError

MASKED = "[masked]"
CUT = " [cut]"
MAX_CHARACTERS = 20_000
"""Of each text; the rest is cut off, visibly."""
MAX_DEPTH = 20
"""Of nested values; what lies deeper is replaced by `CUT`."""

MAX_MASKS = 100
LIMIT_S = 3.0
"""Of computing that all masks take for one task: enough for a mail address in 20,000 characters without a blank."""
MAX_LATE = 3
"""Tasks for which the masks may take too long; after them, nothing of the other tasks is sent either."""


@dataclass(frozen=True, slots=True)
class Mask:
    """A regular expression of what must not leave."""

    written: str
    pattern: Pattern


class MaskTooSlow(Exception):
    """A mask takes too long for a task, of which nothing may be sent then."""

    def __init__(self, mask: str) -> None:
        super().__init__(f"the mask {mask!r} takes too long")
        self.mask = mask


@dataclass(frozen=True, slots=True)
class Content:
    """The content of one task as it is sent to an LLM.

    fields: by name, ready for JSON, masked and cut. images: addresses from the image fields. withheld: images that
    aren't sent because a mask matches their address. hash: sha256 in hex of fields and images, whatever the order of
    keys. too_slow: the mask that took too long, so that nothing is sent, and all else is empty; "" = none did.
    """

    fields: Mapping[str, object]
    images: tuple[str, ...] = ()
    withheld: int = 0
    hash: str = ""
    too_slow: str = ""

    def __repr__(self) -> str:
        # Task content must not end up in a log.
        return f"Content({self.hash[:8]})"


def compile_masks(patterns: Sequence[str]) -> tuple[Mask, ...]:
    """Regular expressions of what must not leave.

    Raises:
        BadRequest: one isn't a regular expression, or matches nothing at all (""), and so would mask between any two
            characters; the message names it. Or there are more than `MAX_MASKS`.
    """
    if len(patterns) > MAX_MASKS:
        raise BadRequest(f"there are {len(patterns)} masks; {MAX_MASKS} at most can be used. Join some with |.")
    masks = []
    for written in patterns:
        try:
            mask = Mask(written, Pattern(written, ignore_case=False))
            matches_nothing = mask.pattern.is_in("")
        except RuleError as error:
            raise BadRequest(f"a mask can't be used: {error}") from error
        if matches_nothing:
            raise BadRequest(f"the mask {one_line(written)!r} matches the empty text; write one that needs a character")
        masks.append(mask)
    return tuple(masks)


def content_of_each(
    rows: Iterable[Mapping[str, object]],
    fields: Iterable[str] | None,
    left_out: Collection[str],
    masks: Sequence[Mask],
    *,
    image_fields: Collection[str] = (),
    elsewhere: Collection[str] = (),
) -> list[Content]:
    """What is sent of each of some tasks, see `content_of`; nothing of a task for which a mask takes too long, nor of
    any that follows once that has happened `MAX_LATE` times."""
    named = None if fields is None else tuple(fields)
    found: list[Content] = []
    late: list[Content] = []
    for data in rows:
        if len(late) >= MAX_LATE:
            found.append(late[0])
            continue
        try:
            found.append(content_of(data, named, left_out, masks, image_fields=image_fields, elsewhere=elsewhere))
        except MaskTooSlow as error:
            late.append(Content({}, too_slow=error.mask))
            found.append(late[-1])
    return found


def content_of(
    data: Mapping[str, object],
    fields: Iterable[str] | None,
    left_out: Collection[str],
    masks: Sequence[Mask],
    *,
    image_fields: Collection[str] = (),
    elsewhere: Collection[str] = (),
    max_characters: int = MAX_CHARACTERS,
) -> Content:
    """What is sent of a task.

    Args:
        data: task data; our own `prelabel_` keys are never sent.
        fields: names of those that annotators see, in this order; None = all. Names that the task doesn't have are
            skipped.
        left_out: names of fields that are never sent, image fields included.
        masks: what they match is replaced by `MASKED` in all strings, also nested ones and keys. A number is replaced
            as a whole when its digits match. An image is not sent when its address matches (a `data:` address, which
            holds the image itself, isn't looked at).
        image_fields: names of fields with an address of an image, or a list of them.
        elsewhere: names of fields whose values aren't sent where they only say where something is stored: a model would
            guess from a name. See `fields_elsewhere`.
        max_characters: of each text, counted after masking.

    Raises:
        MaskTooSlow: the masks take more than `LIMIT_S` seconds for this task.
    """
    masker = _Masker(masks)
    own = user_fields(data)
    names = [name for name in (own if fields is None else dict.fromkeys(fields)) if name in own]
    sent: dict[str, object] = {}
    images: list[str] = []
    for name in names:
        if name in left_out:
            continue
        value = own[name]
        if name in image_fields:
            images += _addresses(value)
        elif not (name in elsewhere and is_elsewhere(value)):
            sent[_unicode(name)] = _clean(value, masker, max_characters)
    shown = tuple(image for image in images if image.startswith("data:") or not masker.spans(image))
    return Content(sent, shown, len(images) - len(shown), _hash(sent, shown))


def _addresses(value: object) -> list[str]:
    """Addresses in an image field; anything else in it is no image."""
    items = value if isinstance(value, list) else [value]
    return [_unicode(item) for item in items if isinstance(item, str) and item]


def _hash(fields: Mapping[str, object], images: Sequence[str]) -> str:
    canonical = json.dumps(
        {"fields": fields, "images": images}, sort_keys=True, ensure_ascii=False, separators=(",", ":")
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def _clean(value: object, masks: "_Masker", limit: int, depth: int = 0) -> object:
    """A value as JSON can hold it, masked and cut."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if isinstance(value, float) and not math.isfinite(value):
            return None
        # A phone number may be stored as a number.
        return MASKED if masks.spans(str(value)) else value
    if isinstance(value, Mapping | list | tuple) and depth >= MAX_DEPTH:
        return CUT.strip()
    if isinstance(value, Mapping):
        return _clean_mapping(value, masks, limit, depth)
    if isinstance(value, list | tuple):
        return [_clean(item, masks, limit, depth + 1) for item in value]
    return _clean_text(str(value), masks, limit)


def _clean_mapping(value: Mapping[object, object], masks: "_Masker", limit: int, depth: int) -> dict[str, object]:
    cleaned: dict[str, object] = {}
    for key, item in value.items():
        name = _clean_text(str(key), masks, limit)
        # Several keys may be masked alike; none is lost.
        unique, n = name, 1
        while unique in cleaned:
            n += 1
            unique = f"{name} {n}"
        cleaned[unique] = _clean(item, masks, limit, depth + 1)
    return cleaned


def _clean_text(text: str, masks: "_Masker", limit: int) -> str:
    # Masked before it is cut: a cut through what a mask matches would hide it from the mask.
    text = _unicode(text)
    pieces, end = [], 0
    for start, stop in masks.spans(text):
        pieces += [text[end:start], MASKED]
        end = stop
    masked = "".join([*pieces, text[end:]])
    return masked if len(masked) <= limit else masked[:limit] + CUT


class _Masker:
    """The masks at work on one task, with an end to the time that they take."""

    def __init__(self, masks: Sequence[Mask]) -> None:
        self._masks = masks
        # Its own time: a busy machine makes no mask slow.
        self._until = time.thread_time() + LIMIT_S

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where any mask matches a character or more, in order; overlapping ones as one. All masks see the text as it
        was, so their order doesn't matter. Raises MaskTooSlow."""
        found: list[tuple[int, int]] = []
        for mask in self._masks:
            try:
                # With no time left, what can be done with at once is done all the same.
                left_s = max(self._until - time.thread_time(), 0.001)
                found += [(start, stop) for start, stop in mask.pattern.spans(text, left_s) if stop > start]
            except RuleError:
                raise MaskTooSlow(mask.written) from None
        return _merged(sorted(found))


def _merged(found: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, stop in found:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged


def _unicode(text: str) -> str:
    """The text with half surrogate pairs, which no request can hold, replaced."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
