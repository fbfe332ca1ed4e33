"""Rules written as YAML: what they vote, and what is said of those that can't be used."""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import skops.io
import sqlalchemy
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from backend.adapters.rules import yaml_rules
from backend.adapters.rules.loader import FolderRules
from backend.adapters.rules.models import TASKS_PER_REQUEST
from backend.adapters.rules.tables import Tables
from backend.adapters.rules.yaml_file import MAX_FILE_BYTES, schema
from backend.adapters.rules.yaml_rules import load_yaml_rules
from backend.domain.rules import Not, Rule, TaskFields
from backend.domain.rules.text import MEASURES
from backend.domain.votes import apply_rules
from backend.errors import RuleError
from backend.settings import Settings
from tests.fuzz.effort import effort
from tests.unit.planted import SENTIMENT

NOWHERE = Tables(Path("nowhere"), {})
RULES = """\
question: sentiment
rules:
  - name: praise
    type: keyword
    field: text
    keywords: [great, fun*]
    negated_by: [not, no, never, n't]
    vote: Positive
  - name: high_rating
    type: compare
    when: {field: rating, above: 8}
    vote: {not: Negative}
"""


def load(text: str, tables: Tables = NOWHERE) -> tuple[list[Rule], Mapping[str, str]]:
    loaded = load_yaml_rules(text.encode(), "films.yaml", tables)
    return list(loaded.rules), loaded.set_aside


def one(body: str, tables: Tables = NOWHERE) -> Rule:
    """The rule of a file with one rule, whose lines after its name are given."""
    rules, set_aside = load(f"rules:\n- name: rule\n  {body}", tables)
    assert set_aside == {}
    return rules[0]


def reason(body: str, tables: Tables = NOWHERE) -> str:
    """Why a rule is set aside; its name is on line 2, what is given starts at line 3."""
    rules, set_aside = load(f"rules:\n- name: rule\n  {body}", tables)
    assert rules == []
    return set_aside["rule"]


def test_rules_of_a_file_vote() -> None:
    (praise, high_rating), set_aside = load(RULES)
    assert set_aside == {}
    assert (praise.question, praise.labels, high_rating.labels) == ("sentiment", ("Positive",), ("Negative",))
    assert praise.function(TaskFields({"text": "Great fun"})) == "Positive"
    assert praise.function(TaskFields({"text": "no fun"})) is None
    assert high_rating.function(TaskFields({"rating": 8.1})) == Not("Negative")


def test_words_that_other_yaml_takes_for_values_stay_words() -> None:
    rule = one("type: keyword\n  field: text\n  keywords: [yes, on, 007, 2024-01-01, 3]\n  vote: No")
    assert rule.labels == ("No",)
    for text in ("yes", "on", "007", "2024-01-01", "3"):
        assert rule.function(TaskFields({"text": text})) == "No"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("type: keyword\n  field: 5\n  keywords: [a]\n  vote: A", "line 4: `field` must be text, got 5"),
        ("type: keyword\n  field: text\n  vote: A", "line 2: `keywords` is missing"),
        ("type: keyword\n  field: text\n  keyword: [a]\n  keywords: [a]\n  vote: A", "did you mean `keywords`?"),
        ("type: keyword\n  field: text\n  keyword: [a]\n  keywords: [a]\n  vote: A", "line 5: `keyword` isn't known"),
        ("type: keyword\n  field: text\n  keywords: a\n  vote: A", "line 5: `keywords` must be a list, got 'a'"),
        ("type: keyword\n  field: text\n  keywords: []\n  vote: A", "line 5: `keywords` must not be empty"),
        (
            "type: keyword\n  field: text\n  keywords:\n  - a\n  - true\n  vote: A",
            "line 7: `keywords, entry 2` must be text",
        ),
        (
            "type: keyword\n  field: text\n  keywords: [a]\n  window: 0\n  vote: A",
            "line 6: `window` must be at least 1",
        ),
        ("type: keyword\n  field: text\n  keywords: [' ']\n  vote: A", "line 2: a keyword is empty"),
        ("type: keyword\n  field: text\n  keywords: [a]\n  vote: {no: A}", "line 6: "),
        ("type: keyword\n  field: text\n  keywords: [a]\n  vote: [A, true]", "line 6: `vote, entry 2` must be text"),
        ("type: keywords", "line 3: `type` must be one of keyword, regex,"),
        ("field: text", "line 2: `type` is missing"),
        ("type: regex\n  field: text\n  pattern: (\n  vote: A", "line 2: '(' is not a regular expression"),
        ("type: heuristic\n  field: text\n  measure: size\n  vote: A", "line 5: `measure` must be one of characters"),
        ("type: heuristic\n  field: text\n  measure: words\n  vote: A", "line 2: give above, at_least, below"),
        ("type: compare\n  when: {field: rating}\n  vote: A", "line 4: `when` needs a condition beside `field`"),
        ("type: compare\n  when: {field: rating, above: high}\n  vote: A", "line 4: `when, above` must be a number"),
        ("type: compare\n  when: 5\n  vote: A", "line 4: `when` must be a mapping (name: value), got 5"),
        ("type: lookup\n  field: a", "line 2: give either `file` or `database`"),
        ("type: lookup\n  field: a\n  file: none.csv", "line 2: there is no file none.csv in the rules folder"),
        ("type: lookup\n  field: a\n  file: ../none.csv", "line 2: ../none.csv is outside of the rules folder"),
        ("type: lookup\n  field: a\n  database: x\n  table: t\n  key: k\n  value: v", "LF_DATABASES"),
        ("type: lookup\n  field: a\n  database: x", "line 2: a `database` needs `table`"),
        ("type: model\n  url: ftp://x", "line 4: `url` must begin with http:// or https://"),
        ("type: model", "line 2: give either `url` or `file`"),
        ("type: model\n  url: http://x\n  time_limit_s: 0", "line 5: `time_limit_s` must be above 0"),
        ("type: history\n  field: a\n  min_share: 0.5", "line 5: `min_share` must be above 0.5"),
    ],
)
def test_a_rule_that_does_not_fit_says_where_and_what_was_expected(body: str, expected: str) -> None:
    assert expected in reason(body)
    assert reason(body).startswith("films.yaml, line ")


