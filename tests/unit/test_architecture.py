"""Pages for those who work on the code: what they name is there, and what they show works."""

import ast
import functools
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.controls import CONTROLS
from backend.adapters.label_studio.json import format_result, parse_answers
from backend.adapters.rules.yaml_file import SCHEMA_PATH
from backend.domain.label_model.choose import METHODS
from backend.domain.questions import TYPES, from_dict, to_dict
from backend.domain.suggestions import Suggestion
from backend.domain.votes import apply_rules
from backend.errors import RuleError
from tests.unit import test_label_model
from tests.unit.planted import SENTIMENT

ROOT = Path(__file__).parents[2]
MANY_PARAMETERS = 8
DOCS = ROOT / "docs"
ADDING = {page.stem: page for page in sorted((DOCS / "adding").glob("*.md"))}
PAGES = [ROOT / "CONTRIBUTING.md", DOCS / "architecture.md", DOCS / "index.md", *ADDING.values()]
ALL_PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
PATH = re.compile(r"(?<![\w/.<-])(?:backend|benchmarks|docs|lf_rules|tests)/[\w./-]*[\w/]")
MODULE = re.compile(r"(?<![\w/.])(?:backend|benchmarks|lf_rules|tests)(?:\.\w+)+")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def example(kind: str) -> dict[str, Any]:
    """What the only block of Python on a page defines."""
    (block,) = re.findall(r"^```python\n(.*?)^```", ADDING[kind].read_text(), re.MULTILINE | re.DOTALL)
    made: dict[str, Any] = {"__name__": "example"}
    exec(compile(block, named(ADDING[kind]), "exec"), made)
    return made


def is_module(dotted: str) -> bool:
    """Whether it is a module, or something in one."""
    while "." in dotted:
        path = ROOT / dotted.replace(".", "/")
        if path.is_dir() or path.with_suffix(".py").exists():
            return True
        dotted, _, name = dotted.rpartition(".")
        inside = (ROOT / dotted.replace(".", "/")).with_suffix(".py")
        if inside.exists():
            return name in inside.read_text()
    return False


@pytest.mark.parametrize("page", ALL_PAGES, ids=named)
def test_every_path_and_module_is_there(page: Path) -> None:
    # A place for a name, and a folder that readers make.
    text = page.read_text().replace("lf_rules/movies/", "")
    paths = {found[0] for found in PATH.finditer(text) if text[found.end() : found.end() + 1] != "<"}
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
    assert [module for module in sorted(set(MODULE.findall(text))) if not is_module(module)] == []


