"""dF/F of fluorescence traces (compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

from typing import Any, Callable, Dict

import h5py
import numpy as np

from nwbpipe_kit.baselines import compute_baseline
from nwbpipe_kit.traces import read_traces


def compute(request: Dict[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Leave ``dff`` (frames, rois), NaN for an ROI whose baseline is not positive all the time."""
    params, columns = request["params"], request["facts"]["columns"]
    traces = read_traces(request["inputs"]["traces"], columns)
    if "neuropil" in request["inputs"]:
        neuropil = read_traces(request["inputs"]["neuropil"], columns)
        # Its own level is left in: it is part of what the cell's brightness is measured against.
        traces = traces - params["neuropil_coefficient"] * (neuropil - np.median(neuropil, axis=0))
    base = compute_baseline(traces, request["facts"]["rate"], params)
    usable = np.all(base > 0, axis=0)
    if not usable.any():
        raise ValueError(
            "the baseline of no trace is positive, and dF/F has no meaning: bind traces that hold the light of the "
            "background (RoiResponseSeries), and the neuropil as an input of its own"
        )
    dff = np.full(traces.shape, np.nan, dtype=np.float32)
    dff[:, usable] = traces[:, usable] / base[:, usable] - 1
    results["dff"] = dff
    progress(1.0, "%d of %d traces" % (usable.sum(), len(usable)))
    return {"rois": len(usable), "unusable": np.flatnonzero(~usable).tolist()}
