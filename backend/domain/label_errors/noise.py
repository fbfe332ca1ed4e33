"""Confident learning: how many labels are wrong, and how, through cleanlab."""

import numpy as np
from numpy.typing import NDArray

from backend.domain.label_errors.records import Noise


def present(
    given: NDArray[np.int64], proba: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The classes that were given, int64 (c,), labels as indices into them, int64 (n,), and probabilities of these
    classes alone, float64 (n, c).

    cleanlab wants every class to be given at least once.
    """
    classes, labels = np.unique(given, return_inverse=True)
    some = np.maximum(proba[:, classes], np.finfo(np.float64).tiny)
    return classes, labels, some / some.sum(axis=1, keepdims=True)


def noise_of(given: NDArray[np.int64], proba: NDArray[np.float64], names: tuple[str, ...]) -> Noise:
    """Thresholds, joint and transition matrix of the classes that were given.

    Args:
        given: int64 (n,), at least two classes.
        proba: (n, k), finite.
        names: of all k classes.
    """
    from cleanlab import count  # noqa: PLC0415 - see backend/__init__.py

    classes, labels, some = present(given, proba)
    counts = count.compute_confident_joint(labels, some, calibrate=True)
    joint = np.asarray(count.estimate_joint(labels, some, confident_joint=counts), dtype=np.float64)
    transition = np.array(count.estimate_latent(counts, labels)[1], dtype=np.float64)
    # A true class that nothing was confidently counted into says nothing of its labels: they are taken for right.
    lost = ~np.isfinite(transition).all(axis=0) | (transition.sum(axis=0) <= 0)
    transition[:, lost] = np.eye(classes.size)[:, lost]
    transition /= transition.sum(axis=0, keepdims=True)
    return Noise(
        classes=tuple(names[index] for index in classes),
        n_labels=given.size,
        n_errors=round(given.size * (1 - float(np.trace(joint)))),
        thresholds=np.asarray(count.get_confident_thresholds(labels, some), dtype=np.float64),
        joint=joint,
        transition=transition,
    )
