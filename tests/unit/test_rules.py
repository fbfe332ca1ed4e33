"""Labeling functions, and the folder they are loaded from."""

import copy
import os
import sys
from pathlib import Path

import pytest

from backend.adapters.rules.loader import FolderRules
from backend.domain.questions import Choices
from backend.domain.rules import TaskFields, Vote, labeling_function
from backend.errors import ConfigurationError, RuleError

SENTIMENT = Choices("sentiment", "text", ("Positive", "Negative"))
RULE = '''
from backend.domain.rules import labeling_function

@labeling_function(labels=["{label}"])
def {name}(task):
    """A rule."""
    return "{label}"
'''


def test_fields_are_read_by_attribute_and_item_and_missing_ones_are_none() -> None:
    task = TaskFields({"rating": 8, "prelabel_expected": "Positive"})
    assert task.rating == task["rating"] == 8
    assert task.missing is None
    assert task["missing"] is None


def test_missing_fields_can_be_told_from_empty_ones() -> None:
    task = TaskFields({"rating": None, "year": 1999, "prelabel_expected": "Positive"})
    assert "rating" in task
    assert "missing" not in task
    assert "prelabel_expected" not in task
    assert (task.get("rating", 5), task.get("missing", 5), task.get("missing")) == (None, 5, None)


def test_fields_called_like_methods_are_read_by_item() -> None:
    data = {"items": 3, "keys": 4, "get": 5, "_fields": 6, "__class__": 7, "a b": 8}
    task = TaskFields(data)
    assert {name: task[name] for name in data} == data
    assert dict(task) == data
    assert ("items", 3) in task.items()
    assert copy.deepcopy(task) == task


def test_rules_cannot_change_what_other_rules_see() -> None:
    task = TaskFields({"rating": 8})
    with pytest.raises(AttributeError, match="rating"):
        task.rating = 9
    assert task.rating == 8


def test_our_own_tags_are_not_there() -> None:
    task = TaskFields({"rating": 8, "prelabel_expected": "Positive"})
    assert task.prelabel_expected is None
    assert list(task) == ["rating"]


def test_a_rule_takes_its_name_and_description_from_the_function() -> None:
    @labeling_function(question="sentiment", labels=["Positive"])
    def praise(task: TaskFields) -> Vote:
        """Says praise."""
        return "Positive"

    assert (praise.name, praise.description) == ("praise", "Says praise.")
    assert praise.answers(SENTIMENT)
    assert not praise.answers(Choices("other", "text", ("Positive",)))
    assert not praise.answers(Choices("sentiment", "text", ("Good", "Bad")))


def test_missing_parentheses_are_explained() -> None:
    with pytest.raises(RuleError, match=r"@labeling_function\(\) with parentheses above praise"):

        @labeling_function
        def praise(task: TaskFields) -> Vote:
            return None


def test_labels_must_be_a_list() -> None:
    with pytest.raises(RuleError, match=r"labels=\['Positive'\]"):
        labeling_function(labels="Positive")


def test_files_are_loaded_in_order_and_an_edit_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_text(RULE.format(name="second", label="Positive"))
    (tmp_path / "a.py").write_text(RULE.format(name="first", label="Negative"))
    loader = FolderRules(tmp_path)
    before = loader.load()
    assert [rule.name for rule in before.rules] == ["first", "second"]
    assert loader.load() is before
    (tmp_path / "a.py").write_text(RULE.format(name="renamed", label="Negative"))
    os.utime(tmp_path / "a.py", (1, 1))
    assert [rule.name for rule in loader.load().rules] == ["renamed", "second"]


def test_broken_files_and_doubled_names_are_set_aside_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(RULE.format(name="same", label="Negative"))
    (tmp_path / "b.py").write_text(RULE.format(name="same", label="Positive"))
    (tmp_path / "c.py").write_text("def broken(:")
    (tmp_path / "d.py").write_text("import nothing_of_this_name")
    (tmp_path / "e.py").write_text("import sys; sys.exit('goodbye')")
    loaded = FolderRules(tmp_path).load()
    assert [rule.function(TaskFields({})) for rule in loaded.rules] == ["Negative"]
    assert set(loaded.set_aside) == {"b.py: same", "c.py", "d.py", "e.py"}
    assert "SyntaxError" in loaded.set_aside["c.py"]
    assert "nothing_of_this_name" in loaded.set_aside["d.py"]
    assert "SystemExit: goodbye" in loaded.set_aside["e.py"]


def test_a_folder_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="LF_RULES_DIR"):
        FolderRules(tmp_path / "none").load()


def test_an_edit_of_the_same_length_within_a_second_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    head = "from backend.domain.rules import labeling_function\n\n@labeling_function()\ndef rule(task): return "
    votes = []
    for place, label in enumerate(("one", "two")):
        path = tmp_path / "rule.py"
        path.write_text(f"{head}{label!r}\n")
        os.utime(path, ns=(10**18 + place, 10**18 + place))
        votes.append(FolderRules(tmp_path).load().rules[0].function(TaskFields({})))
    assert votes == ["one", "two"]
    assert [item.name for item in tmp_path.iterdir()] == ["rule.py"]
