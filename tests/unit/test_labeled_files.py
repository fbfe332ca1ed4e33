"""Files as people have them: each label is read as what it is, and what isn't read is said. Label Studio's cells are as
1.23.2 writes them."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from backend.adapters.data_files.labeled import LabeledData, read_labeled, read_llm_answers
from backend.adapters.data_files.rows import read_rows
from backend.errors import BadRequest

CONFIG = """<View><Text name="text" value="$text"/>
<Choices name="mood" toName="text"><Choice value="good"/><Choice value="bad"/></Choices>
<Choices name="genre" toName="text" choice="multiple"><Choice value="comedy"/><Choice value="horror"/></Choices>
<Rating name="stars" toName="text"/>
<Taxonomy name="tax" toName="text">
<Choice value="Animal"><Choice value="Cat"/></Choice><Choice value="Plant"/></Taxonomy>
<TextArea name="note" toName="text"/></View>"""
AB = '<View><Text name="t" value="$t"/><Choices name="q" toName="t">{}</Choices></View>'
CSV_EXPORT = """"_data_mood","annotation_id","annotator","created_at","genre","id","lead_time","mood","note","stars",\
"tags","tax","text","updated_at"
"sunny",5,"1","2026-11-28T20:04:03Z","{""choices"":[""comedy"",""horror""]}",1,1.5,"good","fine",\
"[{""rating"":4}]","[""x"",""y""]","[{""taxonomy"":[[""Animal"",""Cat""],[""Plant""]]}]","a ""quoted"", text
on two lines 漢","2026-11-28T20:04:03Z"
"sunny",6,"2","2026-11-29T20:04:03Z","comedy",1,7.5,"bad","",\
"","[""x"",""y""]","","a ""quoted"", text
on two lines 漢","2026-11-29T20:04:03Z"
"sunny",7,"2","2026-11-29T20:04:03Z","",2,7.5,"bad","","","","","b","2026-11-29T20:04:03Z"
"rainy","","","","",3,"","","","","","","c",""
"""
MEETING = [
    {"mood": ("good",), "genre": ("comedy", "horror"), "stars": ("4",), "tax": ("Animal / Cat", "Plant")},
    {"mood": ("bad",), "genre": ("comedy",)},
]


def write(path: Path, content: str | bytes | Sequence[object]) -> Path:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def labels(found: LabeledData) -> list[list[str]]:
    """All labels of each task, of tasks with one annotator and one question."""
    return [list(answer) for (given,) in found.answers for answer in given.values()]


def read(path: Path, label: str = "label", config: Path | None = None) -> list[list[str]]:
    return labels(read_labeled(path, label, config))


def refused(path: Path, label: str = "label", config: Path | None = None) -> str:
    with pytest.raises(BadRequest) as error:
        read_labeled(path, label, config)
    return str(error.value)


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_csv_export_is_tasks_with_several_annotators_answers(tmp_path: Path, delimiter: str) -> None:
    # Label Studio's TSV is downloaded as .csv, too.
    with (tmp_path / "export.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(csv.reader(io.StringIO(CSV_EXPORT)))
    found = read_labeled(tmp_path / "export.csv", "label", write(tmp_path / "config.xml", CONFIG))
    assert [list(task) for task in found.answers] == [MEETING, [{"mood": ("bad",)}]]
    text = 'a "quoted", text\non two lines 漢'
    assert found.data == [
        {"mood": "sunny", "tags": ["x", "y"], "text": text},
        {"mood": "sunny", "tags": "", "text": "b"},
    ]
    assert found.ids == ["1", "2"]
    said = " ".join(found.notes)
    assert "4 rows are 3 tasks" in said
    assert "1 of 3 tasks have no label" in said
    assert "'note'" in said


def test_a_json_min_export_is_the_same(tmp_path: Path) -> None:
    about = {"id": 1, "annotator": 1, "annotation_id": 5, "created_at": "2026", "updated_at": "2026", "lead_time": 1.5}
    rows = [
        {
            **{"text": "a", "mood": "good", "genre": {"choices": ["comedy", "horror"]}, "stars": [{"rating": 4}]},
            **{"tax": [{"taxonomy": [["Animal", "Cat"], ["Plant"]]}], "note": {"text": ["x", "y"]}, **about},
        },
        {"text": "a", "mood": "bad", "genre": "comedy", **about, "annotation_id": 6, "annotator": 2},
        # Without an annotation, a field that is named like a control is still there.
        {"text": "c", "mood": "sunny", **dict.fromkeys(about), "id": 3},
    ]
    path = write(tmp_path / "min.json", rows)
    found = read_labeled(path, "label", write(tmp_path / "config.xml", CONFIG))
    assert [list(task) for task in found.answers] == [MEETING]
    assert found.data == [{"text": "a"}]
    # Without the label config, answers that can be told from data are none: in their shape, or by two annotators.
    for label in ("mood", "genre"):
        alone = read_labeled(path, label, None)
        assert alone.data == [{"text": "a"}]
        assert [question.name for question in alone.questions] == [label]
        assert len(alone.answers[0]) == 2
    assert "'label'" in (said := refused(path))
    assert "--config" in said
    assert "annotator" not in said


def test_answers_in_label_studios_shape_are_read_in_any_table(tmp_path: Path) -> None:
    table = """text,label
