"""Label configs: which questions are found in them, and what is left empty, with which reason."""

import pytest

from backend.adapters.label_studio.config import parse_label_config
from backend.errors import BadRequest
from tests.unit.test_label_studio_json import CONFIG, questions


def test_finds_every_question_it_can_answer_in_order() -> None:
    assert list(questions()) == ["topic", "stars", "kind", "tone"]
    assert questions()["topic"].labels == ("ap", "Sport")
    assert questions()["topic"].multiple
    assert questions()["stars"].labels == ("1", "2", "3", "4")
    assert questions()["kind"].labels == ("Animal", "Animal / Cat", "Plant")
    assert not questions()["tone"].multiple


@pytest.mark.parametrize("top", ["abc", "-3", "1.5", "0", "²", "9" * 5000])
def test_a_rating_without_a_usable_top_is_left_empty(top: str) -> None:
    config = parse_label_config(f'<View><Rating name="r" toName="t" maxRating="{top}"/></View>')
    assert config.questions == ()
    assert "maxRating" in config.unsupported["r"]


def test_names_what_it_leaves_empty_with_a_reason() -> None:
    assert set(parse_label_config(CONFIG).unsupported) == {"dynamic", "each", "entities", "why"}
    assert "<HyperText>" in parse_label_config(CONFIG).unsupported["entities"]


@pytest.mark.parametrize(
    "control",
    [
        '<Choices name="c" toName="t" perItem="true"><Choice value="a"/></Choices>',
        '<Taxonomy name="c" toName="t" labeling="true"><Choice value="a"/></Taxonomy>',
        '<Choices name="c" toName="t"><Choice value="a"/><Choice value="a"/></Choices>',
        '<Choices name="c" toName="t"><Choice value="$field"/><Choice value="a"/></Choices>',
        '<Choices name="c" toName="t"><Choice value="costs $5"/><Choice value="a"/></Choices>',
    ],
)
def test_a_control_we_would_answer_wrongly_is_left_empty(control: str) -> None:
    config = parse_label_config(f"<View>{control}</View>")
    assert config.questions == ()
    assert config.unsupported["c"]


@pytest.mark.parametrize("xml", ["", "<View>", "not xml", '<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>'])
def test_a_broken_config_is_explained(xml: str) -> None:
    with pytest.raises(BadRequest, match="label config"):
        parse_label_config(xml)


def test_tells_what_annotators_see_of_a_task_and_of_the_labels() -> None:
    config = parse_label_config("""<View>
      <Header value="By $author.name in $year, at $$5"/>
      <Text name="text" value="$text"/><Image name="photo" value="$photo"/><Audio name="sound" value="$sound"/>
      <Text name="page" value="$page" valueType="url"/>
      <Choices name="tone" toName="text"><Choice value="Warm words" alias="warm" hint="praise, thanks"/>
        <Choice value="Cold" hint="blame"/><Choice value="None"/></Choices>
      <Choices name="dynamic" toName="text" value="$options"/>
    </View>""")
    assert config.shown.texts == ("author", "year", "text")
    assert config.shown.images == ("photo",)
    assert config.shown.other == {"sound": "Audio", "page": "Text"}
    assert config.meanings["tone"] == {"warm": "Warm words: praise, thanks", "Cold": "blame"}


def nested(depth: int, tag: str = '<Choice value="a">') -> str:
    return f'<View><Taxonomy name="kind" toName="t">{tag * depth}{"</Choice>" * depth}</Taxonomy></View>'


@pytest.mark.parametrize("depth", [60, 3000, 200_000])
def test_a_label_config_that_is_nested_too_deeply_is_refused(depth: int) -> None:
    with pytest.raises(BadRequest, match="nested more than 50 deep"):
        parse_label_config(nested(depth))


def test_a_taxonomy_of_forty_levels_is_read() -> None:
    (question,) = parse_label_config(nested(40)).questions
    assert len(question.labels) == 40


def test_a_label_config_with_too_many_tags_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(BadRequest, match="more than 10,010 tags"):
        parse_label_config("<View>" + "<a/>" * 1_000_000 + "</View>", max_labels=10)


@pytest.mark.parametrize(
    "xml",
    [
        '<!DOCTYPE v [<!ENTITY a "tortoise">]><View>&a;</View>',
        '<!DOCTYPE v [<!ENTITY a "tortoise"><!ENTITY b "&a;&a;&a;">]><View>&b;</View>',
        '<!DOCTYPE v [<!ENTITY % a SYSTEM "file:///tortoise">%a;]><View/>',
        '<!DOCTYPE v SYSTEM "http://tortoise/x"><View>&a;</View>',
        "<View>&a;</View>",
        "<View>\ud800</View>",
        "<View>\x00</View>",
        '<View a="1" a="2"/>',
        "",
        "\ufeff",
        '<?xml version="1.0" encoding="utf-7',
    ],
)
def test_a_label_config_that_is_no_plain_xml_is_refused_without_its_declarations(xml: str) -> None:
    with pytest.raises(BadRequest, match="The label config can't be used") as refused:
        parse_label_config(xml)
    assert "tortoise" not in str(refused.value)


def test_controls_with_one_name_are_left_empty() -> None:
    choices = '<Choices name="a" toName="t"><Choice value="x"/><Choice value="y"/></Choices>'
    config = parse_label_config(f'<View>{choices}<Rating name="a" toName="t"/><Rating name="b" toName="t"/></View>')
    assert [question.name for question in config.questions] == ["b"]
    assert "rename" in config.unsupported["a"]


@pytest.mark.parametrize(
    "choices",
    [
        '<Choice value="A / B"/><Choice value="A"><Choice value="B"/></Choice>',
        '<Choice value="A"><Choice value="B / C"/></Choice><Choice value="A / B"><Choice value="C"/></Choice>',
    ],
)
def test_a_taxonomy_in_which_two_paths_read_alike_is_left_empty(choices: str) -> None:
    config = parse_label_config(f'<View><Taxonomy name="kind" toName="t">{choices}</Taxonomy></View>')
    assert "same name" in config.unsupported["kind"]


@pytest.mark.parametrize("choices", ['<View><Choice value="A"/></View>', '<Choice><Choice value="A"/></Choice>'])
def test_a_taxonomy_whose_labels_have_no_path_is_left_empty(choices: str) -> None:
    config = parse_label_config(f'<View><Taxonomy name="kind" toName="t">{choices}</Taxonomy></View>')
    assert config.unsupported == {"kind": "it has no labels"}


def test_more_exclusive_labels_than_a_vote_can_name_are_left_empty() -> None:
    choices = "".join(f'<Choice value="{number}"/>' for number in range(32_768))
    for attributes, known in (('choice="multiple"', True), ("", False)):
        config = parse_label_config(f'<View><Choices name="code" toName="t" {attributes}>{choices}</Choices></View>')
        assert bool(config.questions) is known
    assert "32,767" in config.unsupported["code"]


def test_a_long_name_above_many_labels_is_not_copied_for_each_of_them() -> None:
    leaves = "".join(f'<Choice value="{number}"/>' for number in range(1000))
    above = f'<Choice value="{"x" * 1_000_000}">{leaves}</Choice>'
    config = parse_label_config(f'<View><Taxonomy name="kind" toName="t">{above}</Taxonomy></View>')
    assert "characters" in config.unsupported["kind"]
