"""Compute module of the processor of the comparison."""

import h5py
import numpy as np


def compute(request, results, progress):
    series = request["inputs"]["series"]
    with h5py.File(series["file"], "r", locking=False) as file:
        values = file[series["data"]][()].astype("f8")
    window = request["params"]["window"]
    results["rms"] = np.sqrt((values.reshape(-1, window, values.shape[1]) ** 2).mean(axis=1))
    progress(1.0, "done")
    return {}
