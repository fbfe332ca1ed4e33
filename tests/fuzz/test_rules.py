"""Any YAML file gives rules or sentences, and rules that were accepted vote on any task without raising."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.rules.tables import Tables
from backend.adapters.rules.yaml_rules import load_yaml_rules
from backend.domain.rules import History
from backend.domain.votes import apply_rules
from backend.errors import RuleError
from tests.fuzz.effort import assert_sentence, effort
from tests.fuzz.strategies import any_json, changed_json, mutated, task_data

SHIPPED = Path(__file__).parents[2] / "lf_rules" / "movie_facts.yaml"
CONFIG = """<View><Choices name="sentiment" toName="text"><Choice value="Positive"/><Choice value="Negative"/></Choices>
<Choices name="topics" toName="text" choice="multiple"><Choice value="plot"/><Choice value="cast"/></Choices>
<Choices name="tone" toName="text"><Choice value="1"/><Choice value="2"/><Choice value="3"/></Choices></View>"""
QUESTIONS = parse_label_config(CONFIG).questions
EVERY_TYPE = """
rules:
  - {name: words, type: keyword, question: sentiment, field: text, keywords: [good, fine*, 8, must see], vote: Positive,
     negated_by: [not, n't], window: 3, min_count: 1, ignore_case: true}
  - {name: looks, type: regex, field: text, pattern: '\\b(bad|weak)\\s+(plot|cast)', vote: Negative, whole_words: true}
  - {name: numbers, type: heuristic, field: text, measure: digit_share, above: 0.1, at_most: 0.5, vote: {not: Positive}}
  - {name: facts, type: compare, when: [{field: rating, at_least: 7.5, below: {field: data}},
     {field: author, one_of: [a, 1]}], vote: Positive, description: "A good rating"}
  - {name: same, type: compare, when: {field: author, equals: {field: url}, missing: false},
     vote: {not: 2}, question: tone}
  - {name: topics, type: keyword, question: topics, field: text, keywords: ["n't", '*', "plot*"],
     vote: [plot, {not: cast}]}
  - {name: site, type: lookup, field: url, file: sites.csv, domain: true, votes: {a: Positive, b: {not: Negative}}}
  - {name: past, type: history, field: author, domain: false, min_count: 2, min_share: 0.7}
"""
PARSED = yaml.safe_load(EVERY_TYPE)
PIECES = (
    *(
        b"&a ",
        b"*a",
        b"!!python/object:os.system ",
        b"!!int ",
        b"!!set ",
        b"!!binary ",
        b"!!timestamp ",
        b"<<: ",
        b"? ",
        b"- ",
        b": ",
        b"\t",
    ),
    *(
        b"1e999",
        b".inf",
        b".nan",
        b"9" * 400,
        b"9" * 5000,
        b"3.0",
        b"true",
        b"null",
        b"~",
        b"[]",
        b"{}",
        b"''",
        b"\x00",
        b"\xff",
        b"\xc2\x85",
    ),
    *(
        b"[" * 3000,
        b"{a: " * 3000,
        b"(a+)+$",
        b"(?P<a>",
        b"\\d{99999999999}",
        b"a" * 3000,
        b"*" * 30,
        b"keyword",
        b"regex",
        b"compare",
        b"model",
    ),
    *(
        b"---\n",
        b"...\n",
        b"%YAML 1.1\n",
        b"|\n",
        b">-\n",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"window: ",
        b"when: ",
        b"vote: ",
        b"file: ../x.csv",
    ),
)
tasks = st.lists(task_data, max_size=4)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder = tmp_path_factory.mktemp("rules")
    (folder / "sites.csv").write_text("site,kind\na.org,a\nb.org,b\n")
    return Tables(folder, {})


def try_out(text: bytes, tables: Tables, data: list[dict[str, object]]) -> None:
    """Load a file, and let its rules vote."""
    try:
        found = load_yaml_rules(text, "rules.yaml", tables)
    except RuleError as error:
        assert_sentence(error)
        return
    for reason in found.set_aside.values():
        assert reason.startswith("rules.yaml, line ")
    history = History([{"author": "a"}] * 3, [[{"sentiment": ("Positive",)}]] * 3, [-1] * len(data))
    matrices, faults = apply_rules(found.rules, data, QUESTIONS, history)
    assert all(len(matrix.votes) == len(data) for matrix in matrices.values())
    # A rule's label may be none of the question's. Beyond that, a rule that was accepted has no faults.
    assert set(faults.counts) <= faults.off_list, faults.reasons


@effort(250)
@given(text=st.one_of(mutated(EVERY_TYPE.encode(), PIECES), mutated(SHIPPED.read_bytes(), PIECES)), data=tasks)
def test_a_rule_file_that_something_happened_to_is_used_or_explained(
    tables: Tables, text: bytes, data: list[dict[str, object]]
) -> None:
    try_out(text, tables, data)


@effort(150)
@given(content=changed_json(PARSED), data=tasks)
def test_a_rule_file_with_odd_values_is_used_or_explained(
    tables: Tables, content: object, data: list[dict[str, object]]
) -> None:
    try:
        text = yaml.safe_dump(content).encode()
    except (yaml.YAMLError, UnicodeEncodeError, ValueError):
        # YAML can't hold half characters, nor Python write numbers of thousands of digits.
        return
    try_out(text, tables, data)


@effort(120)
@given(data=tasks)
def test_rules_of_every_type_vote_on_any_tasks(tables: Tables, data: list[dict[str, object]]) -> None:
    found = load_yaml_rules(EVERY_TYPE.encode(), "rules.yaml", tables)
    assert not found.set_aside
    assert len(found.rules) == 8
    try_out(EVERY_TYPE.encode(), tables, data)


@effort(100)
@given(content=st.one_of(any_json, st.binary(max_size=200)))
def test_a_file_that_has_nothing_of_rules_is_explained(tables: Tables, content: object) -> None:
    text = content if isinstance(content, bytes) else repr(content).encode("utf-8", "surrogatepass")
    try_out(text, tables, [])