@pytest.mark.parametrize("page", ALL_PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        goal = (page.parent / target).resolve() if target else page
        assert goal.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", goal.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@functools.cache
def words_of_the_code() -> set[str]:
    files = [path for folder in ("backend", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.py")]
    files.append(SCHEMA_PATH)
    return {word for path in files if path != Path(__file__) for word in re.findall(r"\w+", path.read_text())}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_name_is_one_of_the_code(page: Path) -> None:
    blocks = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
    known = words_of_the_code() | set(re.findall(r"\w+", "".join(blocks.findall(page.read_text()))))
    spans = re.findall(r"`([^`]+)`", PATH.sub("path", blocks.sub("", page.read_text())))
    names = {name for span in spans for name in re.findall(r"[A-Za-z]+_\w+|\w+[a-z][A-Z]\w+", span)}
    assert sorted(names - known) == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text()
    linked = {(DOCS / target).resolve() for target in re.findall(r"\]\((?!https?:)([^)#]+)", index)}
    assert [named(page) for page in ALL_PAGES if page != DOCS / "index.md" and page not in linked] == []
    readme = (ROOT / "README.md").read_text()
    assert "(docs/index.md)" in readme
    assert "(CONTRIBUTING.md)" in readme


def test_every_room_is_on_the_map() -> None:
    text = (DOCS / "architecture.md").read_text()
    rooms = {named(path.parent) for path in (ROOT / "backend").rglob("__init__.py")} - {"backend"}
    assert [room for room in sorted(rooms) if f"`{room}`" not in text] == []


def test_layers_are_those_that_are_held() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    arrows = " > ".join(layers).replace("backend.", "")
    for page in (ROOT / "CONTRIBUTING.md", DOCS / "architecture.md"):
        assert arrows in re.sub(r" +", " ", page.read_text())


def test_few_functions_have_many_parameters() -> None:
    found = []
    # Options of commands aside.
    for path in sorted({*(ROOT / "backend").rglob("*.py")} - {ROOT / "backend/entrypoints/cli/main.py"}):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [item.arg for item in ast.walk(node.args) if isinstance(item, ast.arg)]
                found += [node.name] * (len(names) - (names[:1] in (["self"], ["cls"])) >= MANY_PARAMETERS)
    # What rules are made of: each parameter is a key of a YAML file.
    assert sorted(found) == ["keyword_rule", "model_rule", "regex_rule"]


def test_no_mapping_of_anything_is_inside_of_the_adapters() -> None:
    """Nobody would know what it holds: `backend.domain.reports` has records, `backend.domain.codec` has `Json`."""
    inside = [path for room in ("domain", "ports", "workflows") for path in (ROOT / "backend" / room).rglob("*.py")]
    assert [
        named(path) for path in inside if re.search(r"[Mm]apping\[str, Any\]|dict\[str, Any\]", path.read_text())
    ] == []


def test_the_types_of_questions_on_the_page_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    made = example("question-type")
    monkeypatch.setitem(TYPES, "traffic", made["Traffic"])
    monkeypatch.setitem(CONTROLS, "traffic", made["TrafficControl"]())
    view = '<View><Text name="text" value="$text"/><Traffic name="light" toName="text"{}/></View>'
    config = parse_label_config(view.format(""))
    (question,) = config.questions
    assert from_dict(to_dict(question)) == question
    (item,) = format_result(Suggestion({"light": ("amber",)}), config.questions)
    assert item == {"from_name": "light", "to_name": "text", "type": "traffic", "value": {"traffic": "amber"}}
    assert parse_answers([item]) == {"light": ("amber",)}
    assert question.read(parse_answers([item | {"value": {"traffic": ["blue"]}}])["light"]) == ()
    assert "three lights" in parse_label_config(view.format(' lights="2"')).unsupported["light"]


def test_the_type_of_rule_on_the_page_votes() -> None:
    make = example("rule-type")["opening_rule"]
    rule = make("cheers", field="text", opening="Bravo", vote="Positive")
    votes, faults = apply_rules([rule], [{"text": "BRAVO, all"}, {"text": "no bravo"}, {}], [SENTIMENT])
    assert votes["sentiment"].votes[:, 0].tolist() == [0, -1, -1]
    assert faults.counts == {}
    with pytest.raises(RuleError, match="cheers: `opening`"):
        make("cheers", field="text", opening=" ", vote="Positive")


def test_the_strategy_on_the_page_gives_a_utility() -> None:
    richness = example("strategy")["richness"]
    assert richness(csr_matrix(np.array([[1.0, 2.0], [0.0, 3.0], [0.0, 0.0]]))).tolist() == [1.0, 0.5, 0.0]
    assert richness(csr_matrix((0, 4))).tolist() == []


def test_the_label_model_on_the_page_does_what_is_asked_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    bold = example("label-model")["BoldVote"]
    monkeypatch.setattr("backend.domain.label_model.choose.METHODS", (*METHODS, bold))
    test_label_model.test_clear_majorities_win_and_tasks_without_votes_have_no_answer(bold)
    test_label_model.test_a_question_with_one_label_is_certain_where_someone_votes(bold)
    test_label_model.test_survives_json(bold)
    for n, m in [(0, 0), (0, 3), (4, 0), (4, 1)]:
        test_label_model.test_nothing_to_learn_from(bold, n, m)
