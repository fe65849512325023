"""Quality metrics of a scan and of its ROIs (compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

from typing import Any, Callable, Dict

import h5py
import numpy as np

from nwbpipe_kit.imaging_metrics import (
    FRAME_METRICS,
    frame_metrics,
    mask_metrics,
    motion_metrics,
    scan_metrics,
    sharpness,
    trace_metrics,
)
from nwbpipe_kit.movies import GROUP_BYTES, ChunkReader
from nwbpipe_kit.traces import read_traces

Progress = Callable[[float, str], None]


def compute(request: Dict[str, Any], results: h5py.File, progress: Progress) -> Dict[str, Any]:
    """Leave ``frames/…`` (frames,), ``roi/…`` (rois,), and the scan's metrics in the summary."""
    inputs, facts, params = request["inputs"], request["facts"], request["params"]
    scan: Dict[str, float] = {}
    if "movie" in inputs:
        with h5py.File(inputs["movie"]["file"], "r", locking=False, rdcc_nbytes=GROUP_BYTES) as file:
            data = file[inputs["movie"]["data"]]
            scan.update(measure_movie(data, results, facts, params, request["threads"], progress))
    if "shifts" in inputs:
        scan.update(motion_metrics(read_shifts(inputs["shifts"])))
    roi_metrics: Dict[str, np.ndarray] = {}
    if "segmentation" in inputs:
        with h5py.File(inputs["segmentation"]["file"], "r", locking=False) as file:
            table = file[inputs["segmentation"]["path"]]
            pixels, index = table["pixel_mask"][()], table["pixel_mask_index"][()].astype(np.int64)
            plane = table["plane"][()] if "plane" in table else None
        shape = tuple(facts["frame_shape"])
        area = facts.get("pixel_area_um2")
        roi_metrics.update(mask_metrics(index, pixels["x"], pixels["y"], pixels["weight"], shape, plane, area))
    if "traces" in inputs:
        neuropil = read_traces(inputs["neuropil"]) if "neuropil" in inputs else None
        traces = read_traces(inputs["traces"])
        roi_metrics.update(trace_metrics(traces, facts["rate"], neuropil, params["neuropil_coefficient"]))
    for name, values in roi_metrics.items():
        results["roi/" + name] = values
    # JSON has no word for what can't be told.
    return {"scan": {name: value if np.isfinite(value) else None for name, value in scan.items()}}


def read_shifts(source: Dict[str, Any]) -> np.ndarray:
    """Return the shifts of an input, (frames, [planes,] 2)."""
    with h5py.File(source["file"], "r", locking=False) as file:
        values: np.ndarray = np.asarray(file[source["data"]][()], dtype=np.float64)
    return values


def measure_movie(
    data: Any, results: h5py.File, facts: Dict[str, Any], params: Dict[str, Any], threads: int, progress: Progress
) -> Dict[str, float]:
    """Read the movie once; leave the metrics of each frame, and return those of the scan."""
    frames, rate = data.shape[0], facts["rate"]
    level = params["saturation"]
    if level is None and data.dtype.kind in "iu":
        level = np.iinfo(data.dtype).max
    second = max(1, round(rate))
    step = max(second, GROUP_BYTES // max(1, int(np.prod(data.shape[1:])) * data.dtype.itemsize) // second * second)
    reader = ChunkReader(data, threads)
    parts = []
    focus = []
    saturated = 0
    for start in range(0, frames, step):
        block = reader.read_frames(np.arange(start, min(start + step, frames)))
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            raise ValueError(
                "the movie holds NaN or infinite values (frames %d to %d)" % (start, start + len(block) - 1)
            )
        parts.append(frame_metrics(block))
        saturated += int((block >= level).sum()) if level is not None else 0
        for first in range(0, len(block) - second + 1, second):
            image = block[first : first + second].mean(axis=0)
            planes = [image] if image.ndim == 2 else list(np.moveaxis(image, 2, 0))
            focus.append(float(np.mean([sharpness(plane_image) for plane_image in planes])))
        progress(0.9 * min(start + step, frames) / frames, "frames")
    reader.close()
    metrics = {name: np.concatenate([part[name] for part in parts]) for name in FRAME_METRICS}
    for name, values in metrics.items():
        results["frames/" + name] = values
    constant = int((metrics["min"] == metrics["max"]).sum())
    share = saturated / data.size if level is not None else None
    times = np.arange(frames) / rate
    scan_values: Dict[str, float] = scan_metrics(
        metrics, times, params["dark_level"], np.array(focus), share, constant, facts["gaps"]
    )
    return scan_values
