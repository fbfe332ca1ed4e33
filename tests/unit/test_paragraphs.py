"""ParagraphLabels: from the label config and Label Studio's results to spans and back, to the character."""

from pathlib import Path

import pytest

from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.json import format_result, parse_answers
from backend.domain.questions import Paragraphs, from_dict, to_dict
from backend.domain.questions.marks import mark_in, readable
from backend.domain.questions.paragraphs import BETWEEN
from backend.domain.spans.text import Span
from backend.domain.suggestions import Suggestion
from backend.ports import SuspectStatus
from backend.workflows.check.search import check
from tests.unit.house import House, nothing

CONFIG = """<View><ParagraphLabels name="ner" toName="talk"><Label value="PER"/><Label value="ORG"/></ParagraphLabels>
<Paragraphs name="talk" value="$talk" layout="dialogue" nameKey="who" textKey="said"/></View>"""
TALK = [
    {"who": "A", "said": "\U0001f600\U0001f600 Ann,\r\nhi"},
    {"who": "B", "said": ""},
    {"who": "A", "said": "e\u0301ric of \U0001f468\u200d\U0001f469 Acme"},
]
DATA: dict[str, object] = {"talk": TALK}


def asked() -> Paragraphs:
    (question,) = parse_label_config(CONFIG).spans
    assert isinstance(question, Paragraphs)
    return question


def region(start: object, end: object, first: object, last: object, text: str = "") -> dict[str, object]:
    value = {"start": start, "end": end, "startOffset": first, "endOffset": last, "paragraphlabels": ["PER"]}
    return {"from_name": "ner", "to_name": "talk", "type": "paragraphlabels", "value": value | {"text": text}}


def test_the_config_says_where_the_texts_are() -> None:
    question = asked()
    assert question == Paragraphs("ner", "talk", ("PER", "ORG"), field="talk", text_key="said")
    assert from_dict(to_dict(question)) == question
    assert question.text(DATA) == BETWEEN.join(item["said"] for item in TALK)
    for odd in ({"talk": "x"}, {"talk": [{"who": "A"}]}, {"talk": [{"said": f"a{BETWEEN}b"}]}, {}):
        assert question.text(odd) == ""


def test_places_are_utterances_and_utf16_units_and_back() -> None:
    question = asked()
    text = question.text(DATA)
    for name, place in {"Ann": ("0", 5, 8), "e\u0301ric": ("2", 0, 5), "Acme": ("2", 15, 19)}.items():
        start = text.index(name)
        answer, scores = question.answer_of({(start, start + len(name), "PER"): 0.9}, text)
        (item,) = format_result(Suggestion({"ner": answer}, scores={"ner": scores}), [question])
        value = item["value"]
        assert (item["type"], value["start"], value["end"]) == ("paragraphlabels", place[0], place[0])
        assert (value["startOffset"], value["endOffset"], value["text"]) == (*place[1:], name)
        assert parse_answers([item]) == {"ner": answer}
        assert [mark[:3] for mark in question.marks(answer, DATA)] == [(start, start + len(name), "PER")]
    assert question.place(text, len(text)) == question.place(text, text.index("Acme") + 4)


def test_a_span_over_several_utterances_is_read_and_written_alike() -> None:
    question, text = asked(), asked().text(DATA)
    (mark,) = question.marks(parse_answers([region("0", "2", 5, 5)])["ner"], DATA)
    assert (mark.start, mark.end) == (text.index("Ann"), text.index("e\u0301ric") + 5)
    written = mark_in(question.mark_at(text, Span(mark.start, mark.end, "PER")))
    assert written is not None
    assert written.start < written.end


