"""`visibleWhen`: what the answer to another question has to be, so that Label Studio shows a control.

Judged by the form as it opens with our suggestions in it: what we don't answer isn't chosen, and no region is selected.
"""

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from backend.adapters.label_studio.controls import CONTROLS
from backend.domain.nesting import Path
from backend.domain.questions import Condition, Question

Decider = tuple[Question, Sequence[tuple[Path, Element]]]
"""A question, and all its choices with their paths, top to bottom."""


class Hidden(Exception):
    """No suggestion of ours shows the control; says why."""


def conditions(
    name: str, element: Element, around: Sequence[Element], deciders: Mapping[str, Decider]
) -> tuple[Condition, ...]:
    """What has to hold so that a control is shown.

    Args:
        name: the control's.
        element: its tag.
        around: the tags that it lies in.
        deciders: what we answer, by name.

    Raises:
        Hidden: it can't come true by what we answer.
    """
    found = [
        _of_tag(name, tag, deciders, own=tag is element)
        for tag in (*around, element)
        if tag.tag.lower() == "view" or (tag is element and CONTROLS[tag.tag.lower()].hides)
    ]
    return tuple(dict.fromkeys(item for item in found if item is not None))


def _of_tag(name: str, tag: Element, deciders: Mapping[str, Decider], *, own: bool) -> Condition | None:
    """What a tag asks for; None: nothing, or what is always so."""
    when, value = tag.get("visiblewhen"), tag.get("whenchoicevalue") or ""
    if when == "region-selected":
        raise Hidden("it is shown only while a region is selected, and an answer would be saved unseen")
    if not when:
        # Label Studio looks for the whole text in any Choices.
        return _of_any(name, [value], deciders) if value else None
    if when not in {"choice-selected", "choice-unselected"}:
        return None
    asked = tag.get("whentagname")
    try:
        values = value.split(",") if value else []
        # Without a name, only what is saved depends on the values, and only on those of the control itself.
        found = _of_one(asked, values, deciders) if asked else _of_any(name, values if own else [], deciders)
    except Hidden:
        if when == "choice-selected":
            raise
        return None
    return found if when == "choice-selected" else Condition(found.question, found.groups, chosen=False)


def _of_any(name: str, values: Sequence[str], deciders: Mapping[str, Decider]) -> Condition:
    condition = Condition("", tuple((value,) for value in values))
    if not any(question.is_meant_by(condition) and other != name for other, (question, _) in deciders.items()):
        named = f" {','.join(values)!r}, which is no path, as" if values else ""
        raise Hidden(f"it is shown only after{named} an answer to other Choices, of which none can be suggested")
    return condition


def _of_one(asked: str, values: Sequence[str], deciders: Mapping[str, Decider]) -> Condition:
    if asked not in deciders or not deciders[asked][1]:
        raise Hidden(f"it is shown only after an answer to {asked!r}, which isn't suggested")
    question, choices = deciders[asked]
    groups = [group for value in values for group in _groups(question, choices, value)]
    if values and not groups:
        raise Hidden(f"it is shown only for {','.join(values)!r}, which nobody can choose in {asked!r}")
    return Condition(asked, tuple(dict.fromkeys(groups)))


def _groups(question: Question, choices: Sequence[tuple[Path, Element]], value: str) -> list[tuple[str, ...]]:
    """Sets of labels: where all of one are chosen, so is the first choice with that value or alias."""
    path = next((path for path, tag in choices if value in (tag.get("alias"), tag.get("value"))), None)
    if path is None:
        return []
    return question.groups_at(path)