def test_a_broken_rule_does_not_take_the_others_with_it() -> None:
    rules, set_aside = load(RULES + "  - name: broken\n    type: keyword\n  - 5\n")
    assert [rule.name for rule in rules] == ["praise", "high_rating"]
    assert set_aside == {
        "broken": "films.yaml, line 13: `field` is missing",
        "rule 4": "films.yaml, line 15: this must be a mapping (name: value), got 5",
    }


def test_two_rules_of_one_name_are_told_apart() -> None:
    rules, set_aside = load(RULES + "  - {name: praise, type: history, field: author}\n")
    assert len(rules) == 2
    assert set_aside == {"praise": "films.yaml, line 13: another rule is called 'praise'"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1: this must be a mapping (name: value), got None"),
        ("- a", "line 1: this must be a mapping"),
        ("rules: 5", "line 1: `rules` must be a list, got 5"),
        ("question: a", "line 1: `rules` is missing"),
        ("rules: []\nrule: 3", "line 2: `rule` isn't known here; did you mean `rules`?"),
        ("rules: [", "line 1: this isn't YAML"),
        ("rules: []\nrules: []", "line 2: this isn't YAML: `rules` is there twice"),
        ("a: &a [1]\nrules: [*a]", "line 2: this isn't YAML: aliases (*name) aren't allowed"),
        ("rules: !!python/object/apply:os.system [ls]", "line 1: this isn't YAML: tags (!!name) aren't allowed"),
        ("rules: []\nquestion: !!int ''", "line 2: this isn't YAML: tags (!!name) aren't allowed"),
        ("rules: !!map [a, b]", "tags (!!name) aren't allowed"),
        ("rules: !!bool maybe", "tags (!!name) aren't allowed"),
        ("rules: !!timestamp x", "tags (!!name) aren't allowed"),
        ("rules: " + "9" * 400, "line 1: this isn't YAML: this number is too large"),
        ("rules: " + "9" * 5000, "this number is too large"),
        ("rules: 1e999", "this number is too large"),
        ("[" * 5000, "this isn't YAML"),
        ("rules: []\n---\nrules: []", "this isn't YAML: but found another document"),
        ("rules: \x00", "this isn't YAML"),
        ("? [a]\n: b", "a key must be a word"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(text: str, expected: str) -> None:
    with pytest.raises(RuleError) as raised:
        load(text)
    assert expected in str(raised.value)
    assert str(raised.value).startswith("films.yaml, line ")


def test_a_huge_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(RuleError, match="larger than"):
        load("#" * (MAX_FILE_BYTES + 1))


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
NAMES = st.sampled_from(
    sorted({*schema()["$defs"], *(n for d in schema()["$defs"].values() for n in d.get("properties", {}))})
)
NESTED = st.recursive(
    PLAIN | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=8),
    max_leaves=20,
)
RULE_LIKE = st.fixed_dictionaries(
    {"name": st.text(min_size=1, max_size=3), "type": st.sampled_from(schema()["$defs"]["type"]["enum"])},
    optional={
        "field": st.just("text") | NESTED,
        "vote": st.just("A") | NESTED,
        "keywords": st.lists(st.text(max_size=3)) | NESTED,
        "pattern": st.text(max_size=4) | NESTED,
        "when": st.dictionaries(NAMES, NESTED, max_size=3) | NESTED,
        "votes": NESTED,
        "window": NESTED,
        "measure": st.sampled_from(sorted(MEASURES)) | NESTED,
        "above": NESTED,
        "file": NESTED,
    },
)


def attempt(text: bytes) -> tuple[list[Rule], list[str]]:
    """The rules of a file, and all reasons why something in it can't be used."""
    try:
        loaded = load_yaml_rules(text, "films.yaml", NOWHERE)
    except RuleError as error:
        return [], [str(error)]
    return list(loaded.rules), list(loaded.set_aside.values())


@effort(300)
@given(st.fixed_dictionaries({"rules": st.lists(RULE_LIKE | NESTED, max_size=3)}) | NESTED)
def test_any_yaml_gives_rules_or_a_reason_and_never_another_error(content: object) -> None:
    rules, reasons = attempt(yaml.safe_dump(content).encode())
    assert all(reason.startswith("films.yaml, line ") for reason in reasons)
    apply_rules(rules, [{"text": "a"}, {}], [SENTIMENT])


@given(st.binary(max_size=60) | st.text(st.sampled_from("rules:-[]{}&*!'\"?|>#% \n\tab1"), max_size=60).map(str.encode))
def test_any_bytes_give_nothing_but_a_rule_error(text: bytes) -> None:
    _, reasons = attempt(text)
    assert all(reason.startswith("films.yaml, line ") for reason in reasons)


def test_the_schema_is_one_and_knows_what_the_code_knows() -> None:
    Draft202012Validator.check_schema(schema())
    definitions = schema()["$defs"]
    assert definitions["type"]["enum"] == list(yaml_rules._BUILDERS)
    assert definitions["heuristic"]["properties"]["measure"]["enum"] == list(MEASURES)
    for name in definitions["type"]["enum"]:
        assert all("description" in option or "$ref" in option for option in definitions[name]["properties"].values())


# Tables


def said(rule: Rule, *values: object) -> list[Any]:
    return [rule.function(TaskFields({"director": value})) for value in values]


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("t.csv", "director,label\nEd Wood,Negative\nAgnes Varda,Positive\n", ""),
        ("t.csv", "\ufefflabel,who\nNegative,Ed Wood\nPositive,Agnes Varda\n\n", "key: who\n  value: label"),
        ("t.tsv", "director\tlabel\nEd Wood\tNegative\nAgnes Varda\tPositive\n", ""),
        ("t.json", '{"Ed Wood": "Negative", "Agnes Varda": "Positive", "X": null}', ""),
        (
            "t.json",
            '[{"who": "Ed Wood", "is": "Negative"}, {"who": "Agnes Varda", "is": "Positive"}, {}]',
            "key: who\n  value: is",
        ),
        (
            "t.csv",
            "director,quality\nEd Wood,0\nAgnes Varda,1\nX,2\n",
            "votes: {0: Negative, 1: Positive}",
        ),
    ],
)
def test_lookup_in_a_file(tmp_path: Path, name: str, content: str, options: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    rule = one(f"type: lookup\n  field: director\n  file: {name}\n  {options}", Tables(tmp_path, {}))
    assert said(rule, "ed wood", "Agnes Varda", "X", None) == ["Negative", "Positive", None, None]


@pytest.mark.parametrize(("name", "content"), [("t.csv", "who\nEd Wood\n"), ("t.json", '["Ed Wood"]')])
def test_lookup_of_a_list_gives_one_vote(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    rule = one(f"type: lookup\n  field: director\n  file: {name}\n  vote: Negative", Tables(tmp_path, {}))
    assert said(rule, "Ed Wood", "X") == ["Negative", None]


@pytest.mark.parametrize(
    ("name", "content", "options", "expected"),
    [
        ("t.csv", "a,b\n1,2\n", "key: c", "t.csv has no column 'c'; its columns are a, b"),
        ("t.csv", "a\n1\n", "", "t.csv has no column 2; its columns are a"),
        ("t.csv", "", "", "t.csv has no column 1; its columns are none"),
        ("t.txt", "a", "", "t.txt must be a .csv, .tsv or .json file"),
        ("t.json", "{", "", "t.json can't be read: JSONDecodeError"),
        ("t.json", "5", "", "t.json must hold an object"),
        ("t.json", "[{}]", "", "name its columns"),
        ("t.csv", "a,b\n1,2\n", "votes: {3: A}", "nothing that this rule could vote for"),
    ],
)
def test_lookup_in_a_file_that_does_not_fit(
    tmp_path: Path, name: str, content: str, options: str, expected: str
) -> None:
    (tmp_path / name).write_text(content)
    assert expected in reason(f"type: lookup\n  field: a\n  file: {name}\n  {options}", Tables(tmp_path, {}))


@pytest.fixture
def database(tmp_path: Path) -> Tables:
    url = f"sqlite:///{tmp_path}/films.sqlite3"
    with sqlalchemy.create_engine(url).begin() as connection:
        connection.execute(sqlalchemy.text('CREATE TABLE "the films" (director TEXT, label TEXT)'))
        connection.execute(sqlalchemy.text("""INSERT INTO "the films" VALUES ('Ed Wood', 'Negative'), (NULL, 'x')"""))
    return Tables(tmp_path, {"films": url, "gone": "postgresql+psycopg://me:secret@localhost:1/x", "odd": "secret://x"})


def test_lookup_in_a_database(database: Tables) -> None:
    rule = one(
        "type: lookup\n  field: director\n  database: films\n  table: the films\n  key: director\n  value: label",
        database,
    )
    assert said(rule, "Ed Wood", "X") == ["Negative", None]
    rule = one(
        "type: lookup\n  field: director\n  database: films\n  table: the films\n  key: director\n  vote: A", database
    )
    assert said(rule, "Ed Wood", "X") == ["A", None]


@pytest.mark.parametrize(
    ("name", "table", "key", "expected"),
    [
        ("films", "none", "director", "database 'films' has no table 'none'"),
        ("films", "the films", "none", "table 'the films' of database 'films' has no column 'none'"),
        ("gone", "t", "k", "database 'gone' can't be read: OperationalError"),
        ("odd", "t", "k", "database 'odd' can't be read: NoSuchModuleError"),
    ],
)
def test_database_that_cannot_be_read_is_named_without_its_address(
    database: Tables, name: str, table: str, key: str, expected: str
) -> None:
    body = f"type: lookup\n  field: a\n  database: {name}\n  table: {table}\n  key: {key}\n  vote: A"
    assert expected in reason(body, database)
    assert "secret" not in reason(body, database)


def test_databases_come_from_the_settings() -> None:
    settings = Settings.model_validate({"LF_DATABASES": {"films": "postgres://me:secret@db/films"}})
    assert settings.rule_databases == {"films": "postgresql+psycopg://me:secret@db/films"}
    assert "secret" not in repr(settings)


# Models

Answer = Callable[[dict[str, Any]], tuple[int, object]]


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[dict[str, Any]], dict[str, Answer]]]:
    """A model's HTTP endpoint: its address, what it was asked, and how it answers."""
    asked: list[dict[str, Any]] = []
    answers: dict[str, Answer] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status, body = answers["now"](asked[-1])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    yield f"http://user:secret@127.0.0.1:{server.server_port}/label", asked, answers
    server.shutdown()
    server.server_close()


