"""`prelabel simulate`: files in, a table, a picture and curves out; what can't be used is said in a sentence."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from backend.domain.simulation.curves import costs
from backend.domain.simulation.records import Curve, Point
from backend.entrypoints.cli.main import cli
from backend.entrypoints.cli.simulate import never_reached
from backend.errors import BackendError

CONFIG = """<View><Text name="text" value="$text"/><Choices name="topic" toName="text">
<Choice value="tea"/><Choice value="rain"/></Choices></View>"""
RULES = """question: topic
rules:
  - {name: kettle, type: keyword, field: text, keywords: [kettle, cup], vote: tea}
"""
WORDS = {"tea": ("kettle", "leaf", "cup"), "rain": ("cloud", "storm", "wet")}


def rows(n: int = 60) -> list[dict[str, str]]:
    random = np.random.default_rng(2)
    labels = [("tea", "rain")[int(number)] for number in random.integers(0, 2, n)]
    return [
        {"id": str(place), "text": " ".join(random.choice(WORDS[label], 2)) + f" w{place % 9}", "topic": label}
        for place, label in enumerate(labels)
    ]


def table(path: Path, found: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, found[0])
        writer.writeheader()
        writer.writerows(found)
    return path


def export(path: Path, found: list[dict[str, str]]) -> Path:
    """As Label Studio exports a project, one task without an annotation."""
    tasks: list[dict[str, Any]] = [{"id": 999, "data": {"text": "cloud leaf"}, "annotations": []}]
    for row in found:
        value = {"choices": [row["topic"]]}
        result = [{"from_name": "topic", "to_name": "text", "type": "choices", "value": value}]
        annotation = {"id": int(row["id"]) + 1, "completed_by": 1, "result": result}
        tasks.append({"id": int(row["id"]) + 1, "data": {"text": row["text"]}, "annotations": [annotation]})
    path.write_text(json.dumps(tasks))
    return path


def run(*words: object) -> str:
    short = ("--seeds", "1", "--max-labels", "10")
    result = CliRunner().invoke(cli, ["simulate", *map(str, words), *short], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words: object) -> str:
    with pytest.raises(BackendError) as error:
        run(*words)
    return str(error.value)


def test_a_table_with_rules_and_recorded_answers(tmp_path: Path) -> None:
    found = rows()
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "topic.yaml").write_text(RULES)
    # Other order, and an answer less: rows are matched by id.
    answers = table(tmp_path / "llm.csv", [{"id": row["id"], "small": row["topic"]} for row in found[:0:-1]])
    said = run(
        table(tmp_path / "data.csv", found),
        *("--label", "topic", "--rules", tmp_path / "rules", "--llm", answers, "--against", "manual"),
        *("--out", tmp_path / "out"),
    )
    assert "Full accuracy, with all labels" in said
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")
    points = list(csv.DictReader((tmp_path / "out" / "curves.csv").open()))
    assert {point["plan"] for point in points} == {"auto", "manual", "random"}
    first = {point["plan"]: float(point["accuracy"]) for point in points if point["n_labels"] == "0"}
    assert first["auto"] > first["manual"] == 0, "rules answer before anybody labels"
    assert [point["usd"] for point in points if point["plan"] == "manual"] == ["0.0000", "3.0000"]


def test_an_export_of_label_studio_with_and_without_its_label_config(tmp_path: Path) -> None:
    path = export(tmp_path / "export.json", rows(40))
    (tmp_path / "config.xml").write_text(CONFIG)
    for options in ([], ["--config", tmp_path / "config.xml"]):
        said = json.loads(run(path, *options, "--strategy", "random", "--out", tmp_path / "out", "--json"))
        assert [item["plan"] for item in said["curves"]] == ["random"]
        assert [point["n_labels"] for point in said["curves"][0]["points"]] == [0, 10]


def test_lists_in_json_lines_are_sets_of_labels(tmp_path: Path) -> None:
    lines = [{"text": row["text"], "label": [row["topic"], "drink"][: 1 + (row["topic"] == "tea")]} for row in rows(40)]
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    assert "Question: label (3 labels)" in run(path, "--strategy", "random", "--out", tmp_path / "out")


def test_never_reached_is_said() -> None:
    runs = [[0.0, 0.93, 0.94], [0.0, 0.5, 0.6]]
    curves = [
        Curve("margin", seed, [Point(10 * n, 0, 3.0 * n, accuracy) for n, accuracy in enumerate(run)], 1.0)
        for seed, run in enumerate(runs)
    ]
    (said,) = never_reached(costs(curves))
    assert "margin never reached 90 % in 1 of 2 runs, 95 % in 2 of 2 runs, 99 % in 2 of 2 runs" in said


def test_a_wrong_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    said = refused(table(tmp_path / "data.csv", rows()))
    assert "'label'" in said
    assert "'topic'" in said


def test_labels_that_cannot_be_learned_from(tmp_path: Path) -> None:
    found = rows()
    empty = [{**row, "topic": ""} for row in found]
    assert "is empty" in refused(table(tmp_path / "empty.csv", empty), "--label", "topic")
    same = [{**row, "topic": "tea"} for row in found]
    assert "same label of 'topic' ('tea')" in refused(table(tmp_path / "same.csv", same), "--label", "topic")
    assert "needs 30" in refused(table(tmp_path / "few.csv", found[:8]), "--label", "topic")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "data.xlsx").write_text("x")
    (tmp_path / "broken.jsonl").write_text('{"a": 1}\n{"a": ')
    (tmp_path / "short.csv").write_text("a,label\n1\n")
    (tmp_path / "bytes.csv").write_bytes(b"a,label\n\xff\xfe,x\n")
    assert ".csv, .tsv, .jsonl or .json" in refused(tmp_path / "data.xlsx")
    assert "line 2 is not JSON" in refused(tmp_path / "broken.jsonl")
    assert "line 2: 1 cells under a heading of 2" in refused(tmp_path / "short.csv")
    assert "not UTF-8" in refused(tmp_path / "bytes.csv")
    assert "No such file" in refused(tmp_path / "missing.csv")


def test_rules_and_answers_for_another_question_are_refused(tmp_path: Path) -> None:
    found = rows()
    data = table(tmp_path / "data.csv", found)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "topic.yaml").write_text(RULES.replace("question: topic", "question: mood"))
    assert "None of the 1 rules" in refused(data, "--label", "topic", "--rules", tmp_path / "rules")
    wrong = table(tmp_path / "llm.csv", [{"small": "sun"} for _ in found])
    assert "none of the labels of 'topic'" in refused(data, "--label", "topic", "--llm", wrong)
    short = table(tmp_path / "short.csv", [{"small": "tea"}])
    assert "1 rows for 60 labeled tasks" in refused(data, "--label", "topic", "--llm", short)
    assert "'best' is not known" in refused(data, "--label", "topic", "--against", "best")


def test_a_budget_without_a_first_batch_is_refused(tmp_path: Path) -> None:
    assert "first batch of 10" in refused(table(tmp_path / "d.csv", rows()), "--label", "topic", "--budget", "1")


def test_what_follows_a_search_for_wrong_labels_is_compared(tmp_path: Path) -> None:
    path = table(tmp_path / "data.csv", rows(120))
    words = ("simulate", path, "--label", "topic", "--label-noise", "0.2", "--after-finding", "relabel,exclude")
    short = ("--seeds", "1", "--batch", "40", "--growth", "1", "--out", tmp_path / "out")
    result = CliRunner().invoke(cli, [*map(str, (*words, *short)), "--json"], catch_exceptions=False)
    found = json.loads(result.output)
    assert [final["plan"] for final in found["finals"]] == ["relabel", "exclude", "nothing"]
    assert {cost["plan"] for cost in found["costs"]} == {"relabel", "exclude", "nothing"}
    again = {point["plan"]: int(point["n_again"]) for point in csv.DictReader((tmp_path / "out" / "curves.csv").open())}
    assert again["relabel"] > 0
    assert again["exclude"] == again["nothing"] == 0


def test_what_cant_follow_a_search_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "data.csv", rows())
    known = "'delete' is not known: choose from relabel, exclude, downweight, nothing"
    assert known in refused(path, "--label", "topic", "--after-finding", "delete")
    words = ("--label", "topic", "--after-finding", "exclude", "--against", "manual")
    assert "compare one at a time" in refused(path, *words)


def test_fields_that_say_nothing_are_named_and_without_others_nothing_is_simulated(tmp_path: Path) -> None:
    found = [{**row, "text": f"s3://bucket/{row['topic']} photo ({row['id']}).jpg", "row": row["id"]} for row in rows()]
    said = refused(table(tmp_path / "data.csv", found), "--label", "topic")
    assert "No field of the tasks can be learned from" in said
    assert "text (only addresses or file names); row (they number the tasks" in said
