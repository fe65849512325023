"""Start-up: what a command costs before it does its work."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks._nwb import write_session
from benchmarks._report import spread, table
from benchmarks._watch import REPOSITORY


def run(folder: Path, *, quick: bool) -> None:
    repeats = 2 if quick else 10
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
