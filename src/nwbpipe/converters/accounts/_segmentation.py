"""Results of CaImAn and EXTRACT: frames, rate, and arrays that must fit each other."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters.accounts._account import Account, Stream
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import Problem

_HINT = "check that the file is of one run of the tool, and whole"


@account("CaimanSegmentationInterface")
def probe_caiman(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a result that CaImAn saved."""
    import h5py

    path = Path(arguments["file_path"])
    with h5py.File(path, "r") as file:
        estimates, data = file["estimates"], file["params/data"]
        shapes = {name: estimates[name].shape for name in ("C", "S", "F_dff", "YrA") if name in estimates}
        shapes = {name: shape for name, shape in shapes.items() if len(shape) == 2}
        footprints = tuple(int(size) for size in np.ravel(estimates["A/shape"][()]))
        dims = tuple(int(size) for size in np.ravel(data["dims"][()])) if "dims" in data else ()
        rate = float(data["fr"][()])
        background = estimates["f"].shape if "f" in estimates else ()
    if "C" not in shapes:
        return None
    rois, frames = shapes["C"]
    problems = []
    wrong = {name: shape for name, shape in shapes.items() if shape != (rois, frames)}
    if wrong or footprints[1] != rois:
        listed = {**wrong, "A": footprints} if footprints[1] != rois else wrong
        text = ", ".join(f"{name}: {' x '.join(map(str, shape))}" for name, shape in listed.items())
        expected = f"{rois} ROIs x {frames} frames, as C"
        problems.append(("shape", Problem("the arrays do not fit each other", str(path), expected, text, _HINT)))
    if dims and prod(dims) != footprints[0]:
        expected, text = f"{prod(dims)} pixels, by dims", f"{footprints[0]} pixels"
        problems.append(("shape", Problem("the footprints do not fit the image", str(path), expected, text, _HINT)))
    stream = Stream(samples=None if wrong else frames, rate=rate)
    unread = ("background traces (f)",) if len(background) == 2 else ()
    return Account("CaImAn", (path,), (stream,), others=unread, problems=tuple(problems))


@account("ExtractSegmentationInterface")
def probe_extract(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a result of EXTRACT.

    The rate is the argument's. Of results of EXTRACT before 1.0, roiextractors 0.10.0 drops it, and divides the count
    of frames by the time that the algorithm took.
    """
    import h5py

    path = Path(arguments["file_path"])
    with h5py.File(path, "r") as file:
        name = arguments.get("output_struct_name") or ("output" if "output" in file else "extractAnalysisOutput")
        output = file[str(name)]
        if "temporal_weights" in output:
            rois, frames = (int(size) for size in output["temporal_weights"].shape)
            footprints = int(output["spatial_weights"].shape[0])
        else:
            frames, rois = (int(size) for size in output["traces"].shape)
            footprints = int(output["filters"].shape[0])
    problems = []
    if footprints != rois:
        expected, text = f"{rois} footprints, one for each trace", f"{footprints} footprints"
        problems.append(("shape", Problem("the footprints do not fit the traces", str(path), expected, text, _HINT)))
    rate = arguments.get("sampling_frequency")
    stream = Stream(samples=frames, true_rate=None if rate is None else float(rate))
    return Account("EXTRACT", (path,), (stream,), problems=tuple(problems))
