"""suite2p as its own documentation calls it, in its own Python: WORKER_FOLDER TIFFS OUTPUT RATE THREADS."""

import json
import sys
from pathlib import Path

import numpy as np


def main() -> None:
    worker, tiffs, output, rate, threads = sys.argv[1:]
    sys.path.append(worker)
    from _worker import measure_usage
    from _worker_imports import install  # without it, suite2p can't be imported beside some torchvisions

    install()
    import suite2p
    import torch

    torch.set_num_threads(int(threads))
    settings = suite2p.default_settings()
    settings["tau"], settings["fs"], settings["torch_device"] = 0.7, float(rate), "cpu"
    settings["run"]["do_regmetrics"] = False  # nor does nwbpipe compute them
    settings["classification"]["use_builtin_classifier"] = True
    database = {**suite2p.default_db(), "data_path": [tiffs], "save_path0": output}
    suite2p.run_s2p(db=database, settings=settings)
    rois = len(np.load(Path(output) / "suite2p" / "plane0" / "F.npy"))
    print(json.dumps({"peak": measure_usage()["peak_memory_bytes"], "rois": rois}))


if __name__ == "__main__":
    main()
