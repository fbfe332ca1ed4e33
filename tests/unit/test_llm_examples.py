"""Few-shot examples: similar, balanced, and never an answer given away."""

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from backend.domain.llm.examples import choose_examples

LABELED = [
    "the plot is thin and the cast is tired",  # 0
    "the plot is rich and the cast is great",  # 1
    "lovely music, a great cast",  # 0
    "the score of the match was two to one",  # 1
    "a match of football in the rain",  # 1
    "the plot twists and the cast shines",  # 1
]
CLASSES = np.array([0, 1, 0, 1, 1, 1])
WORDS = TfidfVectorizer().fit(LABELED)


def chosen(text: str | list[str], n: int, **options: object) -> list[int]:
    texts = [text] if isinstance(text, str) else text
    return choose_examples(WORDS.transform(texts), WORDS.transform(LABELED), CLASSES, n, **options)  # type: ignore[arg-type]


def test_the_nearest_of_each_class_take_turns() -> None:
    found = chosen("the cast and the plot", 2)
    assert sorted(CLASSES[found]) == [0, 1]
    assert sorted(CLASSES[chosen("the cast and the plot", 4)]) == [0, 0, 1, 1]
    assert 4 in chosen("football in the rain today", 1)


def test_the_task_itself_and_its_near_duplicates_are_never_shown() -> None:
    for row, text in enumerate(LABELED):
        assert row not in chosen(text, 6)
        assert row not in chosen(text.upper() + "!", 6)
        # Nor beside another task of the same request.
        assert row not in chosen(["football", text], 6)


def test_forbidden_tasks_are_never_shown() -> None:
    assert set(chosen("the cast and the plot", 6, forbidden=[0, 1])) <= {2, 3, 4, 5}


def test_fewer_than_asked_for_are_fewer() -> None:
    assert len(chosen("nothing alike", 50)) == 6
    assert chosen("nothing alike", 0) == []
    empty = csr_matrix((0, len(WORDS.vocabulary_)))
    assert choose_examples(WORDS.transform(["x"]), empty, np.array([], dtype=np.int64), 4) == []


def test_tasks_without_a_known_word_may_be_the_same_and_are_not_shown_to_each_other() -> None:
    labeled = WORDS.transform([*LABELED, "???"])
    classes = np.append(CLASSES, 0)
    assert 6 not in choose_examples(WORDS.transform(["???"]), labeled, classes, 7)
    assert 6 in choose_examples(WORDS.transform(["the plot"]), labeled, classes, 7)
