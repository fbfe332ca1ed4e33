"""Before: what an earlier version said of the units of today."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.corpus import Corpus
from backend.domain.questions.forms import Posteriors
from backend.domain.questions.units import Units, same_units
from backend.ports import Deps, VersionRecord


@dataclass(frozen=True, slots=True)
class HeldOutBefore:
    """Held-out posteriors of an earlier version, by `Decision.key`, in its own rows.

    places: int64 (n_units,) by question of today, the row of each unit; -1 where the version didn't know it. n_tasks:
    those of the version.
    """

    posteriors: Posteriors
    places: Mapping[str, NDArray[np.int64]]
    n_tasks: int


def held_out_before(deps: Deps, record: VersionRecord, corpus: Corpus) -> HeldOutBefore:
    """What a version said.

    Raises:
        ModelMissing: it can't be read.
    """
    ids, posteriors = deps.versions.held_out(record.key, record.number)
    then = deps.versions.units(record.key, record.number)
    places = {
        name: same_units(units, corpus.ids, then.get(name, Units(len(ids))), ids)
        for name, units in corpus.units.items()
    }
    return HeldOutBefore(posteriors, places, len(ids))
