"""Power, amplitude or phase of a field potential in bands of frequency: the compute module.

Standard library, numpy, h5py and scipy only. `compute` leaves ``values`` (float32, (bins, channels, bands)) and, for
a series with timestamps, ``times`` (float64, (bins,)). Each band has one filter of finite length that gives the
analytic signal, so that blocks have no edges, and memory does not grow with the recording. Where a filter reaches
beyond the recording, or over a gap, the value is NaN.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Tuple

import h5py
import numpy as np
from scipy.signal import firwin, kaiserord, oaconvolve

_ATTENUATION_DB = 60.0
_BLOCK_S = 60.0
_CHANNELS = 32


def compute(request: Mapping[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Measure the bands of ``request["inputs"]["lfp"]``."""
    params, facts, series = request["params"], request["facts"], request["inputs"]["lfp"]
    rate, metric = facts["rate"], params["metric"]
    step = max(1, round(rate / params["rate"]))
    kernels = [design_kernel(low, high, rate) for low, high in params["bands"].values()]
    gains = np.asarray(facts["gains"])
    with h5py.File(series["file"], "r", locking=False) as file:
        data = file[series["data"]]
        data = data if data.ndim == 2 else data[:][:, None]
        stamps = None if series.get("timestamps") is None else file[series["timestamps"]][:]
        stretches = find_stretches(stamps, len(data), rate)
        counts = [(end - start) // step for start, end in stretches]
        shape = (sum(counts), data.shape[1], len(kernels))
        values = results.create_dataset(
            "values",
            shape,
            "float32",
            chunks=(max(1, min(4096, shape[0])), min(_CHANNELS, shape[1]), 1),
            fillvalue=np.nan,
        )
        offset = 0
        times: List[np.ndarray] = []
        middle = step // 2 if metric == "phase" else (step - 1) / 2
        for (start, end), count in zip(stretches, counts):
            if stamps is not None:
                positions = start + middle + np.arange(count) * step
                times.append(np.interp(positions, np.arange(start, end), stamps[start:end]))
            for first in range(0, data.shape[1], _CHANNELS):
                columns = slice(first, min(first + _CHANNELS, data.shape[1]))
                for band, kernel in enumerate(kernels):
                    for bin_, part in measure_stretch(data, (start, end), columns, gains, kernel, step, rate, metric):
                        values[offset + bin_ : offset + bin_ + len(part), columns, band] = part
                progress(0.05 + 0.9 * first / data.shape[1], "bands")
            offset += count
    if stamps is not None:
        results["times"] = np.concatenate(times) if times else np.zeros(0)
    return {"rate": rate / step, "offset_s": middle / rate, "taps": [len(kernel) for kernel in kernels]}


def find_stretches(stamps: Any, samples: int, rate: float) -> "List[Tuple[int, int]]":
    """Return first and end sample of each stretch without a gap."""
    if stamps is None:
        return [(0, samples)]
    breaks = np.flatnonzero(np.diff(stamps) > 1.5 / rate) + 1
    return list(zip([0, *breaks.tolist()], [*breaks.tolist(), samples]))


def design_kernel(low: float, high: float, rate: float) -> np.ndarray:
    """Return the complex filter whose output is the analytic signal of a band: a sine of 1 gives a magnitude of 1."""
    width = 0.25 * min(low, high - low)
    taps, beta = kaiserord(_ATTENUATION_DB, width / (rate / 2))
    taps |= 1
    prototype = firwin(taps, (high - low) / 2 + width / 2, window=("kaiser", beta), fs=rate)
    turn = 2j * np.pi * (low + high) / 2 / rate * (np.arange(taps) - taps // 2)
    kernel: np.ndarray = 2.0 * prototype * np.exp(turn)
    return kernel


def measure_stretch(
    data: Any,
    stretch: "Tuple[int, int]",
    columns: slice,
    gains: np.ndarray,
    kernel: np.ndarray,
    step: int,
    rate: float,
    metric: str,
) -> Any:
    """Yield the first bin and the values of each block of a stretch, without bins at the filter's ends."""
    start, end = stretch
    margin = len(kernel) // 2
    # Bins whose samples all lie a filter's half away from the ends.
    first_bin, last_bin = -(-margin // step), (end - start - margin) // step
    block = max(1, int(_BLOCK_S * rate) // step)
    for bin_ in range(first_bin, last_bin, block):
        last = min(bin_ + block, last_bin)
        low, high = start + bin_ * step - margin, start + last * step + margin
        traces = data[low:high, columns] * gains[columns]
        analytic = oaconvolve(traces, kernel[:, None], mode="valid", axes=0)
        analytic = analytic[: (last - bin_) * step].reshape(last - bin_, step, -1)
        if metric == "phase":
            yield bin_, np.angle(analytic[:, step // 2]).astype("float32")
        elif metric == "amplitude":
            yield bin_, np.abs(analytic).mean(axis=1).astype("float32")
        else:
            yield bin_, (0.5 * np.abs(analytic) ** 2).mean(axis=1).astype("float32")
