"""Queries over many sessions: trials × units × subjects, beside lazynwb and a loop with pynwb."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np

from benchmarks._report import note, table

_TRIALS, _UNITS, _SPIKES = 200, 50, 600
_ALIKE = 20  # sessions that the other ways are measured on: they keep nothing, so that a session costs the same
_SQL = (
    "SELECT s.genotype, t.choice, count(*) AS n, avg(u.firing_rate) AS rate FROM trials t "
    "JOIN units u USING (subject_id, session_id) JOIN subjects s USING (subject_id) "
    "WHERE u.firing_rate > 5 GROUP BY ALL"
)
_LAZYNWB = """
import sys, lazynwb
paths = sys.argv[1:]
trials = lazynwb.scan_nwb(paths, "/intervals/trials", disable_progress=True).select("choice", "_nwb_path").collect()
units = lazynwb.scan_nwb(paths, "/units", disable_progress=True).select("firing_rate", "_nwb_path").collect()
subjects = lazynwb.get_metadata_df(paths, disable_progress=True, as_polars=True)
joined = trials.join(units, on="_nwb_path").join(subjects, on="_nwb_path")
assert len(joined) == len(paths) * TRIALS * UNITS, len(joined)
"""


def run(folder: Path, *, quick: bool) -> None:
    from nwbpipe.catalog import Catalog

    counts = (3,) if quick else (200, 1000)
    files = _write_sessions(folder / "nwb", max(counts))
    Catalog.of_files(files[:1]).query(_SQL)  # imports
    rows = []
    for count in counts:
        shutil.rmtree(Path(os.environ["NWBPIPE_CACHE"]), ignore_errors=True)
        started = time.process_time()
        answer = Catalog.of_files(files[:count]).query(_SQL)
        cold = time.process_time() - started
        assert sum(answer["n"].to_pylist()) > 0
        warm, cpu = zip(*(_ask(files[:count]) for _ in range(3)), strict=True)
        rows.append(
            [
                f"nwbpipe, {count} sessions",
                f"{cold / count:.3f}",
                f"{cold:.1f}",
                f"{min(cpu):.2f}",
                f"{min(warm):.2f}",
            ]
        )
    few = files[: min(_ALIKE, len(files))]
    for name, seconds in (
        ("a loop with pynwb", _loop(few)),
        ("lazynwb", _run_lazynwb(folder / "own", few, install=not quick)),
    ):
        if seconds is not None:
            each = seconds / len(few)
            rows.append([f"{name}, {len(few)} sessions", f"{each:.3f}", f"{seconds:.1f}", f"{seconds:.1f}", ""])
    table(["seconds", "CPU a session, first time", "CPU, first time", "CPU, again", "again"], rows)


def _ask(files: list[Path]) -> tuple[float, float]:
    from nwbpipe.catalog import Catalog

    started = time.perf_counter(), time.process_time()
    Catalog.of_files(files).query(_SQL)
    return time.perf_counter() - started[0], time.process_time() - started[1]


def _write_sessions(folder: Path, count: int) -> list[Path]:
    from pynwb import NWBHDF5IO

    from benchmarks._nwb import make_session

    folder.mkdir()
    random = np.random.default_rng(0)
    nwbfile = make_session()
    nwbfile.subject.genotype = "wt"
    nwbfile.add_trial_column("choice", "side")
    for number in range(_TRIALS):
        nwbfile.add_trial(
            start_time=5.0 * number, stop_time=5.0 * number + 2, choice="left" if number % 2 else "right"
        )
    nwbfile.add_unit_column("firing_rate", "spikes per second")
    for _ in range(_UNITS):
        nwbfile.add_unit(spike_times=np.sort(random.uniform(0, 1000, _SPIKES)), firing_rate=random.uniform(0, 20))
    files = [folder / f"{number:04}.nwb" for number in range(count)]
    with NWBHDF5IO(files[0], "w") as io:
        io.write(nwbfile)
    for number, path in enumerate(files):
        if number:
            shutil.copyfile(files[0], path)
        with h5py.File(path, "r+") as file:
            file["general/session_id"][()] = f"{number:04}"
            file["general/subject/subject_id"][()] = f"m{number // 4}"
            file["general/subject/genotype"][()] = "ko" if number % 8 < 4 else "wt"
    return files


def _loop(files: list[Path]) -> float:
    """Return the CPU seconds of reading the tables with pynwb, and joining them with pandas."""
    import pandas as pd
    from pynwb import NWBHDF5IO

    started, tables = time.process_time(), []
    for path in files:
        with NWBHDF5IO(path, "r") as io:
            nwbfile = io.read()
            trials, rates = nwbfile.trials.to_dataframe(), nwbfile.units["firing_rate"][:]
            joined = trials[["choice"]].merge(pd.DataFrame({"rate": rates[rates > 5]}), how="cross")
            tables.append(joined.assign(genotype=nwbfile.subject.genotype))
    pd.concat(tables).groupby(["genotype", "choice"])["rate"].agg(["size", "mean"])
    return time.process_time() - started


def _run_lazynwb(folder: Path, files: list[Path], *, install: bool) -> float | None:
    """Return the CPU seconds of lazynwb, in a Python of its own: NWBPIPE_LAZYNWB, or one that is made here."""
    python = os.environ.get("NWBPIPE_LAZYNWB", "")
    if not python and not install:
        note("lazynwb is left out of the small sizes where NWBPIPE_LAZYNWB names no Python with it.\n")
        return None
    try:
        if not python:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
            python = str(folder / "bin/python")
            words = [python, "-m", "pip", "install", "--quiet", "lazynwb"]
            subprocess.run(words, check=True, capture_output=True, timeout=600)
        code = _LAZYNWB.replace("TRIALS", str(_TRIALS)).replace("UNITS", str(_UNITS))
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        times = []
        for paths in (files[:1], files):  # the first time for what it imports
            started = resource.getrusage(resource.RUSAGE_CHILDREN)
            words = [python, "-c", code, *map(str, paths)]
            subprocess.run(words, check=True, capture_output=True, env=variables, timeout=600)
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(ended.ru_utime + ended.ru_stime - started.ru_utime - started.ru_stime)
        return (times[1] - times[0]) * len(files) / (len(files) - 1)
    except (OSError, subprocess.SubprocessError) as error:
        text = getattr(error, "stderr", b"") or b""
        note(f"lazynwb can't be run (NWBPIPE_LAZYNWB names a Python with it): {text.decode()[-200:]}")
        return None
