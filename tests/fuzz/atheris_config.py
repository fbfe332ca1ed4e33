"""Fuzz the parser of label configs, guided by the branches that an input reaches::

    python -m tests.fuzz.atheris_config -runs=1000000

takes any option of libFuzzer. It stops at the first input that makes the parser raise anything but its own error.
"""

import sys
from xml.sax.saxutils import quoteattr

import atheris

from backend.errors import BadRequest

INSTRUMENTED = ["backend.adapters.label_studio.json", "backend.adapters.label_studio.xml_text"]
with atheris.instrument_imports(include=INSTRUMENTED):
    from backend.adapters.label_studio.config import parse_label_config

SEEDS = (
    '<View><Choices name="a" toName="t" choice="multiple"><Choice value="x" alias="z"/><Choice/></Choices></View>',
    '<View><Text name="t" value="$text"/><Rating name="r" toName="t" maxRating="3"/></View>',
    '<View><Taxonomy name="k" toName="t" leafsOnly="true"><Choice value="F"><Choice/></Choice></Taxonomy></View>',
)
TAGS = ("Choices", "Choice", "Choice", "Taxonomy", "Rating", "Labels", "Text", "Image", "View")
NAMES = ("value", "alias", "hint", "maxRating", "maxUsages", "choice", "leafsOnly", "perRegion", "apiUrl", "valueType")
VALUES = ("x", "y", "x / y", "x", "1", "0", "99999999999", "true", "multiple", "single", "url", "$text", "$a.b", "")


def assembled(data: atheris.FuzzedDataProvider) -> str:
    """A label config of known words: random bytes are hardly ever XML."""
    parts: list[str] = []
    opened: list[str] = []
    while data.remaining_bytes():
        if opened and data.ConsumeIntInRange(0, 2) == 0:
            parts.append(f"</{opened.pop()}>")
            continue
        opened.append(TAGS[data.ConsumeIntInRange(0, len(TAGS) - 1)])
        given = {NAMES[place % len(NAMES)]: VALUES[place % len(VALUES)] for place in data.ConsumeBytes(2)}
        if opened[-1] not in {"Choice", "View"}:
            given |= {"name": VALUES[data.ConsumeIntInRange(0, len(VALUES) - 1)], "toName": "t,u"}
        written = " ".join(f"{name}={quoteattr(value)}" for name, value in given.items())
        parts.append(f"<{opened[-1]} {written}>")
    return f"<View>{''.join(parts)}{''.join(f'</{tag}>' for tag in reversed(opened))}</View>"


def try_one(raw: bytes) -> None:
    """Parse one input: as text, as a part of a right config, or as a plan of one."""
    data = atheris.FuzzedDataProvider(raw)
    way = data.ConsumeIntInRange(0, 3)
    if way == 0:
        xml = data.ConsumeUnicode(400)
    elif way == 1:
        seed = SEEDS[data.ConsumeIntInRange(0, len(SEEDS) - 1)]
        at = data.ConsumeIntInRange(0, len(seed))
        xml = seed[:at] + data.ConsumeUnicode(200) + seed[at + data.ConsumeIntInRange(0, 10) :]
    else:
        xml = assembled(data)
    try:
        parse_label_config(xml)
    except BadRequest:
        return


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()
