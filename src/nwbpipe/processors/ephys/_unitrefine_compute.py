"""Label units by trained classifiers of their metrics: the compute module.

`compute` leaves in ``results`` ``label`` (text) and ``probability`` (float64), both of shape (units,).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping

import h5py
import numpy as np

from ._unit_classifier import load_classifier


def compute(request: Mapping[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Label units as noise or neural, then the neural ones as single or multi-unit activity."""
    table = request["inputs"]["quality"]
    columns = {}
    with h5py.File(table["file"], "r", locking=False) as file:
        group = file[table["path"]]
        units = len(group["id"])
        for name, values in group.items():
            if isinstance(values, h5py.Dataset) and values.shape == (units,) and values.dtype.kind in "iufb":
                columns[name] = values[:].astype("float64")
    labels: List[str] = ["neural"] * units
    probability = np.full(units, np.nan)
    rows = np.arange(units)
    notes: List[str] = []
    for step in ("noise_neural", "sua_mua"):
        folder = Path(request["inputs"]["model"]["folder"]) / step
        if not folder.is_dir() or not len(rows):
            continue
        progress(0.5, step)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found, chances = load_classifier(folder, request["facts"]["trusted"]).label(columns, rows)
        # Said by scikit-learn where a model comes of another version of it.
        notes += [
            str(item.message).splitlines()[0] for item in caught if "InconsistentVersion" in item.category.__name__
        ]
        for row, label, chance in zip(rows, found, chances):
            labels[row], probability[row] = label, chance
        rows = np.array([row for row in rows if labels[row] != "noise"], dtype="int64")
    results.create_dataset("label", data=labels, dtype=h5py.string_dtype(), shape=(units,))
    results["probability"] = probability
    counts = {label: labels.count(label) for label in sorted(set(labels))}
    return {"labels": counts, "notes": sorted(set(notes))}