def test_endpoint_gets_tasks_and_its_labels_are_votes(endpoint: tuple[str, list[Any], dict[str, Answer]]) -> None:
    url, asked, answers = endpoint
    answers["now"] = lambda body: (200, {"labels": ["good" if task["stars"] else None for task in body["tasks"]]})
    rule = one(f"type: model\n  url: {url}\n  fields: [stars]\n  votes: {{good: Positive}}")
    data = [{"stars": place, "text": "x"} for place in range(TASKS_PER_REQUEST + 1)]
    for _ in range(2):
        matrices, faults = apply_rules([rule], data, [SENTIMENT])
        assert matrices["sentiment"].votes.ravel().tolist() == [-1] + [0] * TASKS_PER_REQUEST
        assert faults.counts == {}
    assert [len(body["tasks"]) for body in asked] == [TASKS_PER_REQUEST, 1]
    assert asked[1] == {"tasks": [{"stars": TASKS_PER_REQUEST}]}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (500, {}, "HTTP status 500"),
        (302, {"labels": ["Positive"]}, "HTTP status 302"),
        (200, {"labels": []}, "with 1 labels"),
        (200, [], "with 1 labels"),
        (200, {"labels": "P"}, "with 1 labels"),
        (200, {"labels": ["P"], "more": "x" * 10_000_000}, "more than 10 MB"),
    ],
)
def test_endpoint_that_fails_is_a_fault_without_its_address(
    endpoint: tuple[str, list[Any], dict[str, Answer]], status: int, body: object, expected: str
) -> None:
    url, _, answers = endpoint
    answers["now"] = lambda _: (status, body)
    matrices, faults = apply_rules([one(f"type: model\n  url: {url}")], [{"text": "x"}], [SENTIMENT])
    assert matrices["sentiment"].votes.tolist() == [[-1]]
    assert expected in faults.reasons["rule"]
    assert "secret" not in faults.reasons["rule"]


