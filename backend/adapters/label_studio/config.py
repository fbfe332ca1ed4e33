"""Label configs: what is asked in a project, out of Label Studio's XML. No I/O.

As its editor does, tags and names of attributes are read in any case, and values in theirs.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape
from xml.etree.ElementTree import Element

from backend.adapters.label_studio.visible_when import Hidden, conditions
from backend.adapters.label_studio.xml_text import read_xml
from backend.domain.nesting import Path, choosable, joined
from backend.domain.questions import Kind, Question
from backend.errors import BadRequest
from backend.ports import LabelConfig, Shown

DEFAULT_MAX_RATING = 5
"""Label Studio's default for `<Rating maxRating>`."""
MAX_RATING = 100
"""Each value becomes a label, so there has to be an end; no screen shows more stars."""
MAX_DIGITS = 10
"""More of them are no number of stars, and int() takes long for thousands."""

FIELD = re.compile(r"\$([^\W\d]\w*)")
"""A field of task data in an attribute of a label config; of `$a.b` and `$a[0]`, the field is a."""
FROM_DATA = re.compile(r"\$[A-Za-z0-9_\[\].{}]")
"""What Label Studio replaces in a choice's value by data of the task, "$5" too."""
MEDIA = {"audio", "audioplus", "video", "timeseries", "pdf", "chat", "reactcode"}
"""Object tags whose content can't be read as text."""
MAX_LABELS = 100_000
"""Classification codes of medicine are 70,000; more is rather a mistake."""
MAX_OTHER_TAGS = 10_000
"""Tags of a label config besides those of labels."""
MAX_LABEL_CHARS = 20_000_000
"""Of all labels of a control together. A taxonomy's are whole paths: a long name counts once for each path it is in."""
MAX_EXCLUSIVE = 32_767
"""Labels of a control that takes one answer: a vote is a 16-bit number."""


@dataclass(frozen=True, slots=True)
class _Control:
    """A control tag with what stands around it, the outermost tag first."""

    name: str
    to_name: str
    element: Element
    around: tuple[Element, ...]


def parse_label_config(xml: str, max_labels: int = MAX_LABELS) -> LabelConfig:
    """Find the questions of a label config: every Choices, Rating and Taxonomy whose labels it lists.

    Raises:
        BadRequest: the XML can't be parsed, is nested too deeply, or has more than `max_labels` labels.
    """
    try:
        root = read_xml(xml, max_labels + MAX_OTHER_TAGS)
    except BadRequest as error:
        raise BadRequest(f"The label config can't be used: {error}. Correct it in the project's settings.") from error
    for element in root.iter():
        element.attrib = {name.lower(): value for name, value in element.attrib.items()}
    unsupported: dict[str, str] = {}
    asked: dict[str, tuple[Question, _Control]] = {}
    n_labels = 0
    for control in _controls(root, unsupported):
        reason = _why_unsupported(control)
        if reason:
            unsupported[control.name] = reason
            continue
        question = _question(control)
        asked[question.name] = question, control
        n_labels += len(question.labels)
        if n_labels > max_labels:
            raise BadRequest(f"The label config has more than {max_labels:,} labels. List fewer, or raise MAX_LABELS.")
    questions = _with_conditions(asked, unsupported)
    meanings = {item.name: _meanings(asked[item.name][1].element) for item in questions}
    return LabelConfig(questions, unsupported, _shown(root), meanings)


def _controls(root: Element, unsupported: dict[str, str]) -> list[_Control]:
    """All controls; of several with one name none, as an answer could be of any of them."""
    found: dict[str, list[_Control]] = {}
    for element, around in _walk(root, ()):
        name, to_name = element.get("name"), element.get("toname")
        if name and to_name:
            found.setdefault(name, []).append(_Control(name, to_name.split(",")[0].strip(), element, around))
    for name, several in found.items():
        if len(several) > 1:
            unsupported[name] = "several controls have this name: rename all but one"
    return [of_name[0] for of_name in found.values() if len(of_name) == 1]


def _walk(element: Element, around: tuple[Element, ...]) -> Iterator[tuple[Element, tuple[Element, ...]]]:
    yield element, around
    for child in element:
        yield from _walk(child, (*around, element))


def _is(element: Element, *tags: str) -> bool:
    return element.tag.lower() in tags


def _says(element: Element, attribute: str) -> bool:
    return element.get(attribute, "").lower() == "true"


def _with_conditions(
    asked: Mapping[str, tuple[Question, _Control]], unsupported: dict[str, str]
) -> tuple[Question, ...]:
    """The questions with what shows them, but for those that nothing shows which we could answer."""
    left = {name: question for name, (question, _) in asked.items()}
    while True:
        deciders = {name: (question, nodes(asked[name][1].element)) for name, question in left.items()}
        gone: dict[str, str] = {}
        found = []
        for name, question in left.items():
            control = asked[name][1]
            try:
                shown_when = conditions(name, control.element, control.around, deciders)
                found.append(replace(question, shown_when=shown_when))
            except Hidden as reason:
                gone[name] = str(reason)
        if not gone:
            return tuple(found)
        unsupported |= gone
        left = {name: question for name, question in left.items() if name not in gone}


