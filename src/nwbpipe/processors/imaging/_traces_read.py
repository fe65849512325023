"""Read the traces of an input (part of compute modules: numpy and h5py only)."""

from __future__ import annotations

from typing import Any, Dict

import h5py
import numpy as np


def read_traces(source: Dict[str, Any]) -> np.ndarray:
    """Return the traces of an input, (frames, rois), float64; what is not finite is an error."""
    with h5py.File(source["file"], "r", locking=False) as file:
        values = np.asarray(file[source["data"]][()], dtype=np.float64)
    if values.ndim == 1:
        values = values[:, None]
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values).all(axis=0))[0])
        raise ValueError(
            "the traces %s hold NaN or infinite values (the first in column %d)" % (source["path"], first)
        )
    return values
