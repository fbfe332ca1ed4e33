"""Features of a project's tasks, kept between trainings: only new and changed tasks are read again.

`MODEL_DIR/projects/<project>/features/` holds the fitted extractor (extractor.skops), the matrix (data.npy,
indices.npy, indptr.npy), the content hash of each row (hashes.npy) and manifest.json, which has a checksum of each
array. There is one such folder for a project, and each write replaces it. It can be deleted at any time.
"""

import json
import shutil
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import skops.io
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from backend.domain.features import FORMAT, FeatureExtractor
from backend.domain.features.fields import flat_fields
from backend.domain.model.storage import TRUSTED_TYPES
from backend.domain.model.training import Features
from backend.domain.tasks import content_hash

GROWN = 1.5
"""Times as many tasks as the extractor was fitted on, from which it is fitted anew: there are new words to know."""
KEPT = 0.5
"""Share of the tasks that must be unchanged; below it, it is another set of tasks, with words of its own."""
ARRAYS = ("data", "indices", "indptr", "hashes")


class FeatureCache:
    """The folders below one root. The caller holds the project's lock."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def features(
        self,
        key: str,
        data: Sequence[Mapping[str, object]],
        compared: Sequence[tuple[str, str]] = (),
        contents: Sequence[bytes] | None = None,
    ) -> Features:
        """Features of task data, rows in its order. What can't be read is made anew, without an error.

        Args:
            key: the project.
            data: of its tasks.
            compared: see `FeatureExtractor.fit`.
            contents: the hashes of `data`, where they are known already.
        """
        known = [content_hash(item) for item in data] if contents is None else contents
        hashes = np.frombuffer(b"".join(known), dtype=np.uint8).reshape(-1, 16)
        folder = self._root / "projects" / key / "features"
        kept = self._load(folder)
        pairs = [list(pair) for pair in compared]
        same = kept is not None and kept[2].get("compared", []) == pairs
        found = _completed(*kept, hashes, data) if kept is not None and same else None
        if found is not None and kept is not None:
            features, n_fitted = found, int(kept[2]["n_fitted"])
            if features.matrix is kept[0].matrix:
                return features
            fields = set(kept[2]["fields"])
        else:
            extractor = FeatureExtractor().fit(data, compared)
            features, n_fitted = Features(extractor, extractor.transform(data)), len(data)
            fields = {name for item in data for name in flat_fields(item)}
        manifest = {"n_fitted": n_fitted, "fields": sorted(fields), "compared": pairs}
        _write(folder, features, hashes, manifest)
        return features

    def _load(self, folder: Path) -> tuple[Features, NDArray[np.uint8], dict[str, Any]] | None:
        """What is kept; None where it is missing, damaged, or of another release."""
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            if manifest["format"] != [FORMAT, sklearn.__version__]:
                return None
            arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in ARRAYS}
            if any(zlib.crc32(arrays[name].data) != manifest["checksums"][name] for name in ARRAYS):
                return None
            extractor = skops.io.load(folder / "extractor.skops", trusted=list(TRUSTED_TYPES))
            shape = (len(arrays["hashes"]), extractor.width)
            matrix = csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        except Exception:  # noqa: BLE001 - a file cut short or changed raises many kinds, and all mean: make it anew.
            return None
        return Features(extractor, matrix), arrays["hashes"], manifest


def _completed(
    kept: Features,
    kept_hashes: NDArray[np.uint8],
    manifest: Mapping[str, Any],
    hashes: NDArray[np.uint8],
    data: Sequence[Mapping[str, object]],
) -> Features | None:
    """Kept rows and those of new tasks, in the order of `data`; None when the extractor should be fitted anew."""
    if np.array_equal(kept_hashes, hashes):
        return kept
    place_of = {row.tobytes(): place for place, row in enumerate(kept_hashes)}
    places = np.array([place_of.get(row.tobytes(), -1) for row in hashes], dtype=np.int64)
    new = np.flatnonzero(places < 0)
    if len(data) >= GROWN * manifest["n_fitted"] or len(data) - new.size < KEPT * len(data):
        return None
    fresh = [data[row] for row in new.tolist()]
    if not {name for item in fresh for name in flat_fields(item)} <= set(manifest["fields"]):
        return None
    if new.size:
        places[new] = len(kept_hashes) + np.arange(new.size)
    both = vstack([kept.matrix, kept.extractor.transform(fresh)], format="csr") if new.size else kept.matrix
    in_order = np.array_equal(places, np.arange(both.shape[0]))
    return Features(kept.extractor, both if in_order else both[places])


def _write(folder: Path, features: Features, hashes: NDArray[np.uint8], manifest: Mapping[str, Any]) -> None:
    """Replace the folder. A process killed meanwhile leaves the old one, or none."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(".features-*"):
        shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=".features-", dir=folder.parent))
    try:
        matrix = features.matrix
        arrays = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "hashes": hashes}
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)
        skops.io.dump(features.extractor, temporary / "extractor.skops")
        checksums = {name: zlib.crc32(np.ascontiguousarray(array).data) for name, array in arrays.items()}
        described = {"format": [FORMAT, sklearn.__version__], "checksums": checksums} | dict(manifest)
        (temporary / "manifest.json").write_text(json.dumps(described))
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
