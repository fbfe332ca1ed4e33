"""Pairwise: which of two objects is better, from Label Studio's form and back, and learned from how they differ."""

import numpy as np
import pytest

from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.json import format_result, parse_answers
from backend.domain.model.gold import gold_of
from backend.domain.model.storage import from_parts, to_parts
from backend.domain.model.training import train
from backend.domain.questions import Pairwise, from_dict, to_dict
from backend.domain.suggestions import Suggestion
from backend.domain.votes import apply_rules
from tests.unit.planted import frame_with, said_by

CONFIG = """<View><Pairwise name="pw" toName="one, two"/>
<View><Text name="one" value="$first"/><Text name="two" value="$second"/></View></View>"""
WORDS = ("brave", "kind", "plain", "dull", "cold", "vague")
"""The better an answer, the earlier its word."""


def pair(left: int, right: int) -> dict[str, object]:
    return {"first": f"an answer that is {WORDS[left]}", "second": f"an answer that is {WORDS[right]}"}


def test_it_knows_what_stands_on_which_side() -> None:
    (question,) = parse_label_config(CONFIG).questions
    assert question == Pairwise("pw", "one", ("left", "right"), fields=("first", "second"))
    assert question.compared == (("first", "second"),)
    assert from_dict(to_dict(question)) == question
    both = CONFIG.replace("$second", "$first $second")
    assert parse_label_config(both).questions[0].compared == ()


@pytest.mark.parametrize("names", ["one", "one,two,three"])
def test_other_than_two_objects_cant_be_compared(names: str) -> None:
    config = parse_label_config(CONFIG.replace("one, two", names))
    assert config.questions == ()
    assert "two objects" in config.unsupported["pw"]


def test_answers_are_written_and_read_as_label_studio_saves_them() -> None:
    questions = parse_label_config(CONFIG).questions
    (item,) = format_result(Suggestion({"pw": ("right",)}), questions)
    assert item == {"from_name": "pw", "to_name": "one", "type": "pairwise", "value": {"selected": "right"}}
    # By hand, it names the control itself.
    assert parse_answers([item | {"to_name": "pw"}]) == {"pw": ("right",)}
    assert questions[0].read(parse_answers([item | {"value": {"selected": ["left"]}}])["pw"]) == ()


def test_which_is_better_is_learned_from_how_they_differ() -> None:
    questions = parse_label_config(CONFIG).questions
    random = np.random.default_rng(0)
    pairs = [(left, right) for left, right in random.integers(0, len(WORDS), (160, 2)).tolist() if left != right]
    data = [pair(*sides) for sides in pairs]
    answers = [[{"pw": ("left" if left < right else "right",)}] for left, right in pairs]
    gold = gold_of(questions, [*answers[:60], *([[]] * (len(pairs) - 60))])
    votes, _ = apply_rules([], data, questions)
    trained = train(frame_with(questions, votes=votes, gold=gold), data)
    model = from_parts(*to_parts(trained.model))
    said = questions[0].answers(said_by(model, data, votes))
    right = [given == answer[0]["pw"] for given, answer in zip(said, answers, strict=True)]
    assert np.mean(right[60:]) > 0.9
