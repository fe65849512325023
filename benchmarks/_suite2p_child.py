"""suite2p on a movie of an NWB file, by nwbpipe: ``python -m benchmarks._suite2p_child FILE STEP THREADS``."""

from __future__ import annotations

import json
import resource
import sys
import warnings

import h5py

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    import nwbpipe

    path, step, threads = sys.argv[1:]
    run = nwbpipe.process(path, "suite2p", step=step, params={"tau": 0.7}, threads=int(threads))
    with h5py.File(path) as file:
        rois = len(file[f"processing/ophys/ImageSegmentation_{step}/PlaneSegmentation_{step}/id"])
    core = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"peak": run.record.resources["peak_memory_bytes"], "core": core, "rois": rois}))
