"""Label configs: what is asked in a project, out of Label Studio's XML. No I/O.

As its editor does, tags and names of attributes are read in any case, and values in theirs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from xml.etree.ElementTree import Element

from backend.adapters.label_studio.controls import CONTROLS
from backend.adapters.label_studio.controls.tags import FIELD, ControlTag, is_tag, meanings, nodes, says
from backend.adapters.label_studio.visible_when import Hidden, conditions
from backend.adapters.label_studio.xml_text import read_xml
from backend.domain.label_config import LabelConfig, ShownFields
from backend.domain.questions import Question, learned_by
from backend.errors import BadRequest

MEDIA = {"audio", "audioplus", "video", "timeseries", "pdf", "chat", "reactcode"}
"""Object tags whose content can't be read as text."""
MAX_LABELS = 100_000
"""Classification codes of medicine are 70,000; more is rather a mistake."""
MAX_OTHER_TAGS = 10_000
"""Tags of a label config besides those of labels."""

UNLISTED = "what can be answered isn't listed: it is suggested once people have given two different answers"


def parse_label_config(xml: str, max_labels: int = MAX_LABELS) -> LabelConfig:
    """Find the questions of a label config: every control that we can answer, see `CONTROLS`.

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
    asked: dict[str, tuple[Question, ControlTag]] = {}
    n_labels = 0
    for control in _controls(root, unsupported):
        reason = _why_unsupported(control)
        if reason:
            unsupported[control.name] = reason
            continue
        question = CONTROLS[control.element.tag.lower()].question(control)
        asked[question.name] = question, control
        n_labels += len(question.labels)
        if n_labels > max_labels:
            raise BadRequest(f"The label config has more than {max_labels:,} labels. List fewer, or raise MAX_LABELS.")
    decided, spans = learned_by(question for question, _ in asked.values())
    every = _with_conditions({item.name: asked[item.name] for item in decided}, unsupported)
    told = {item.name: meanings(asked[item.name][1].element) for item in every}
    unlisted = tuple(item for item in every if item.is_unlisted)
    unsupported |= dict.fromkeys((item.name for item in unlisted), UNLISTED)
    questions = tuple(item for item in every if not item.is_unlisted)
    return LabelConfig(questions, unsupported, _shown(root), told, unlisted, spans)


def _controls(root: Element, unsupported: dict[str, str]) -> list[ControlTag]:
    """All controls; of several with one name none, as an answer could be of any of them."""
    found: dict[str, list[ControlTag]] = {}
    for element, around in _walk(root, ()):
        name, to_name = element.get("name"), element.get("toname")
        if name and to_name:
            found.setdefault(name, []).append(ControlTag(name, to_name.split(",")[0].strip(), element, around))
    for name, several in found.items():
        if len(several) > 1:
            unsupported[name] = "several controls have this name: rename all but one"
    return [of_name[0] for of_name in found.values() if len(of_name) == 1]


def _walk(element: Element, around: tuple[Element, ...]) -> Iterator[tuple[Element, tuple[Element, ...]]]:
    yield element, around
    for child in element:
        yield from _walk(child, (*around, element))


def _with_conditions(
    asked: Mapping[str, tuple[Question, ControlTag]], unsupported: dict[str, str]
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


def _shown(root: Element) -> ShownFields:
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
                if is_tag(element, "image"):
                    images[field] = None
                elif is_tag(element, *MEDIA) or element.get("valuetype") == "url":
                    other[field] = element.tag
                else:
                    texts[field] = None
    return ShownFields(tuple(texts), tuple(images), other)


def _why_unsupported(tag: ControlTag) -> str:
    control = CONTROLS.get(tag.element.tag.lower())
    if control is None:
        return f"<{tag.element.tag}> can't be suggested yet"
    if any(is_tag(outer, "repeater") for outer in tag.around):
        return "a question that is repeated for each item of the task's data can't be suggested yet"
    if says(tag.element, "perregion"):
        return "an answer for each region can't be suggested yet"
    if says(tag.element, "peritem"):
        return "an answer for each item can't be suggested yet"
    return control.why_unsupported(tag)