def test_endpoint_that_is_not_there_is_a_fault_without_its_address() -> None:
    _, faults = apply_rules([one("type: model\n  url: http://me:secret@127.0.0.1:9/")], [{"text": "x"}], [SENTIMENT])
    assert faults.reasons == {"rule": "the model's endpoint can't be asked: ConnectError (films.yaml, line 2)"}


def test_model_of_a_file_votes(tmp_path: Path) -> None:
    model = make_pipeline(CountVectorizer(), MultinomialNB()).fit(["good", "bad"], ["Positive", "Negative"])
    skops.io.dump(model, tmp_path / "m.skops")
    rule = one("type: model\n  file: m.skops\n  field: text\n  min_confidence: 0.6", Tables(tmp_path, {}))
    assert [rule.function(TaskFields({"text": text})) for text in ("good", "bad", "so")] == [
        "Positive",
        "Negative",
        None,
    ]


def test_model_file_that_could_run_code_or_is_none_is_refused(tmp_path: Path) -> None:
    skops.io.dump(FunctionTransformer(os.system), tmp_path / "m.skops")
    (tmp_path / "n.skops").write_text("nothing")
    assert "types that aren't trusted" in reason("type: model\n  file: m.skops\n  field: t", Tables(tmp_path, {}))
    assert "not a model that skops wrote" in reason("type: model\n  file: n.skops\n  field: t", Tables(tmp_path, {}))


