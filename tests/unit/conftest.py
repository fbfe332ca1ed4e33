"""Fixtures of the workflow tests."""

import hashlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.domain.model.training import Trained, train
from tests.unit.house import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _trained_once() -> Iterator[None]:
    """What was trained on the same before is copied, not trained again: many tests begin with the same version."""
    known: dict[bytes, bytes] = {}

    def trained(*inputs: Any, **options: Any) -> Trained:
        asked = hashlib.sha256(pickle.dumps((inputs, options))).digest()
        if asked not in known:
            known[asked] = pickle.dumps(train(*inputs, **options))
        copy: Trained = pickle.loads(known[asked])
        return copy

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backend.workflows.train.train", trained)
        yield