a,"{""choices"":[""comedy"",""horror""]}"
b,horror
c,"[""comedy""]"
d,"['comedy', 'horror']"
"""
    found = read(write(tmp_path / "a.csv", table))
    assert found == [["comedy", "horror"], ["horror"], ["comedy"], ["comedy", "horror"]]
    paths = [{"text": "a", "label": [["Animal", "Cat"], ["Plant"]]}]
    assert read(write(tmp_path / "a.json", paths)) == [["Animal / Cat", "Plant"]]


def test_spans_are_no_label_of_a_task(tmp_path: Path) -> None:
    spans = 'annotation_id,annotator,text,label,mood\n1,1,Bob,"[{""start"":0,""end"":3,""labels"":[""PER""]}]",good\n'
    path = write(tmp_path / "spans.csv", spans)
    assert "1 cells of 'label' are no choice, rating or taxonomy" in refused(path)
    assert read_labeled(path, "mood", None).data == [{"text": "Bob"}]
    span = {"from_name": "label", "type": "labels", "value": {"start": 0, "end": 3, "text": "Bob", "labels": ["PER"]}}
    mood = {"from_name": "mood", "type": "choices", "value": {"choices": ["good"]}}
    exported = json.dumps([{"id": 1, "data": {"text": "Bob"}, "annotations": [{"id": 2, "result": [span, mood]}]}])
    found = read_labeled(write(tmp_path / "spans.json", exported), "mood", None)
    assert found.answers == [[{"mood": ("good",)}]]
    assert "1 answers mark parts of a text: left out." in found.notes


def test_labels_keep_their_spelling_and_missing_ones_are_none(tmp_path: Path) -> None:
    table = "text,label\na,1.10\nb,1.1\nc,\nd,nan\ne,<NA>\nf,None\ng,007\n"
    found = read_labeled(write(tmp_path / "a.csv", table), "label", None)
    assert labels(found) == [["1.10"], ["1.1"], ["None"], ["007"]]
    assert "3 of 7 tasks have no label" in " ".join(found.notes)
    lines = '{"t": 1, "label": 1.10}\n{"t": 2, "label": NaN}\n{"t": 3, "label": null}\n{"t": 4, "label": true}\n'
    assert read(write(tmp_path / "a.jsonl", lines)) == [["1.10"], ["True"]]


def test_whole_numbers_are_the_same_with_and_without_a_point(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,0.0\nb,1.0\nc,\nd,1.0\n")
    assert read(path) == [["0"], ["1"], ["1"]]
    config = write(tmp_path / "c.xml", AB.format('<Choice value="0"/><Choice value="1"/>'))
    assert read(path, "label", config) == [["0"], ["1"], ["1"]]
    dotted = write(tmp_path / "d.xml", AB.format('<Choice value="0.0"/><Choice value="1.0"/>'))
    found = read_labeled(path, "label", dotted)
    assert labels(found) == [["0.0"], ["1.0"], ["1.0"]]
    said = read_llm_answers(write(tmp_path / "l.csv", "m\n0\n1\n1.0\n"), found, found.questions[0])
    assert said == {"m": [("0.0",), ("1.0",), ("1.0",)]}


def test_labels_that_the_config_does_not_have_are_counted(tmp_path: Path) -> None:
    config = write(tmp_path / "c.xml", AB.format('<Choice value="a"/><Choice value="b"/>'))
    found = read_labeled(write(tmp_path / "a.csv", "t,label\n1,a\n2,b\n3,c\n4,c\n"), "label", config)
    assert labels(found) == [["a"], ["b"]]
    assert "2 answers to 'q' are none of its labels, for example 'c'" in " ".join(found.notes)
    assert "none of its labels" in refused(write(tmp_path / "b.csv", "t,label\n1,x\n"), "label", config)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text;label\nx, y;a\nz;b\n"),
        ("a.csv", "sep=;\ntext;label\nx, y;a\nz;b\n"),
        ("a.tsv", 'text\tlabel\n"x, y"\ta\n\nz\tb\n'),
        ("a.csv", " text |label\nx, y|a\nz|b\n"),
        ("a.csv", '\ufefftext,label\r\n"x, y",a\r\nz,b\r\n'),
        ("a.csv", 'text,label\n"x, y",a\nz,b\n'.encode("utf-16")),
        ("a.json", '{"text": "x, y", "label": "a"}\n{"text": "z", "label": "b"}\n'),
    ],
)
def test_tables_of_all_kinds(tmp_path: Path, name: str, content: str | bytes) -> None:
    found = read_labeled(write(tmp_path / name, content), "label", None)
    assert (found.data, labels(found)) == ([{"text": "x, y"}, {"text": "z"}], [["a"], ["b"]])


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("a.csv", 'id,"a;b;c;d",label\n1,x,P\n2,y,N\n', ["id", "a;b;c;d", "label"]),
        ("a.csv", 'id,"a;b;c;d",label\n1,"p;q;r;s",P\n2,"p;q;r;s",N\n', ["id", "a;b;c;d", "label"]),
        ("a.csv", 'text;"a,b,c,d,e";label\nx;y;P\n', ["text", "a,b,c,d,e", "label"]),
        ("a.csv", 'text;"a,b,c";label\nx;"1,2,3";P\n', ["text", "a,b,c", "label"]),
        ("a.csv", 'id;"a|b|c";label\n1;x;P\n', ["id", "a|b|c", "label"]),
        ("a.csv", "text (a; b; c; d),label\nx,P\ny;z,N\n", ["text (a; b; c; d)", "label"]),
        ("a.csv", "price, EUR, net;label\n1,50;P\n2;N\n", ["price, EUR, net", "label"]),
        ("a.tsv", 'text\t"a,b,c,d"\tlabel\nx, y\tz\tP\n', ["text", "a,b,c,d", "label"]),
        ("a.tsv", "text, as it is, in full\tlabel\nx\tP\ny, z\tN\n", ["text, as it is, in full", "label"]),
        ("a.csv", 'id,"two\nlines; a; b; c",label\n1,"x\ny",P\n', ["id", "two\nlines; a; b; c", "label"]),
        ("a.csv", 'id,"5"" pipe; b; c",label\n1,x,P\n', ["id", '5" pipe; b; c', "label"]),
        ("a.csv", 'id,"a;b;c;d",label\n\n1,x,P\n', ["id", "a;b;c;d", "label"]),
    ],
)
def test_delimiters_in_a_heading_part_no_columns(tmp_path: Path, name: str, content: str, columns: list[str]) -> None:
    found = read_rows(write(tmp_path / name, content))
    assert found.columns == columns
    assert found.rows[0][columns[-1]] == "P"


def test_of_columns_named_alike_none_is_lost(tmp_path: Path) -> None:
    found = read_labeled(write(tmp_path / "a.csv", "text,text,,label\na,b,0,x\n"), "label", None)
    assert found.data == [{"text": "a", "text (2)": "b", "column 3": 0}]
    assert "'text (2)'" in " ".join(found.notes)
    found = read_labeled(write(tmp_path / "a.jsonl", '{"text": "a", "text": "b", "label": "x"}\n'), "label", None)
    assert found.data == [{"text": "a", "text (2)": "b"}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "text,label\n", "has no rows"),
        ("a.json", "[]", "has no rows"),
        ("a.csv", "text,label\na,b,c\n", "line 2: 3 cells under a heading of 2"),
        ("a.csv", 'text,label\n"a,b\n', "line 2"),
        ("a.csv", "text,label\ncafé,b\n".encode("cp1252"), "iconv"),
        ("a.csv", "text,label\na,b\n".encode("utf-16-le"), "NUL"),
        ("a.json", '{"text": {"0": "a"}, "label": {"0": "b"}}', "is one object"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", "[1, 2]", "item 1 is something else"),
        ("a.xlsx", "x", ".csv, .tsv, .jsonl or .json"),
        ("a.json", [{"id": 1, "annotations": [{"result": []}]}], "it has no object `data`"),
        ("a.json", [{"id": 1, "data": {"t": 1}, "annotations": [7]}], "annotations are no list of objects"),
        ("a.json", [{"id": 1, "data": {"t": 1}, "annotations": []}], "no task has an annotation"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: str | bytes | list[object], said: str
) -> None:
    assert said in refused(write(tmp_path / name, content))


def test_json_exports_of_any_age_are_read(tmp_path: Path) -> None:
    result = [{"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": ["good"]}}]
    skipped = {"id": "word", "result": [], "skipped": True}
    tasks = [
        {"id": 1, "data": {"text": "old"}, "completions": [{"id": 1001, "result": result}, skipped]},
        {"data": {"text": "to import"}, "annotations": [{"result": result}, {"result": []}]},
        {"id": 3, "data": {"text": "words"}, "annotations": [{"id": "KLvNm", "completed_by": "me", "result": result}]},
        {"id": 4, "data": {"text": "skipped"}, "annotations": [{**skipped, "was_cancelled": True}]},
    ]
    found = read_labeled(write(tmp_path / "a.json", tasks), "label", None)
    assert [item["text"] for item in found.data] == ["old", "to import", "words"]
    assert labels(found) == [["good"]] * 3
    said = " ".join(found.notes)
    assert "1 of 4 tasks have no label" in said
    assert "2 annotations were skipped, 1 have no choice" in said


def test_an_id_twice_among_recorded_answers_is_refused(tmp_path: Path) -> None:
    found = read_labeled(write(tmp_path / "a.csv", "id,text,label\n1,a,x\n2,b,y\n"), "label", None)
    with pytest.raises(BadRequest, match="1 rows have the id of another one"):
        read_llm_answers(write(tmp_path / "l.csv", "id,m\n1,x\n1,y\n"), found, found.questions[0])
