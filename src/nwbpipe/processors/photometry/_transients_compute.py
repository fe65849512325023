"""Find transients in photometry traces with scipy's `find_peaks` (compute module)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from ._photometry_series import iter_runs, median_interval, read_series

Progress = Callable[[float, str], None]


def find_transients(values: np.ndarray, times: np.ndarray, params: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return time, height, prominence (in the trace's unit) and width (s) of the transients of one trace.

    A trace is searched a stretch at a time: no transient reaches over missing samples.
    """
    from scipy.signal import find_peaks, peak_widths

    good = values[np.isfinite(values)]
    names = ("time", "height", "prominence", "width_s")
    if len(good) < 3:
        return {name: np.zeros(0) for name in names}
    centre = float(np.median(good))
    spread = 1.4826 * float(np.median(np.abs(good - centre)))
    step = median_interval(times)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for run in iter_runs(np.isfinite(values), times):
        part = values[run]
        peaks, facts = find_peaks(
            part,
            height=centre + params["threshold"] * spread,
            prominence=max(params["prominence"] * spread, 1e-300),
            distance=max(1, round(params["distance_s"] / step)),
        )
        widths = peak_widths(part, peaks, rel_height=0.5)[0] * step
        accepted = (widths >= params["min_width_s"]) & (widths <= (params["max_width_s"] or np.inf))
        for name, column in zip(names, (times[run][peaks], part[peaks], facts["prominences"], widths)):
            columns[name].append(column[accepted])
    return {name: np.concatenate(several) if several else np.zeros(0) for name, several in columns.items()}


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Leave the transients of all traces, in the order of time: ``time``, ``height``, …, ``column``."""
    values, times = read_series(request["inputs"]["trace"])
    parts = []
    for column in range(values.shape[1]):
        part = find_transients(values[:, column], times, request["params"])
        part["column"] = np.full(len(part["time"]), column)
        parts.append(part)
        progress((column + 1) / values.shape[1], "traces")
    transients = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(transients["time"], kind="stable")
    for name, array in transients.items():
        results[name] = array[order]
    observed_s = np.isfinite(values).sum(axis=0) * median_interval(times)
    counts = [len(part["time"]) for part in parts]
    return {"counts": counts, "observed_s": observed_s.tolist()}