# The folder


def test_yaml_files_load_beside_python_ones_and_are_reloaded_with_their_tables(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("rules: [{name: known, type: lookup, field: director, file: t.csv}]")
    (tmp_path / "b.py").write_text(
        "from backend.domain.rules import labeling_function\n@labeling_function()\ndef praise(task): return None\n"
    )
    (tmp_path / "c.yml").write_text(RULES)
    (tmp_path / "d.yaml").write_text("rules: 5")
    (tmp_path / "_e.yaml").write_text("rules: 5")
    (tmp_path / "t.csv").write_text("director,label\nEd Wood,Negative\n")
    loader = FolderRules(tmp_path)
    loaded = loader.load()
    assert [rule.name for rule in loaded.rules] == ["known", "praise", "high_rating"]
    assert loaded.set_aside == {
        "c.yml: praise": "another rule has this name: rename one of them",
        "d.yaml": "d.yaml, line 1: `rules` must be a list, got 5",
    }
    (tmp_path / "t.csv").write_text("director,label\nEd Wood,Positive\n")
    assert said(loader.load().rules[0], "Ed Wood") == ["Positive"]
    assert loader.load().signature != loaded.signature


def test_a_count_is_written_as_a_whole_number() -> None:
    # Python counts with 3 only, though JSON Schema takes 3.0 for the same: the rule would fail on each task.
    body = "type: keyword\n  field: text\n  keywords: [a]\n  vote: P\n  window: 3.0"
    assert "`window` must be a whole number, got 3.0" in reason(body)