@pytest.mark.parametrize(
    "item",
    [
        region("0", "0", 1, 3),
        region("0", "0", 0, 99),
        region("7", "7", 0, 1),
        region("0", "0", 3, 3),
        region("0", "0", None, 3),
        region("x", "0", 0, 3),
        region("0", "0", 5, 8, text="Bob"),
    ],
)
def test_what_cant_be_placed_is_left_out_and_counted(item: dict[str, object]) -> None:
    question = asked()
    answer = parse_answers([item, region("0", "0", 5, 8, text="Ann")])["ner"]
    assert [mark.text for mark in question.marks(answer, DATA)] == ["Ann"]
    assert len(question.lost(answer, DATA)) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("<Paragraphs ", "<Text "), "spans in <Text>"),
        (('value="$talk"', 'value="$talk" valueType="url"'), "URL"),
        (('value="$talk"', 'value="talk"'), "one field"),
    ],
)
def test_what_cant_be_marked_is_left_empty_with_a_reason(change: tuple[str, str], reason: str) -> None:
    found = parse_label_config(CONFIG.replace(*change))
    assert found.spans == ()
    assert reason in found.unsupported["ner"]


def test_dialogues_are_marked_learned_and_checked(tmp_path: Path) -> None:
    names = ("Ann", "Bob", "Eve", "Tom", "Kim")
    talks: list[dict[str, object]] = [
        {
            "talk": [
                {"who": "A", "said": "\U0001f600 hello"},
                {"who": "B", "said": f"\U0001f600 I am {names[n % 5]} no {n}"},
            ]
        }
        for n in range(40)
    ]
    team = House(tmp_path)
    (tmp_path / "rules" / "film.py").unlink(missing_ok=True)
    rule = "{name: am, type: regex, field: talk, pattern: 'I am (?P<span>\\w+)', vote: PER}"
    (tmp_path / "rules" / "ner.yaml").write_text(f"question: ner\nrules:\n  - {rule}\n")
    team.project = team.label_studio.add_project(CONFIG, talks)
    team.key = f"{team.project}.1767225600-aaaaaaaa"
    question = asked()
    for number, task_id in enumerate(team.task_ids[:20]):
        text = question.text(team.fake.tasks[task_id].task.data)
        start = text.index(names[number % 5])
        answer, _ = question.answer_of({(start, start + 3, "PER"): 1.0}, text)
        team.label_studio.annotate(team.project, task_id, {"ner": () if number == 7 else answer})
    team.learn()
    (item,) = team.fake.predictions[team.task_ids[-1]]
    (region_marked,) = item.result
    assert (region_marked["value"]["start"], region_marked["value"]["text"]) == ("1", "Kim")
    check(team.deps, team.key, nothing)
    (found,) = [item for item in team.deps.database.suspects(team.key) if item.task_id == team.task_ids[7]]
    assert found.status is SuspectStatus.OPEN
    assert readable(found.expected) == "PER 'Eve' (1:8-1:11)"
    missing = found.expected
    team.label_studio.annotate(team.project, team.task_ids[7], {"ner": missing})
    team.reconcile()
    (found,) = [item for item in team.deps.database.suspects(team.key) if item.task_id == team.task_ids[7]]
    assert found.status is SuspectStatus.FIXED


@pytest.mark.parametrize(
    ("said", "saved"),
    [
        ("am\r\nBob x", "ob "),
        ("am\nBob x", "Bob"),
        ("am\r\n\tBob x", "b x"),
        ("am  Bob x", "ob "),
        ("\U0001f600 Bob x", "Bob"),
        (" am \n\n Bob x", "x"),
    ],
)
def test_a_mark_keeps_its_place_whatever_label_studio_makes_of_its_text(said: str, saved: str) -> None:
    """What Label Studio 1.23.2 saved, in a browser, of a mark on Bob that it had shown in the right place."""
    question, data = asked(), {"talk": [{"who": "A", "said": said}]}
    start = said.index("Bob")
    units = len(said[:start].encode("utf-16-le")) // 2
    (answer,) = parse_answers([region("0", "0", units, units + 3, saved)]).values()
    assert question.lost(answer, data) == ()
    assert [mark[:4] for mark in question.marks(answer, data)] == [(start, start + 3, "PER", "Bob")]
    (other,) = parse_answers([region("0", "0", units, units + 3, "Eve")]).values()
    assert question.lost(other, data) == other
