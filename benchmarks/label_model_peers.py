"""The peers of `benchmarks.label_model`: crowd-kit's Dawid-Skene and Snorkel's LabelModel.

python -m benchmarks.label_model_peers FOLDER SEEDS

Runs in an environment of its own. Reads FOLDER/<set>.npz (votes, n_classes), writes FOLDER/<set>.<n>.peer.npz (method,
seed, posterior, seconds, mib): one fit each. crowd-kit is deterministic and fitted once.
"""

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from crowdkit.aggregation import DawidSkene
from numpy.typing import NDArray
from snorkel.labeling.model import LabelModel

from benchmarks.memory import peak_mib

Posterior = NDArray[np.float64]
Fit = Callable[[NDArray[np.int64], int], Posterior]


def snorkel(votes: NDArray[np.int64], n_classes: int, *, seed: int, n_epochs: int) -> Posterior:
    """Snorkel's LabelModel; 100 epochs is its default."""
    model = LabelModel(cardinality=n_classes, verbose=False)
    model.fit(votes, n_epochs=n_epochs, seed=seed, progress_bar=False)
    return np.asarray(model.predict_proba(votes))


def dawid_skene(votes: NDArray[np.int64], n_classes: int, *, abstain_is_outcome: bool) -> Posterior:
    """crowd-kit's Dawid-Skene; rows without votes are left out, and get an even posterior."""
    voted = np.flatnonzero((votes >= 0).any(axis=1))
    seen = votes[voted]
    rows, sources = np.nonzero(np.ones_like(seen, dtype=bool) if abstain_is_outcome else seen >= 0)
    answers = pd.DataFrame({"task": rows, "worker": sources, "label": seen[rows, sources]})
    fitted = DawidSkene(n_iter=100).fit_predict_proba(answers).reindex(index=range(voted.size))
    proba = fitted.reindex(columns=range(n_classes), fill_value=0.0).to_numpy() + 1e-12
    posterior = np.full((len(votes), n_classes), 1 / n_classes)
    posterior[voted] = proba / proba.sum(axis=1, keepdims=True)
    return posterior


def fits(n_seeds: int) -> list[tuple[str, int, Fit]]:
    """Method, seed and call of every fit."""
    return [
        ("crowd-kit Dawid-Skene", 0, functools.partial(dawid_skene, abstain_is_outcome=False)),
        ("crowd-kit Dawid-Skene, abstain an outcome", 0, functools.partial(dawid_skene, abstain_is_outcome=True)),
        *(
            (name, seed, functools.partial(snorkel, seed=seed, n_epochs=n_epochs))
            for name, n_epochs in (("Snorkel default", 100), ("Snorkel 500 epochs", 500))
            for seed in range(n_seeds)
        ),
    ]


def main() -> None:
    """Fit every peer on every set of the folder."""
    torch.set_num_threads(1)
    folder, n_seeds = Path(sys.argv[1]), int(sys.argv[2])
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            votes, n_classes = file["votes"].astype(np.int64), int(file["n_classes"])
        for number, (method, seed, fit) in enumerate(fits(n_seeds)):
            # In a process of its own, and before the timed fit, which then runs warm.
            mib = peak_mib(functools.partial(fit, votes, n_classes)) if seed == 0 else np.nan
            started = time.perf_counter()
            posterior = fit(votes, n_classes)
            seconds = time.perf_counter() - started
            place = folder / f"{path.stem}.{number}.peer.npz"
            np.savez(place, method=method, seed=seed, posterior=posterior, seconds=seconds, mib=mib)


if __name__ == "__main__":
    main()
