"""Rules that mark spans, written as YAML: what they mark, what they deny, and what is said of those that can't."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy

from backend.adapters.rules.tables import Tables
from backend.adapters.rules.yaml_rules import load_yaml_rules
from backend.domain.marking.votes import apply_marking_rules
from backend.domain.questions import Choices, Spans
from backend.domain.rules import Not, Rule, TaskFields, gazetteer_rule, labeling_function
from backend.domain.rules.interface import Marking, SpanVote
from backend.domain.rules.patterns import Late
from backend.domain.rules.terms import Folded, Terms
from backend.domain.rules.text import MAX_LATE
from backend.domain.spans.text import Span
from backend.domain.votes import apply_rules
from backend.errors import RuleError

NER = Spans("ner", "text", ("PER", "ORG"), field="text")
NOWHERE = Tables(Path("nowhere"), {})


def loaded(body: str, tables: Tables = NOWHERE) -> tuple[list[Rule], Mapping[str, str]]:
    found = load_yaml_rules(f"question: ner\nrules:\n- name: rule\n  {body}".encode(), "names.yaml", tables)
    return list(found.rules), found.set_aside


def marked(body: str, text: str, tables: Tables = NOWHERE) -> list[tuple[str, str]]:
    """What a rule marks in a text."""
    rules, set_aside = loaded(body, tables)
    assert set_aside == {}
    votes, faults = apply_marking_rules(rules, [{"text": text}], [NER])
    assert faults.reasons == {}
    return [(text[start:end], label) for start, end, label in votes["ner"].spans[0][0]]


def denied(body: str, text: str) -> list[tuple[str, str]]:
    votes, _ = apply_marking_rules(loaded(body)[0], [{"text": text}], [NER])
    return [(text[start:end], label) for start, end, label in votes["ner"].against[0][0]]


@pytest.mark.parametrize(
    ("terms", "text", "found"),
    [
        (["New York", "New"], "in New  York, not Newer", ["New  York"]),
        (["New York"], "NEW\nYORK", ["NEW\nYORK"]),
        (["York"], "\U0001f600\U0001f600 York\r\n", ["York"]),
        (["caf\u00e9"], "the cafe\u0301!", ["cafe\u0301"]),
        (["strasse"], "Hauptstra\u00dfe Stra\u00dfe", ["Stra\u00dfe"]),
        (["I"], "\u0130stanbul, I", ["I"]),
        (["\u7535\u5f71"], "\u770b\u7535\u5f71\u5427", ["\u7535\u5f71"]),
        (["O'Neil"], "O\u2019Neil's", ["O\u2019Neil"]),
        (["cafe"], "cafe\u0301", []),
        (["AT&T", "C++"], "AT&T has C++.", ["AT&T", "C++"]),
    ],
)
def test_terms_are_found_where_they_stand(terms: list[str], text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end, _ in Terms(terms).find(Folded(text))] == found


def test_a_gazetteer_marks_the_longest_terms_in_any_case_unless_told_otherwise() -> None:
    text = "ann lee met Ann; it is late at IT"
    rule = "type: gazetteer\n  field: text\n  terms: [Ann Lee, Ann, IT]\n  vote: PER"
    assert [word for word, _ in marked(rule, text)] == ["ann lee", "Ann", "it", "IT"]
    assert [word for word, _ in marked(f"{rule}\n  ignore_case: false", text)] == ["Ann", "IT"]


def test_a_gazetteer_comes_from_files_and_databases(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\ufeffAnn\n\n  Bob Lee \n", encoding="utf-8")
    (tmp_path / "names.csv").write_text("name,kind\nAnn,PER\nAcme,firm\nUFO,none\n")
    database = f"sqlite:///{tmp_path / 'names.db'}"
    with sqlalchemy.create_engine(database).begin() as connection:
        connection.execute(sqlalchemy.text("create table firms (name text)"))
        connection.execute(sqlalchemy.text("insert into firms values ('Acme')"))
    tables = Tables(tmp_path, {"main": database})
    text = "Ann and Bob  Lee saw a UFO at Acme"
    start = "type: gazetteer\n  field: text\n  "
    assert marked(f"{start}file: names.txt\n  vote: PER", text, tables) == [("Ann", "PER"), ("Bob  Lee", "PER")]
    votes = "{PER: PER, firm: [ORG]}"
    assert marked(f"{start}file: names.csv\n  votes: {votes}", text, tables) == [("Ann", "PER"), ("Acme", "ORG")]
    sql = "database: main\n  table: firms\n  key: name\n  vote: ORG"
    assert marked(start + sql, text, tables) == [("Acme", "ORG")]


def test_many_terms_are_found() -> None:
    terms = [f"name{number} of{number % 100} place{number // 7}" for number in range(20_000)]
    rule = gazetteer_rule("many", field="text", terms=terms, vote="PER", question="ner")
    text = " ".join(["so it was said of", terms[77], "and the others"] * 5)
    votes, _ = apply_marking_rules([rule], [{"text": text}] * 10, [NER])
    assert len(votes["ner"].spans[9][0]) == 5


def test_keywords_are_marked_unless_negated() -> None:
    rule = "type: keyword\n  field: text\n  keywords: [Acme*, big  blue]\n  vote: ORG"
    assert marked(rule, "Acme, ACMEs of Big\nBlue") == [("Acme", "ORG"), ("ACMEs", "ORG"), ("Big\nBlue", "ORG")]
    assert marked(f"{rule}\n  negated_by: [not]", "not Acme. Acme") == [("Acme", "ORG")]
    assert marked(f"{rule}\n  min_count: 2", "Acme alone") == []


def test_a_regex_marks_its_match_or_the_group_span() -> None:
    rule = "type: regex\n  field: text\n  vote: PER\n  pattern: "
    assert marked(f"{rule}'Dr (?P<span>\\w+)'", "Dr Lee, dr Who, Dr !") == [("Lee", "PER"), ("Who", "PER")]
    assert marked(f"{rule}'(?:Mr|Dr (?P<span>\\w+))'", "Mr Dr Who") == [("Who", "PER")]
    assert marked(f"{rule}'Dr \\w+'\n  ignore_case: false\n  whole_words: true", "Dr Lee, dr Who") == [
        ("Dr Lee", "PER")
    ]
    assert marked(f"{rule}'x*'", "a xx") == [("xx", "PER")]


def test_rules_say_what_is_no_span_of_a_label_or_of_any() -> None:
    rule = "type: keyword\n  field: text\n  keywords: [May]\n  vote: "
    assert denied(f"{rule}{{not: PER}}", "in May") == [("May", "PER")]
    assert denied(f"{rule}{{not: '*'}}", "in May") == [("May", "")]

    @labeling_function(question="ner", labels=["PER"])
    def by_hand(task: TaskFields) -> Iterator[SpanVote]:
        yield 0, 3, Not("PER")
        yield 0, 3, Not("*")

    votes, faults = apply_marking_rules([by_hand], [{"text": "May"}], [NER])
    assert faults.reasons == {}
    assert votes["ner"].against == [((Span(0, 3, "PER"), Span(0, 3, "")),)]


def test_a_pattern_that_takes_too_long_isnt_waited_for_in_all_texts() -> None:
    asked = []

    def late(text: Folded) -> list[SpanVote]:
        asked.append(text)
        raise Late("the regular expression takes more than 1 s for a text")

    rule = replace(loaded("type: regex\n  field: text\n  vote: PER\n  pattern: a")[0][0], marking=Marking("text", late))
    _, faults = apply_marking_rules([rule], [{"text": "a"}] * 2500, [NER])
    assert faults.counts == {"rule": 2500}
    assert "takes more than 1 s" in faults.reasons["rule"]
    assert len(asked) == MAX_LATE


def test_a_rule_about_another_field_is_a_fault_that_names_both() -> None:
    rules, _ = loaded("type: keyword\n  field: title\n  keywords: [x]\n  vote: PER")
    _, faults = apply_marking_rules(rules, [{"text": "x", "title": "x"}], [NER])
    assert "looks at the field 'title', but 'ner' marks 'text'" in faults.reasons["rule"]


def test_a_gazetteer_votes_for_a_whole_text_when_its_terms_agree() -> None:
    choice = Choices("topic", "text", ("PER", "ORG"))
    rule = gazetteer_rule("g", field="text", terms={"Ann": "PER", "Bob": "PER", "Acme": "ORG"})
    texts: list[dict[str, object]] = [{"text": "Ann, Bob"}, {"text": "Ann at Acme"}, {"text": "nobody"}]
    votes, faults = apply_rules([rule], texts, [choice])
    assert faults.reasons == {}
    (matrix,) = votes.values()
    assert matrix.votes[:, 0].tolist() == [0, -1, -1]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("type: gazetteer\n  field: text\n  vote: PER", "give either `terms`, `file` or `database`"),
        ("type: gazetteer\n  field: text\n  terms: [a]", "`terms` need a `vote`"),
        ("type: gazetteer\n  field: text\n  terms: [' ']\n  vote: PER", "the term ' ' is empty"),
        ("type: gazetteer\n  field: text\n  file: no.txt\n  vote: PER", "there is no file no.txt"),
    ],
)
def test_a_gazetteer_that_cannot_be_used_says_why(body: str, why: str) -> None:
    rules, set_aside = loaded(body)
    assert rules == []
    assert why in set_aside["rule"]


def test_a_vote_against_any_label_needs_a_question() -> None:
    with pytest.raises(RuleError, match="needs the `question`"):
        gazetteer_rule("none", field="text", terms=["May"], vote=Not("*"))
