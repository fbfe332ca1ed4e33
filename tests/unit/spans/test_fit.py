"""What is learned from people's spans."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from backend.domain.spans.calibration import Calibration, fit_calibration
from backend.domain.spans.crf import Crf, train_crf
from backend.domain.spans.features import features
from backend.domain.spans.fit import fit, folds, groups_of
from backend.domain.spans.model import flat, from_parts
from backend.domain.spans.text import Run
from backend.domain.spans.vote import Voted, vote
from backend.errors import ModelMissing
from tests.unit.spans.planted import planted

LABELS = ("person", "film")


def test_without_labels_the_vote_is_shown() -> None:
    texts, _ = planted(20)
    fitted = fit(texts, [None] * 20, LABELS)
    assert [list(item.runs) for item in fitted.model.suggest(texts)] == [vote(text) for text in texts]
    assert not fitted.model.taggers


def test_the_tagger_finds_what_no_rule_knows_and_says_how_sure_it_is() -> None:
    texts, gold = planted(60)
    labeled = [runs if row < 30 else None for row, runs in enumerate(gold)]
    model = fit(texts, labeled, LABELS).model
    for item, right in zip(model.suggest(texts[30:]), gold[30:], strict=True):
        assert tuple(item.runs) == right
        assert min(item.runs.values()) > 0.5
        assert 0.5 < item.confidence <= 1
        assert item.best is not None
        assert item.best <= 0


def test_rules_that_are_never_right_are_not_followed() -> None:
    texts = [Voted(("see", "it", "now"), ((Run(1, 2, "person"),),)) for _ in range(60)]
    model = fit(texts, [()] * 40 + [None] * 20, LABELS).model
    assert [item.runs for item in model.suggest(texts[-3:])] == [{}, {}, {}]


def test_a_model_is_stored_and_read_and_says_the_same() -> None:
    texts, gold = planted(30)
    model = fit(texts, [*gold[:20], *[None] * 10], LABELS).model
    files, described = model.to_parts()
    again = from_parts(files, described)
    assert again == model
    assert again.suggest(texts) == model.suggest(texts)
    name = next(iter(files))
    with pytest.raises(ModelMissing, match="isn't the one that was stored"):
        from_parts(files | {name: files[name] + b"x"}, described)
    with pytest.raises(ModelMissing, match="can't be read"):
        from_parts({}, described)
    with pytest.raises(ModelMissing, match="another release"):
        from_parts(files, dict(described) | {"format": 0})


def test_bytes_that_were_not_recorded_never_reach_the_library() -> None:
    with pytest.raises(ModelMissing):
        Crf.read(b"lCRF" + b"\xff" * 100, LABELS, hashlib.sha256(b"another").hexdigest())


def test_labels_that_people_let_overlap_have_a_tagger_each() -> None:
    outer, inner = Run(0, 3, "film"), Run(1, 2, "person")
    assert groups_of([(outer, inner)], LABELS) == (("person",), ("film",))
    assert groups_of([(outer, Run(4, 5, "person"))], LABELS) == (LABELS,)
    texts = [Voted(("The", name, "Show", "runs"), ()) for name in ("Ada", "Berta", "Carla", "Dora") * 5]
    model = fit(texts, [(outer, inner)] * 16 + [None] * 4, LABELS).model
    assert list(model.suggest(texts[-1:])[0].runs) == [outer, inner]


def test_runs_inside_of_others_of_a_group_are_left_out_and_counted() -> None:
    assert flat((Run(0, 3, "A"), Run(1, 2, "A"), Run(4, 5, "A"))) == ((Run(0, 3, "A"), Run(4, 5, "A")), 1)
    texts, gold = planted(8)
    assert fit(texts, [(*runs, Run(3, 6, "film")) for runs in gold], LABELS).left_out == 8


def test_texts_of_the_same_words_are_held_out_together() -> None:
    texts = [Voted((word,), ()) for word in "aabbccdd"]
    parts = folds(texts, list(range(8)))
    assert sorted(sorted(part) for part in parts) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert folds(texts[:3], [0, 1, 2]) == []
    assert folds([texts[0]] * 8, list(range(8))) == []


def test_every_word_and_label_can_be_learned() -> None:
    words = ("\ud800", "a\0b", "x" * 10_000, "\U0001f600", "a:b=c")
    run = Run(0, 2, "odd \ud800: label\0")
    text = Voted(words, ((run,),))
    crf = train_crf([features(text)] * 5, [[run]] * 5, [run.label])
    read = crf.tag(features(text))
    assert read.chances[run] > 0.5
    assert read.tags[4, 0] > 0.5
    assert read.tags.sum(axis=1) == pytest.approx(1.0)
    assert crf.tag([]).chances == {}


def test_nothing_to_learn_is_no_error() -> None:
    assert train_crf([], [], LABELS).tag(features(Voted(("a",), ()))).chances == {}
    assert fit([], [], LABELS).model.suggest([]) == []
    assert fit([Voted((), ())], [()], LABELS).model.suggest([Voted((), ())])[0].runs == {}


def test_calibration_learns_how_much_too_sure_somebody_is() -> None:
    random = np.random.default_rng(0)
    p = random.uniform(0.05, 0.95, 4_000)
    right = random.random(4_000) < Calibration(0.5, -0.3).of(p)
    found = fit_calibration(p.tolist(), right.tolist())
    assert [found.slope, found.shift] == pytest.approx([0.5, -0.3], abs=0.06)
    assert fit_calibration([], []) == Calibration()
    assert fit_calibration([0.9, 0.1] * 500, [False, True] * 500).slope > 0


def test_the_same_seed_gives_the_same_model() -> None:
    texts, gold = planted(30)
    first, second = (fit(texts, [*gold[:10], *[None] * 20], LABELS, seed=3) for _ in range(2))
    assert first.model == second.model
    assert replace(first.model, least=0.1) != second.model
