"""Any label config is either read, so that each of its questions can be asked, or refused with a sentence."""

from hypothesis import given
from hypothesis import strategies as st

from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.json import format_result, parse_answers
from backend.domain.questions import Taxonomy, decisions
from backend.domain.suggestions import Suggestion
from backend.errors import BadRequest
from tests.fuzz.configs import any_config, configs
from tests.fuzz.effort import assert_sentence, effort


@effort(400)
@given(any_config)
def test_a_label_config_is_read_or_refused(xml: str) -> None:
    try:
        config = parse_label_config(xml)
    except BadRequest as error:
        assert_sentence(error)
        return
    names = [question.name for question in config.questions]
    assert len(set(names)) == len(names)
    assert not set(names) & set(config.unsupported)
    assert all(config.unsupported.values())
    keys = [decision.key for question in config.questions for decision in decisions(question)]
    assert len(set(keys)) == len(keys)
    for question in config.questions:
        assert question.labels
        assert all(question.labels)
        assert len(set(question.labels)) == len(question.labels)
        if isinstance(question, Taxonomy):
            assert len(question.paths) == len(question.labels)


@effort(100)
@given(configs, st.data())
def test_an_answer_that_is_written_for_a_question_is_read_as_the_same_answer(xml: str, data: st.DataObject) -> None:
    questions = parse_label_config(xml).questions
    answers = {}
    for question in questions:
        most = len(question.labels) if question.multiple else 1
        chosen = data.draw(st.lists(st.sampled_from(question.labels), min_size=1, max_size=most, unique=True))
        answers[question.name] = tuple(chosen)
    assert parse_answers(format_result(Suggestion(answers), questions)) == answers
