"""Label configs: made by a grammar of tags, and right ones that something happened to."""

from xml.sax.saxutils import quoteattr

from hypothesis import strategies as st

from tests.fuzz.strategies import mutated

names = st.one_of(
    st.sampled_from(
        ["sentiment", "topics", "stars", "kind", "a", "a=b", "a%3Db", "text", "A / B", "", " ", "ſ", "no", "1"]
    ),
    # What XML can hold at all.
    st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=8),
)
labels = st.one_of(
    st.sampled_from(["Positive", "Negative", "plot", "cast", "A", "B", "A / B", "yes", "no", "1"]), names
)
numbers = st.sampled_from(["1", "3", "0", "-1", "5.5", "x", "999999999", "99999999999", "²", "٣", ""])
flags = st.sampled_from(["true", "false", "TRUE", "1", "", "single", "multiple"])


def tag(name: str, attributes: dict[str, str], inside: str = "") -> str:
    """A tag with quoted attributes."""
    written = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{name}{written}>{inside}</{name}>"


def _attributes(**values: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, str]]:
    return st.fixed_dictionaries({}, optional=values)


choice_attributes = _attributes(value=labels, alias=labels, hint=names, selected=flags)
choices = st.recursive(
    choice_attributes.map(lambda given: tag("Choice", given)),
    lambda inner: st.builds(
        lambda name, given, parts: tag(name, given, "".join(parts)),
        st.sampled_from(["Choice", "Choice", "Choice", "View"]),
        choice_attributes,
        st.lists(inner, max_size=4),
    ),
    max_leaves=10,
)
control_attributes = st.builds(
    lambda always, some: always | some,
    st.fixed_dictionaries({"name": names, "toName": names}),
    _attributes(
        choice=flags,
        maxRating=numbers,
        maxUsages=numbers,
        leafsOnly=flags,
        perRegion=flags,
        perItem=flags,
        labeling=flags,
        apiUrl=names,
        value=st.sampled_from(["$text", "x", "$a.b", ""]),
    ),
)
controls = st.builds(
    lambda name, given, parts: tag(name, given, "".join(parts)),
    st.sampled_from(["Choices", "Choices", "Rating", "Taxonomy", "Labels", "TextArea", "Pairwise"]),
    control_attributes,
    st.lists(choices, max_size=5),
)
objects = st.builds(
    tag,
    st.sampled_from(["Text", "Image", "HyperText", "Audio", "Header", "Style"]),
    _attributes(
        name=names,
        value=st.sampled_from(["$text", "$image[0]", "$a.b", "text", "$", "$$"]),
        valueType=st.sampled_from(["url", "text"]),
    ),
)
configs = st.recursive(
    st.one_of(controls, objects),
    lambda inner: st.lists(inner, min_size=1, max_size=6).map(lambda parts: tag("View", {}, "".join(parts))),
    max_leaves=8,
).map(lambda inside: tag("View", {}, inside))

VALID = """<?xml version="1.0" encoding="utf-8"?>
<View><Header value="What is it?"/><Text name="text" value="$text"/><Image name="image" value="$image"/>
<Choices name="sentiment" toName="text"><Choice value="Positive"/>
<Choice value="Negative" alias="neg" hint="bad"/></Choices>
<Choices name="topics" toName="text" choice="multiple"><Choice value="plot"/><Choice value="cast"/></Choices>
<Rating name="stars" toName="text" maxRating="3"/><!-- stars -->
<Taxonomy name="kind" toName="text" leafsOnly="true"><Choice value="Film"><Choice value="Drama"/></Choice></Taxonomy>
<Labels name="entities" toName="text"><Label value="PER"/></Labels><![CDATA[x]]></View>"""
PIECES = (
    *(
        b"<View>",
        b"</View>",
        b"<Choice",
        b"/>",
        b'<Choices name="a" toName="b">',
        b"</Choices>",
        b"&amp;",
        b"&#0;",
        b"&#xd800;",
        b"&a;",
    ),
    *(
        b'<!DOCTYPE v [<!ENTITY a "b">]>',
        b'<!DOCTYPE v SYSTEM "file:///etc/passwd">',
        b"<?pi ?>",
        b"<![CDATA[",
        b"]]>",
        b"xmlns:a='b'",
    ),
    *(
        b"<!--",
        b"-->",
        b'encoding="utf-16"',
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b"<Choice value='x'>" * 60,
        b'maxRating="9999999999999999999"',
    ),
    *(b'choice="multiple"', b'maxUsages="1"', b'value="$a"', b"<Rating", b"<Taxonomy", b'name="sentiment"'),
)
broken_configs = mutated(VALID.encode(), PIECES).map(lambda text: text.decode("utf-8", "surrogateescape"))
any_config = st.one_of(configs, broken_configs, st.text(st.characters(exclude_categories=()), max_size=40))