def _shown(root: Element) -> Shown:
    """The fields of task data that a label config shows, by what they are shown as."""
    texts: dict[str, None] = {}
    images: dict[str, None] = {}
    other: dict[str, str] = {}
    for element in root.iter():
        if element.get("toname"):
            # A control: what it reads of the data are labels, not the task.
            continue
        for attribute in ("value", "valuelist", "content"):
            for field in FIELD.findall(element.get(attribute) or ""):
                if _is(element, "image"):
                    images[field] = None
                elif _is(element, *MEDIA) or element.get("valuetype") == "url":
                    other[field] = element.tag
                else:
                    texts[field] = None
    return Shown(tuple(texts), tuple(images), other)


def _meanings(element: Element) -> dict[str, str]:
    """What annotators read of each label besides its name: what it is shown as, where it has an alias, and its hint."""
    found: dict[str, str] = {}
    for path, choice in nodes(element):
        said = [part for part in (shown_as(choice) if choice.get("alias") else "", choice.get("hint")) if part]
        if said:
            found[joined(path)] = ": ".join(said)
    return found


def _why_unsupported(control: _Control) -> str:
    element = control.element
    if not _is(element, "choices", "rating", "taxonomy"):
        return f"<{element.tag}> can't be suggested yet"
    if any(_is(outer, "repeater") for outer in control.around):
        return "a question that is repeated for each item of the task's data can't be suggested yet"
    if _says(element, "perregion"):
        return "an answer for each region can't be suggested yet"
    if _says(element, "peritem"):
        return "an answer for each item can't be suggested yet"
    if _is(element, "taxonomy") and _says(element, "labeling"):
        return "a taxonomy that labels regions can't be suggested yet"
    if element.get("value", "").startswith("$") or _has_labels_from_data(element):
        return "labels that come from the task's data can't be suggested yet"
    if element.get("apiurl"):
        return "labels that come from a URL can't be suggested yet"
    if _is(element, "rating"):
        return "" if _max_rating(element) else f"maxRating {element.get('maxrating')!r} is not a number from 1"
    return _why_unsuitable(element)


def _has_labels_from_data(element: Element) -> bool:
    """Of a taxonomy, Label Studio takes a "$" as it is."""
    return _is(element, "choices") and any(
        FROM_DATA.search(part) for path, choice in nodes(element) if not choice.get("alias") for part in path[-1:]
    )


def _why_unsuitable(element: Element) -> str:
    """Why the labels that a control lists can't be suggested; "" when they can."""
    paths = _paths(element)
    if not paths:
        return "it has no labels"
    if sum(len(part) for path in paths for part in path) > MAX_LABEL_CHARS:
        return f"its labels have more than {MAX_LABEL_CHARS:,} characters together"
    if len({joined(path) for path in paths}) < len(paths):
        return "several of its labels have the same name, so an answer could mean any of them"
    if not _is_multiple(element) and len(paths) > MAX_EXCLUSIVE:
        return f"it has more than {MAX_EXCLUSIVE:,} labels, and a person can choose only one of them"
    return ""


def _max_rating(element: Element) -> int:
    """Number of stars; 0 when the attribute isn't a number."""
    text = element.get("maxrating") or str(DEFAULT_MAX_RATING)
    return min(int(text), MAX_RATING) if text.isdecimal() and len(text) < MAX_DIGITS else 0


def _question(control: _Control) -> Question:
    element = control.element
    if _is(element, "rating"):
        stars = range(1, _max_rating(element) + 1)
        return Question(control.name, control.to_name, Kind.RATING, tuple(str(value) for value in stars))
    kind, paths = Kind(element.tag.lower()), _paths(element)
    labels = tuple(joined(path) for path in paths)
    saves_paths = kind is Kind.TAXONOMY or _says(element, "allownested")
    return Question(
        control.name, control.to_name, kind, labels, _is_multiple(element), tuple(paths) if saves_paths else ()
    )


def _is_multiple(element: Element) -> bool:
    if _is(element, "taxonomy"):
        return element.get("maxusages") != "1"
    return element.get("choice", "single") == "multiple"


def _paths(element: Element) -> list[Path]:
    """What can be chosen in a control, in the order of the config, each with the choices above it.

    Choices show those within others only with `allowNested`. A taxonomy has each path once.
    """
    found = [(path, any(_is(child, "choice") for child in choice)) for path, choice in nodes(element)]
    if _is(element, "taxonomy"):
        leafs_only = _says(element, "leafsonly")
        return list(dict.fromkeys(path for path, has_more in found if not (has_more and leafs_only)))
    if not _says(element, "allownested"):
        return [path for path, _ in found if len(path) == 1]
    leaves = [path for path, has_more in found if not has_more]
    if len({joined(path) for path, _ in found}) < len(found):
        # Two that read alike: let the caller see it.
        return [path for path, _ in found]
    return choosable(leaves, multiple=_is_multiple(element))


def nodes(element: Element) -> list[tuple[Path, Element]]:
    """All choices of a control with their paths, top to bottom; one without a name, and those within it, are left out.

    Those of Choices may lie in other tags, which group them on the screen; those of a taxonomy can't.
    """
    return list(_nodes(element, (), grouped=_is(element, "choices")))


def _nodes(element: Element, above: Path, *, grouped: bool) -> Iterator[tuple[Path, Element]]:
    for child in element:
        if _is(child, "choice"):
            name = child.get("alias") or shown_as(child)
            if name:
                yield (*above, name), child
                yield from _nodes(child, (*above, name), grouped=False)
        elif grouped:
            yield from _nodes(child, above, grouped=True)


def shown_as(choice: Element) -> str:
    """What annotators read of a choice: what stands in the tag comes before its value."""
    text = "" if len(choice) else escape((choice.text or "").strip(), quote=False)
    return text or choice.get("value") or ""
