"""Scores of a session on components of many (compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

Progress = Callable[[float, str], None]
_ROWS = 1 << 16


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    folder, facts = Path(request["inputs"]["model"]["folder"]), request["facts"]
    mean, scale, components = (
        np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("mean", "scale", "components")
    )
    series = request["inputs"]["series"]
    with h5py.File(series["file"], "r", locking=False) as file:
        data = file[series["data"]]
        scores = results.create_dataset("scores", (len(data), len(components)), "f8")
        for start in range(0, len(data), _ROWS):
            rows = np.asarray(data[start : start + _ROWS], dtype=np.float64) * facts["conversion"] + facts["offset"]
            scores[start : start + _ROWS] = ((rows - mean) / scale) @ components.T
            progress(min(1.0, (start + _ROWS) / len(data)), "projecting")
    summary: dict[str, Any] = json.loads((folder / "pca.json").read_text(encoding="utf-8"))
    return summary
