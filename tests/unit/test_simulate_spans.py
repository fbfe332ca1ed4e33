"""`prelabel simulate` of texts with spans: read from three kinds of files, replayed, and counted in tokens."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from backend.adapters.data_files.marked import read_marked
from backend.domain.marking.votes import SpanVotes
from backend.domain.questions.marks import mark_in
from backend.domain.simulation.marking import MarkedTexts, replay_texts, split_texts
from backend.domain.simulation.records import MarkedData, Plan
from backend.domain.spans.text import Span
from backend.entrypoints.cli.main import cli
from backend.errors import BackendError, BadRequest
from tests.unit.test_spans_learned import CONFIG, QUESTION, news, truth

RULES = """question: ner
rules:
  - {name: firms, type: gazetteer, field: text, terms: [Acme, Initech, Globex, Hooli], vote: ORG}
"""


def read(path: Path, config: Path | None = None) -> MarkedData:
    found = read_marked(path, "label", config)
    assert found is not None
    return found


def spans_in(found: MarkedData) -> list[list[tuple[str, str]]]:
    texts = [found.question.text(item) for item in found.data]
    return [
        [(text[start:end], label) for start, end, label in spans or ()]
        for text, spans in zip(texts, found.gold, strict=True)
    ]


def lines(path: Path, n: int = 40) -> Path:
    rows = []
    for item in news(n):
        marks = [mark for mark in map(mark_in, truth(str(item["text"]))) if mark]
        rows.append(item | {"spans": [{"start": mark.start, "end": mark.end, "label": mark.label} for mark in marks]})
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def export(path: Path) -> Path:
    tasks: list[dict[str, Any]] = []
    for number, item in enumerate(news(40), start=1):
        marks = [mark for mark in map(mark_in, truth(str(item["text"]))) if mark]
        values = [{"start": mark.start, "end": mark.end, "text": mark.text, "labels": [mark.label]} for mark in marks]
        result = [{"from_name": "ner", "to_name": "text", "type": "labels", "value": value} for value in values]
        tasks.append({"id": number, "data": item, "annotations": [{"id": number, "completed_by": 1, "result": result}]})
    tasks[0]["annotations"][0]["result"][0]["value"] |= {"start": 900, "end": 903}
    tasks.append({"id": 99, "data": {"text": "nobody looked"}, "annotations": []})
    path.write_text(json.dumps(tasks))
    return path


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("B-PER I-PER O B-ORG", [("Ann Lee", "PER"), ("Acme", "ORG")]),
        ("I-PER I-PER O I-ORG", [("Ann Lee", "PER"), ("Acme", "ORG")]),
        ("B-PER B-PER O S-ORG", [("Ann", "PER"), ("Lee", "PER"), ("Acme", "ORG")]),
        ("B-PER L-PER O U-ORG", [("Ann Lee", "PER"), ("Acme", "ORG")]),
        ("B-PER E-PER I-PER O", [("Ann Lee", "PER"), ("joins", "PER")]),
        ("PER PER O ORG", [("Ann Lee", "PER"), ("Acme", "ORG")]),
        ("B-PER I-ORG O O", [("Ann", "PER"), ("Lee", "ORG")]),
        ("O O O O", []),
    ],
)
def test_columns_are_read_in_each_scheme(tags: str, spans: list[tuple[str, str]], tmp_path: Path) -> None:
    words = ["Ann", "Lee", "joins", "Acme"]
    body = "\n".join(f"{word}\tNN\t{tag}" for word, tag in zip(words, tags.split(), strict=True))
    (tmp_path / "a.conll").write_text(f"-DOCSTART- -X- O\n\n{body}\n\nNobody B-PER\n")
    assert spans_in(read(tmp_path / "a.conll")) == [spans, [("Nobody", "PER")]]


def test_lines_are_read_with_spans_in_several_spellings(tmp_path: Path) -> None:
    rows = [
        {"text": "\U0001f600 Ann", "entities": [[2, 5, "PER"]]},
        {"text": "Acme", "entities": [{"start_offset": 0, "end_offset": 4, "label": "ORG"}, "odd"]},
        {"text": "nothing", "entities": []},
        {"text": "unknown", "entities": None},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = read(tmp_path / "a.jsonl")
    assert spans_in(found) == [[("Ann", "PER")], [("Acme", "ORG")], []]
    assert found.notes == ("Left out of 'entities', as no span (start, end, label): 1 item.",)


def test_an_export_is_read_with_and_without_its_label_config(tmp_path: Path) -> None:
    path = export(tmp_path / "export.json")
    (tmp_path / "config.xml").write_text(CONFIG.format(more=""))
    for config in (None, tmp_path / "config.xml"):
        found = read(path, config)
        assert (found.question.name, found.question.field, set(found.question.labels)) == (
            "ner",
            "text",
            {"PER", "ORG"},
        )
        assert len(found.data) == 40
        assert spans_in(found)[1] == [("Bob", "PER"), ("Initech", "ORG")]
        assert found.notes == (
            "Left out, as not in the text or of another label: 1 span.",
            "Left out, as without an annotation: 1 text.",
        )


def test_what_is_odd_is_said(tmp_path: Path) -> None:
    rows = [
        {"text": "Ann Lee", "spans": [[0, 7, "PER"], [4, 7, "PER"], [5, 99, "PER"]]},
        {"text": "Ann Lee", "spans": [[0, 3, "PER"]]},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert read(tmp_path / "a.jsonl").notes == (
        "Left out, as not in the text: 1 span.",
        "Spans overlap in 1 text.",
        "There several times, with different spans: 1 text.",
    )
    (tmp_path / "b.conll").write_text("Ann\n")
    with pytest.raises(BadRequest, match=r"b\.conll, line 1: a token needs a tag"):
        read(tmp_path / "b.conll")


def test_files_of_other_labels_are_none_of_these(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "x", "label": ["a", "b"]}))
    assert read_marked(tmp_path / "a.jsonl", "label", None) is None
    assert read_marked(tmp_path / "a.csv", "label", None) is None


def test_a_replay_counts_tokens_and_rules_answer_before_anybody(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "ner.yaml").write_text(RULES)
    words = [str(lines(tmp_path / "a.jsonl")), "--rules", str(tmp_path / "rules"), "--out", str(tmp_path / "out")]
    words += ["--seeds", "1", "--max-labels", "10", "--against", "manual"]
    result = CliRunner().invoke(cli, ["simulate", *words], catch_exceptions=False)
    assert result.exit_code == 0
    assert "Full F1 of exact spans" in result.output
    assert "tokens" in result.output
    points = list(csv.DictReader((tmp_path / "out" / "curves.csv").open()))
    first = {point["plan"]: float(point["accuracy"]) for point in points if point["n_labels"] == "0"}
    assert first["auto"] > first["manual"] == 0
    assert all(int(point["n_tokens"]) > 0 for point in points if point["n_labels"] == "10")
    with pytest.raises(BackendError, match="don't work with spans yet"):
        CliRunner().invoke(cli, ["simulate", *words, "--label-noise", "0.1"], catch_exceptions=False)


def test_equal_texts_are_held_out_together_and_the_same_seed_gives_the_same_points() -> None:
    data = [item for item in news(20) for _ in range(2)]
    gold = [tuple(Span(*mark[:3]) for mark in map(mark_in, truth(str(item["text"]))) if mark) for item in data]
    texts = MarkedTexts.of(QUESTION, data, SpanVotes((), [()] * 40, [()] * 40), gold)
    pool, test = split_texts(texts, 0.3, 0)
    assert not {str(item) for item in pool.data} & {str(item) for item in test.data}
    plan = Plan("auto", batch=10, max_labels=10)
    once, twice = (list(replay_texts(pool, test, plan, seed=1)) for _ in range(2))
    assert once == twice
