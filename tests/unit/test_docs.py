"""What docs/rules.md shows works."""

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from backend.adapters.llm.prices import FilePrices
from backend.adapters.rules.loader import FolderRules
from backend.adapters.rules.yaml_file import schema
from backend.domain import rules as interface
from backend.domain.llm.records import ModelPrice
from backend.domain.marking.votes import apply_marking_rules
from backend.domain.policy import PARAMETERS
from backend.domain.questions import Choices, Spans
from backend.domain.rules import Rule
from backend.domain.votes import apply_rules
from backend.entrypoints.cli.main import cli
from backend.settings import PACKAGED_RULES_DIR
from tests.unit.planted import GENRE, SENTIMENT

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
BLOCKS = re.findall(r"^```(python|yaml)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TASKS: list[dict[str, object]] = [
    {"text": "A GREAT film, 10/10!!!", "rating": 8.5, "director": "Agnes Varda", "author": "Ann"},
    {"text": "not great; they laugh, we walked out", "rating": 3, "critics_rating": 7, "country": "fr", "cost": 120},
    {"text": "I WANT MY MONEY BACK", "url": "https://www.spam.example/x", "awards": 2},
    {},
]


def rules_of(kind: str, block: str, folder: Path) -> tuple[Rule, ...]:
    (folder / "directors.csv").write_text("name,reputation\nAgnes Varda,good\n")
    (folder / "praise.txt").write_text("Great film\n")
    (folder / "firms.csv").write_text("name,kind\nAcme,firm\n")
    (folder / "spam_sites.json").write_text('["spam.example"]')
    (folder / ("example.py" if kind == "python" else "example.yaml")).write_text(block)
    loaded = FolderRules(folder).load()
    assert loaded.set_aside == {}
    assert loaded.rules
    return loaded.rules


SPANS_PAGE = (Path(__file__).parents[2] / "docs" / "spans.md").read_text()
SPANS_BLOCKS = re.findall(r"^```(python|yaml)\n(.*?)^```", SPANS_PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("kind", "block"), SPANS_BLOCKS)
def test_examples_of_spans_mark(kind: str, block: str, tmp_path: Path) -> None:
    rules = rules_of(kind, block, tmp_path)
    question = Spans("ner", "text", ("PER", "ORG"), field="text")
    votes, faults = apply_marking_rules(rules, [{"text": "Dr Lee joins Acme in May"}, {}], [question])
    assert faults.counts == {}
    said = zip(votes["ner"].spans[0], votes["ner"].against[0], strict=True)
    assert all(spans or against for spans, against in said)


@pytest.mark.parametrize(("kind", "block"), [block for block in BLOCKS if "url: http" not in block[1]])
def test_examples_load_and_vote_without_a_fault(kind: str, block: str, tmp_path: Path) -> None:
    rules = rules_of(kind, block, tmp_path)
    matrices, faults = apply_rules(rules, TASKS, [SENTIMENT, GENRE])
    assert faults.counts == {}
    for rule in rules:
        spoken = [
            (matrix.votes[:, matrix.sources.index(rule.name)] >= 0).any()
            or (matrix.excluded is not None and (matrix.excluded[:, matrix.sources.index(rule.name)] >= 0).any())
            for matrix in matrices.values()
            if rule.name in matrix.sources
        ]
        assert any(spoken) != rule.needs_history, f"{rule.name} says nothing of any task"


def test_example_of_an_endpoint_loads(tmp_path: Path) -> None:
    (block,) = [text for _, text in BLOCKS if "url: http" in text]
    (rule,) = rules_of("yaml", block, tmp_path)
    assert rule.answers(Choices("sentiment", "text", ("Positive", "Negative")))


def test_every_type_has_a_section_with_an_example_of_it_and_every_option_is_named() -> None:
    definitions = schema()["$defs"]
    for kind in definitions["type"]["enum"]:
        section = PAGE.split(f"\n### {kind}\n")[1].split("\n### ")[0]
        (example,) = re.findall(r"^```yaml\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        assert {rule["type"] for rule in yaml.safe_load(example)["rules"]} == {kind}
        options = set(definitions[kind]["properties"]) - {"name", "type", "description", "question"}
        unnamed = {option for option in options if not re.search(rf"\b{option}\b", section)}
        assert unnamed == set()
    for option in definitions["condition"]["properties"]:
        assert f"`{option}`" in PAGE
    for measure in definitions["heuristic"]["properties"]["measure"]["enum"]:
        assert f"`{measure}`" in PAGE


def test_every_constructor_is_named() -> None:
    for name in interface.__all__:
        if name.endswith("_rule"):
            assert f"`{name}`" in PAGE


def test_shipped_rules_all_load() -> None:
    assert FolderRules(PACKAGED_RULES_DIR).load().set_aside == {}


def test_the_page_on_llms_names_every_parameter_of_a_project() -> None:
    page = (Path(__file__).parents[2] / "docs" / "llm.md").read_text()
    assert {item.name for item in PARAMETERS if item.name.startswith("llm_")} <= set(re.findall(r"`(llm_\w+)`", page))


def test_the_prices_on_the_page_on_llms_can_be_used(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "llm.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "prices.yaml").write_text(block)
    assert FilePrices(tmp_path / "prices.yaml").of("llama3:8b") == ModelPrice(0, 0)


def test_the_page_on_simulations_names_every_option() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulate.md").read_text()
    command = get_command(cli).commands["simulate"]  # type: ignore[attr-defined]
    options = {name for option in command.params for name in option.opts if name.startswith("--")}
    assert {name for name in options if name not in page} == set()
