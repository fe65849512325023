"""Start-up: what a command costs before it does its work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks._nwb import write_session
from benchmarks._report import spread, table
from benchmarks._sources import write_spec
from benchmarks._watch import REPOSITORY
from benchmarks.peers._measure import Cost, measure


def run(folder: Path, *, quick: bool) -> None:
    repeats, warm_up = (1, 0) if quick else (10, 1)
    session = write_session(folder / "session.nwb", 10**6)
    command = str(Path(sys.executable).with_name("nwbpipe"))
    tiny = [sys.executable, "-m", "benchmarks._tiny", str(session)]
    subprocess.run(tiny, check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    time.sleep(2.1)  # a file that has just changed is hashed again: let it come to rest
    subprocess.run(tiny, check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    commands = {
        "`python -c pass`": [sys.executable, "-c", "pass"],
        "`import pynwb`": [sys.executable, "-W", "ignore", "-c", "import pynwb"],
        "`nwbpipe --help`": [command, "--help"],
        "`nwbpipe log FILE`": [command, "log", str(session)],
        "a step that is done: nothing to do": tiny,
    }
    rows = [[label, spread([_seconds(words) for _ in range(repeats)], 3)] for label, words in commands.items()]
    table(["process, from start to end", "seconds"], rows)
    print()
    _small_session(folder / "small", repeats, warm_up)
    print()
    calls, workers = _run_and_worker(folder, session, repeats)
    extra = [call - tool for call, tool in zip(calls, workers, strict=True)]
    table(
        ["a run of a processor that does nothing (within a running Python)", "seconds"],
        [
            ["the whole `process` call: bind, hash, compute, commit, validate", spread(calls, 3)],
            ["of it the tool's process (start of Python, numpy and h5py, computation)", spread(workers, 3)],
            ["the rest: nwbpipe's own", spread(extra, 3)],
        ],
    )


def _small_session(folder: Path, repeats: int, warm_up: int) -> None:
    """Compare the commands of a small session with the same by hand: by turns, each in a process of its own."""
    import numpy as np
    import tifffile

    (folder / "raw").mkdir(parents=True)
    movie = np.random.default_rng(0).integers(0, 1000, (50, 64, 64), dtype=np.uint16)
    tifffile.imwrite(folder / "raw/movie.tif", movie)
    spec = write_spec(folder, "TiffImagingInterface", {"file_path": "raw/movie.tif", "sampling_frequency": 30.0})
    command = str(Path(sys.executable).with_name("nwbpipe"))
    ours, theirs, run = (str(folder / f"{name}.nwb") for name in ("ours", "theirs", "run"))
    child = [sys.executable, "-W", "ignore", "-m", "benchmarks._small_child"]
    commands = {
        "`nwbpipe convert`, with record, hash and validation": [command, "convert", "-o", ours, str(spec)],
        "NeuroConv by hand, without them": [*child, "convert", str(folder / "raw/movie.tif"), theirs],
        "`nwbpipe check`": [command, "check", ours],
        "pynwb's validator and nwbinspector by hand": [*child, "check", ours],
        "a step that does nothing, `process` in a new Python": [sys.executable, "-m", "benchmarks._tiny", run],
    }
    variables = {**os.environ, "PYTHONPATH": f"{REPOSITORY / 'src'}{os.pathsep}{REPOSITORY}"}
    costs: dict[str, list[Cost]] = {label: [] for label in commands}
    for number in range(warm_up + repeats):
        for label, words in commands.items():
            if "convert" in words:
                for path in (ours, theirs):
                    if path in words:
                        Path(path).unlink(missing_ok=True)
            if run in words:
                write_session(Path(run), 10**6)
            cost = measure([words], folder, variables)
            if cost.code:
                raise SystemExit(f"{label} ended with {cost.code}:\n{cost.output}")
            if number >= warm_up:  # the first one compiles
                costs[label].append(cost)
    table(
        ["a small session (50 frames of 64 × 64)", "CPU seconds", "seconds"],
        [
            [label, spread([cost.cpu for cost in taken]), spread([cost.wall for cost in taken])]
            for label, taken in costs.items()
        ],
    )


def _seconds(words: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(words, check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _run_and_worker(folder: Path, session: Path, repeats: int) -> tuple[list[float], list[float]]:
    import nwbpipe
    from benchmarks._tiny import Tiny
    from nwbpipe import environments

    calls, workers = [], []
    environment = environments.find(Tiny.tool)
    for number in range(repeats + 1):
        started = time.perf_counter()
        nwbpipe.process(session, Tiny(), step=f"tiny_{number}", inputs={"series": "acquisition/signal"}, force=True)
        calls.append(time.perf_counter() - started)
        scratch = folder / f"scratch_{number}"
        scratch.mkdir()
        series = {"file": str(session), "data": "/acquisition/signal/data"}
        request = json.loads(json.dumps({"inputs": {"series": series}, "threads": 1}))
        started = time.perf_counter()
        environments.run(environment, Tiny.compute, request, scratch=scratch, log=scratch / "log.txt")
        workers.append(time.perf_counter() - started)
    return calls[1:], workers[1:]  # the first one imports
