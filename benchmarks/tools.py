"""Tools: what an isolated run costs beside calling the tool by hand.

Start-up: a computation that does next to nothing, in suite2p's environment, by nwbpipe and by hand. suite2p: a movie
from an NWB file by nwbpipe, with the commit, against suite2p's own `run_s2p` on the same movie as TIFF, with the same
settings and threads, each in a process of its own with all imports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks._nwb import write_session
from benchmarks._report import note, spread, table
from benchmarks._watch import REPOSITORY

BY_HAND = """
import importlib.util, json, sys, h5py
spec = importlib.util.spec_from_file_location("compute", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
with h5py.File(sys.argv[3], "w") as results:
    module.compute(json.loads(sys.argv[2]), results, lambda fraction, text: None)
"""
THREADS = os.cpu_count() or 1


def run(folder: Path, *, quick: bool) -> None:
    from nwbpipe import environments
    from nwbpipe.errors import ToolMissingError
    from nwbpipe.processors import processor

    try:
        environment = environments.find(processor("suite2p").tool)
    except ToolMissingError as error:
        note(f"suite2p is not installed, so there is nothing to measure: {error.problem.hint}")
        return
    _startup(folder, environment, repeats=1 if quick else 10)
    note()
    _suite2p(folder, environment, quick=quick)


def _startup(folder: Path, environment: Any, repeats: int) -> None:
    from benchmarks._tiny import Tiny
    from nwbpipe import environments

    session = write_session(folder / "session.nwb", 10**6)
    request = {"inputs": {"series": {"file": str(session), "data": "/acquisition/signal/data"}}, "threads": THREADS}
    source = str(environments.find_source(Tiny.compute))
    isolated, by_hand = [], []
    for number in range(repeats + 1):
        scratch = folder / f"scratch_{number}"
        scratch.mkdir()
        started = time.perf_counter()
        tool_environment = environments.find(environment.tool)  # asks the environment what is in it
        environments.run(tool_environment, Tiny.compute, request, scratch=scratch, log=scratch / "log.txt")
        isolated.append(time.perf_counter() - started)
        started = time.perf_counter()
        results = str(scratch / "by_hand.h5")
        subprocess.run(
            [str(tool_environment.python), "-c", BY_HAND, source, json.dumps(request), results], check=True
        )
        by_hand.append(time.perf_counter() - started)
    extra = [
        nwbpipe_s - bare_s for nwbpipe_s, bare_s in zip(isolated[1:], by_hand[1:], strict=True)
    ]  # the first one warms up
    table(
        ["start-up of a tool's process", "seconds"],
        [
            ["by nwbpipe: find the environment, run, read the outcome", spread(isolated[1:], 3)],
            ["by hand: the environment's Python, the same computation", spread(by_hand[1:], 3)],
            ["what nwbpipe adds (≤ 0.5 s)", spread(extra, 3)],
        ],
    )


def _suite2p(folder: Path, environment: Any, *, quick: bool) -> None:
    import tifffile

    from nwbpipe.environments import _worker
    from nwbpipe.environments._run import build_tool_variables
    from nwbpipe.simulate._common import Scale, make_generator
    from nwbpipe.simulate._imaging import write_imaging

    # suite2p itself fails on a frame that is no larger than its block of 128 pixels.
    size, cells, seconds = (160, 12, 10.0) if quick else (256, 60, 241.0)
    scale = Scale(seconds, (size, size), cells, 4, 2, 2)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    truth = write_imaging(folder / "raw.tif", make_generator(0, "imaging"), scale, start_time=start, offset_s=0.0)
    movie = tifffile.imread(folder / "raw.tif")
    (folder / "raw.tif").unlink()
    (folder / "tiff").mkdir()
    tifffile.imwrite(folder / "tiff" / "movie.tif", movie)
    session = folder / "movie.nwb"
    _write_movie(session, movie, truth.rate)
    native = Path(__file__).with_name("_suite2p_native.py")
    measurements: dict[str, list[dict[str, float]]] = {"nwbpipe": [], "suite2p": []}
    for number in range(1 if quick else 3):  # alternating, so that both meet the same machine
        step = f"s{number}"
        measurements["nwbpipe"].append(
            _measure([sys.executable, "-m", "benchmarks._suite2p_child", str(session), step, str(THREADS)], {})
        )
        output_folder = folder / f"native_{number}"
        words = [str(environment.python), str(native), str(Path(_worker.__file__).parent)]
        words += [str(folder / "tiff"), str(output_folder), str(truth.rate), str(THREADS)]
        measurements["suite2p"].append(_measure(words, build_tool_variables(THREADS)))
    labels = {"nwbpipe": "from the NWB file, by nwbpipe", "suite2p": "from TIFF, by suite2p's `run_s2p`"}
    table(
        [
            f"suite2p on {len(movie)} frames of {size} × {size}",
            *("wall time (s)", "peak memory of the tool's process (MB)", "nwbpipe's own beside it (MB)", "ROIs"),
        ],
        [
            [
                labels[way],
                spread([run["wall"] for run in runs], 1),
                spread([run["peak"] / 1e6 for run in runs], 0),
                spread([run.get("core", 0.0) / 1e6 for run in runs], 0),
                f"{runs[0]['rois']:.0f}",
            ]
            for way, runs in measurements.items()
        ],
    )
    ratio = {
        key: median(run[key] for run in measurements["nwbpipe"]) / median(run[key] for run in measurements["suite2p"])
        for key in ("wall", "peak")
    }
    core = median(run["core"] + run["peak"] for run in measurements["nwbpipe"]) / median(
        run["peak"] for run in measurements["suite2p"]
    )
    note(f"\nWall time {ratio['wall']:.2f} × (≤ 1.05); peak memory {ratio['peak']:.2f} × (≤ 1.1), with nwbpipe's own")
    note(f"process, which waits meanwhile, {core:.2f} ×.")


def _measure(words: list[str], variables: dict[str, str]) -> dict[str, float]:
    """Run a child whose last line is JSON with ``peak`` and ``rois``; add its wall time."""
    started = time.perf_counter()
    process = subprocess.run(
        words, cwd=REPOSITORY, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True, check=True
    )
    wall = time.perf_counter() - started
    figures: dict[str, float] = json.loads(process.stdout.strip().splitlines()[-1])
    return {"wall": wall, **figures}


def _write_movie(path: Path, movie: np.ndarray, rate: float) -> None:
    from pynwb import NWBHDF5IO, H5DataIO, NWBFile
    from pynwb.ophys import OpticalChannel, TwoPhotonSeries

    nwbfile = NWBFile("A simulated movie.", "bench", datetime(2024, 1, 1, tzinfo=UTC))
    plane = nwbfile.create_imaging_plane(
        name="ImagingPlane",
        optical_channel=OpticalChannel(name="green", description="Green.", emission_lambda=520.0),
        description="Layer 2/3.",
        device=nwbfile.create_device(name="Microscope"),
        excitation_lambda=920.0,
        indicator="GCaMP6f",
        location="V1",
    )
    frames = np.ascontiguousarray(movie.transpose(0, 2, 1))
    data = H5DataIO(frames, chunks=(20, *frames.shape[1:]), compression="gzip", compression_opts=4, shuffle=True)
    nwbfile.add_acquisition(
        TwoPhotonSeries(name="TwoPhotonSeries", data=data, unit="n.a.", rate=rate, imaging_plane=plane)
    )
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
