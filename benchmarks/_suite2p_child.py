"""suite2p on a movie of an NWB file, by nwbpipe: ``python -m benchmarks._suite2p_child FILE STEP THREADS``."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import h5py

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    import nwbpipe

    path, step, threads = sys.argv[1:]
    run = nwbpipe.process(path, "suite2p", step=step, params={"tau": 0.7}, threads=int(threads))
    with h5py.File(path) as file:
        rois = len(file[f"processing/ophys/ImageSegmentation_{step}/PlaneSegmentation_{step}/id"])
    # Not `getrusage`: on Linux its peak is also that of the process that we were forked from, which holds the movie.
    (core,) = (int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    print(json.dumps({"peak": run.record.resources["peak_memory_bytes"], "core": core * 1024, "rois": rois}))
