"""Rates of units around events: the compute module.

Standard library, numpy, h5py and scipy only. `compute` leaves ``rate``, ``sem`` (float64, (kinds, units, bins), Hz),
``trials`` (int64, (kinds, units)), ``baseline``, ``response``, ``p_value`` and ``p_adjusted`` (float64,
(kinds, units)) and ``lags`` (float64, (bins,), the middles of the bins in seconds from the event).
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping

import h5py
import numpy as np
from scipy.stats import wilcoxon


def compute(request: Mapping[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Average the units ``request["inputs"]["units"]`` around the events of ``request["facts"]``."""
    params, facts, units = request["params"], request["facts"], request["inputs"]["units"]
    times, kinds = np.array(facts["times"], dtype=float), np.array(facts["kinds"], dtype=int)
    count = round((params["before_s"] + params["after_s"]) / params["bin_s"])
    edges = -params["before_s"] + params["bin_s"] * np.arange(count + 1)
    with h5py.File(units["file"], "r", locking=False) as file:
        table = file[units["path"]]
        size = len(table["id"])
        spikes = read_ragged(table, "spike_times", size)
        observed = read_ragged(table, "obs_intervals", size)
    shape = (len(facts["names"]), size)
    rate, sem = np.full((*shape, count), np.nan), np.full((*shape, count), np.nan)
    trials = np.zeros(shape, dtype="int64")
    baseline, response, p_value = (np.full(shape, np.nan) for _ in range(3))
    for unit in range(size):
        progress(unit / max(1, size), "units")
        for kind in range(len(facts["names"])):
            events = select_events(times[kinds == kind], observed[unit], edges[0], edges[-1])
            trials[kind, unit] = len(events)
            if not len(events):
                continue
            counts = count_spikes(spikes[unit], events, edges)
            rate[kind, unit] = counts.mean(axis=0) / params["bin_s"]
            if len(events) > 1:
                sem[kind, unit] = counts.std(axis=0, ddof=1) / params["bin_s"] / np.sqrt(len(events))
            quiet, driven = (
                measure_rates(spikes[unit], events, params[name]) for name in ("baseline_s", "response_s")
            )
            baseline[kind, unit], response[kind, unit] = quiet.mean(), driven.mean()
            p_value[kind, unit] = compare_rates(quiet, driven)
    results["lags"] = (edges[1:] + edges[:-1]) / 2
    for name, values in (("rate", rate), ("sem", sem), ("trials", trials), ("baseline", baseline)):
        results[name] = values
    results["response"], results["p_value"] = response, p_value
    results["p_adjusted"] = adjust(p_value)
    return {"units": size, "events": len(times)}


def read_ragged(table: Any, name: str, size: int) -> Any:
    """Return a column's values for each unit; None for each if the table lacks it."""
    if name not in table:
        return [None] * size
    ends = table[f"{name}_index"][:].astype("int64")
    return np.split(table[name][:], ends[:-1])


def select_events(events: np.ndarray, observed: Any, first: float, last: float) -> np.ndarray:
    """Return the events whose whole window was observed; all of them where that is not finite."""
    events = events[np.isfinite(events)]
    if observed is None or not len(observed):
        return events
    inside = (events[:, None] + first >= observed[:, 0] - 1e-9) & (events[:, None] + last <= observed[:, 1] + 1e-9)
    selected: np.ndarray = events[inside.any(axis=1)]
    return selected


def count_spikes(spikes: np.ndarray, events: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the number of spikes in each bin around each event."""
    spikes = np.zeros(0) if spikes is None else spikes
    counts: np.ndarray = np.diff(np.searchsorted(spikes, events[:, None] + edges), axis=1)
    return counts


def measure_rates(spikes: np.ndarray, events: np.ndarray, window: Any) -> np.ndarray:
    """Return the rate in a window around each event, in Hz."""
    return np.asarray(count_spikes(spikes, events, np.asarray(window))[:, 0] / (window[1] - window[0]))


def compare_rates(before: np.ndarray, after: np.ndarray) -> float:
    """Return the p-value of Wilcoxon's signed-rank test; NaN under 5 trials, 1 if no trial differs."""
    if len(before) < 5:
        return float("nan")
    if np.array_equal(before, after):
        return 1.0
    return float(wilcoxon(after, before).pvalue)


def adjust(p_values: np.ndarray) -> np.ndarray:
    """Return the p-values after Benjamini and Hochberg, over all units and kinds of events."""
    flat = p_values.ravel()
    finite = np.flatnonzero(np.isfinite(flat))
    adjusted = np.full(flat.shape, np.nan)
    order = finite[np.argsort(flat[finite])]
    scaled = flat[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted.reshape(p_values.shape)
