"""Read the traces of an input."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import h5py
import numpy as np


def read_traces(source: Dict[str, Any], columns: Optional[List[int]] = None) -> np.ndarray:
    """Return traces of an input, (frames, rois), float64: all, or some columns. What is not finite is an error."""
    with h5py.File(source["file"], "r", locking=False) as file:
        values = np.asarray(file[source["data"]][()], dtype=np.float64)
    if values.ndim == 1:
        values = values[:, None]
    selected_columns = list(range(values.shape[1])) if columns is None else columns
    values = values[:, selected_columns]
    if not np.isfinite(values).all():
        first = selected_columns[int(np.flatnonzero(~np.isfinite(values).all(axis=0))[0])]
        raise ValueError(
            "the traces %s hold NaN or infinite values (the first in column %d)" % (source["path"], first)
        )
    return values
