"""The work on one session, by pynwb alone: what all tools do. Runs in the environment of the others, too."""

import json
import multiprocessing
import sys

import numpy as np
import pynwb


def measure_rms(path: str, window: int, cached: bool) -> None:
    """Add the RMS in windows to a file, in place, and validate it."""
    with pynwb.NWBHDF5IO(path, "a") as io:
        nwbfile = io.read()
        values = nwbfile.acquisition["signal"].data[:].astype("f8")
        rms = np.sqrt((values.reshape(-1, window, values.shape[1]) ** 2).mean(axis=1))
        if "ecephys" not in nwbfile.processing:
            nwbfile.create_processing_module("ecephys", "results")
        series = pynwb.TimeSeries(name=f"Rms_{window}", data=rms, unit="V", rate=1000.0 / window)
        nwbfile.processing["ecephys"].add(series)
        io.write(nwbfile)
    # The schemas in the file are read for each file; "cached" takes those that pynwb has loaded already.
    errors = pynwb.validate(path=path, use_cached_namespaces=not cached)
    if errors:
        raise ValueError(str(errors))


def check(path: str) -> str:
    """Say how plain pynwb finds a file: "valid", "invalid" or "unreadable"."""
    try:
        with pynwb.NWBHDF5IO(path, "r") as io:
            io.read()
        return "invalid" if pynwb.validate(path=path) else "valid"
    except Exception:  # a damaged file raises whatever h5py and hdmf run into
        return "unreadable"


def run_one(arguments: tuple[str, int, bool]) -> None:
    measure_rms(*arguments)


if __name__ == "__main__":
    if sys.argv[1] == "check":
        print(json.dumps({path: check(path) for path in sys.argv[2:]}))
        sys.exit()
    how, cached, windows, *paths = sys.argv[1:]
    work = [(path, int(window), cached == "cached") for path in paths for window in windows.split(",")]
    if how == "pool":
        with multiprocessing.Pool(2) as pool:
            pool.map(run_one, work, chunksize=1)
    else:
        for arguments in work:
            measure_rms(*arguments)
