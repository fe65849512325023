"""Deconvolution of calcium traces (compute module: see `nwbpipe.processors`).

OASIS for an autoregressive process of order 1 (Friedrich, Zhou & Paninski 2017, "Fast online deconvolution of
calcium imaging data", PLOS Computational Biology 13: e1005423, algorithm 1): the calcium c that is nearest to the
trace y, with c[t] >= g c[t-1] everywhere. Written here from the paper.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import h5py
import numpy as np

from nwbpipe_kit.baselines import compute_baseline
from nwbpipe_kit.traces import read_traces


def deconvolve_oasis(trace: np.ndarray, g: float, penalty: float = 0.0, smallest: float = 0.0) -> np.ndarray:
    """Return the activity s[t] = c[t] - g c[t-1] >= 0 that explains a trace best.

    Parameters
    ----------
    trace : ndarray, shape (frames,)
        Calcium over its baseline.
    g : float
        Decay of the calcium from frame to frame, ``exp(-1 / (tau rate))``.
    penalty : float
        Weight of the sum of s (L1): minimises ``1/2 |c - y|^2 + penalty sum(s)``.
    smallest : float
        Jumps below it are merged with what came before.

    Returns
    -------
    ndarray, float64, shape (frames,)
    """
    lowered = trace - penalty * (1 - g)
    lowered[-1] = trace[-1] - penalty
    # Each pool is a stretch of pure decay: value at its start, weight, first frame, length.
    values: List[float] = []
    weights: List[float] = []
    starts: List[int] = []
    lengths: List[int] = []
    for frame, value in enumerate(lowered.tolist()):
        weight, start, length = 1.0, frame, 1
        while values and value < values[-1] * g ** lengths[-1] + smallest:
            last_value, w, k = values.pop(), weights.pop(), lengths.pop()
            start = starts.pop()
            decay = g**k
            value = (w * last_value + decay * weight * value) / (w + decay * decay * weight)
            weight = w + decay * decay * weight
            length += k
        values.append(value)
        weights.append(weight)
        starts.append(start)
        lengths.append(length)
    calcium = np.zeros(len(trace))
    for value, start, length in zip(values, starts, lengths):
        calcium[start : start + length] = max(value, 0.0) * g ** np.arange(length)
    activity = np.append(0.0, calcium[1:] - g * calcium[:-1])
    return np.where(activity > 1e-12 * max(1.0, float(np.abs(trace).max())), activity, 0.0)


def compute(request: Dict[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Leave ``deconvolved`` (frames, rois), in the unit of the traces."""
    params, rate = request["params"], request["facts"]["rate"]
    traces = read_traces(request["inputs"]["traces"], request["facts"]["columns"])
    if params["baseline"] != "none":
        traces = traces - compute_baseline(traces, rate, params)
    g = float(np.exp(-1.0 / (params["tau"] * rate)))
    activity = np.zeros(traces.shape, dtype=np.float32)
    for column in range(traces.shape[1]):
        trace = traces[:, column]
        noise = float(np.median(np.abs(np.diff(trace)))) / (0.6745 * np.sqrt(2))
        activity[:, column] = deconvolve_oasis(trace, g, params["penalty"] * noise, params["smallest"] * noise)
        progress((column + 1) / traces.shape[1], "deconvolution")
    results["deconvolved"] = activity
    return {"rois": int(traces.shape[1]), "g": g}
