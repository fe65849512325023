"""Projects: what a run costs beside its computation, and how long a status takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py

from benchmarks._nwb import write_session
from benchmarks._report import note, table
from benchmarks._watch import REPOSITORY

STEPS = 8
_POINTS = "[nwbpipe.processors]\ntiny = benchmarks._tiny:Tiny\nrms = benchmarks.peers._rms:Rms\n"
_SNAKEFILE = """
rule all:
    input: [f"out/{n}.txt" for n in range(COUNT)]
rule one:
    output: "out/{n}.txt"
    shell: "PYTHON -c 'import h5py' && touch {output}"
"""


def run(folder: Path, *, quick: bool) -> None:
    variables = offer_processors(folder)
    if quick:
        del variables["PYTHONPYCACHEPREFIX"]  # else all packages are compiled first
    runs, steps = (2, 2) if quick else (1000, STEPS)
    rows = [_empty_runs(folder / "empty", runs, variables), _one_session(folder / "one", steps, variables)]
    rows.append(_start(variables, 2 if quick else 20))
    if not quick:
        rows.append(_snakemake(folder / "snakemake", runs))
    table(["empty runs", "runs", "workers", "seconds", "seconds a run"], [row for row in rows if row])
    print()
    for sessions in (3,) if quick else (1000, 10000):
        _status(folder / f"status{sessions}", sessions, steps, variables)


def offer_processors(folder: Path, *, bytecode: Path | None = None) -> dict[str, str]:
    """Offer the processors of the benchmarks to the processes that are started, as an installed package would."""
    information = folder / "distribution/benchmark-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: benchmark\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(_POINTS)
    path = {"PYTHONPATH": os.pathsep.join(map(str, (REPOSITORY / "src", REPOSITORY, information.parent)))}
    # As an installed package, ours has its bytecode beside it; here, in a folder of the benchmark.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**variables, **path, "PYTHONPYCACHEPREFIX": str(bytecode or folder / "bytecode")}


def make_plain_project(folder: Path, sessions: int, steps: int) -> None:
    """Write a project of session files, and of steps of the tiny processor."""
    (folder / "nwb").mkdir(parents=True)
    first = write_session(folder / "nwb/s0.nwb", 300)
    with h5py.File(first, "r+") as file:
        file["general/session_id"][()] = "00000"
    _copy_session(first, sessions)
    text = 'nwbpipe = 1\n[project]\nname = "b"\nsessions = "nwb://*.nwb"\n[stores]\nnwb = "nwb"\nstate = "state"\n'
    for number in range(steps):
        text += f'[steps.t{number}]\nprocessor = "tiny"\nseed = {number}\ninputs.series = "acquisition/signal"\n'
    (folder / "nwbpipe.toml").write_text(text)


def _copy_session(first: Path, sessions: int) -> None:
    """Copy a session file beside itself, as sessions 1 to `sessions` - 1."""
    for number in range(1, sessions):
        path = first.with_name(f"s{number}.nwb")
        shutil.copyfile(first, path)
        with h5py.File(path, "r+") as file:
            file["general/session_id"][()] = f"{number:05}"


def make_computed_project(folder: Path, sessions: int, steps: int, variables: dict[str, str]) -> None:
    """Make one session whole, and copy it: a project of that many takes hours to compute."""
    make_plain_project(folder, 1, steps)
    _time_command(_nwbpipe("run", "--workers", "2"), folder, variables)
    _copy_session(folder / "nwb/s0.nwb", sessions)
    time.sleep(2.1)  # what has just changed is not kept


def _time_command(words: list[str], folder: Path, variables: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(words, cwd=folder, env=variables, check=True, capture_output=True)
    return time.perf_counter() - started


def _nwbpipe(*words: str) -> list[str]:
    return [sys.executable, "-m", "nwbpipe", *words]


def _empty_runs(folder: Path, runs: int, variables: dict[str, str]) -> list[str]:
    make_plain_project(folder, runs, 1)
    seconds = _time_command(_nwbpipe("run", "--workers", "2"), folder, variables)
    return ["`nwbpipe run`, a session each", str(runs), "2", f"{seconds:.1f}", f"{seconds / runs:.3f}"]


def _one_session(folder: Path, steps: int, variables: dict[str, str]) -> list[str]:
    make_plain_project(folder, 1, steps)
    seconds = _time_command(_nwbpipe("run", "--workers", str(steps)), folder, variables)
    return [
        "`nwbpipe run`, all of one session: commits queue",
        str(steps),
        str(steps),
        f"{seconds:.1f}",
        f"{seconds / steps:.3f}",
    ]


def _start(variables: dict[str, str], times: int) -> list[str]:
    """Time the part of each run before it computes: a Python that imports h5py."""
    seconds = sum(_time_command([sys.executable, "-c", "import h5py"], REPOSITORY, variables) for _ in range(times))
    return ["a Python that imports h5py, alone", str(times), "1", f"{seconds:.1f}", f"{seconds / times:.3f}"]


def _install_snakemake(folder: Path) -> str:
    """Install Snakemake into an environment that goes with the benchmark's folder; return its path."""
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
        words = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "snakemake"]
        subprocess.run(words, check=True, capture_output=True, timeout=600)
    except (OSError, subprocess.SubprocessError):
        return ""
    return str(folder / "bin/snakemake")


def _snakemake(folder: Path, runs: int) -> list[str]:
    """The same number of jobs that import h5py and leave a file, by Snakemake."""
    folder.mkdir()
    command = os.environ.get("NWBPIPE_SNAKEMAKE") or shutil.which("snakemake") or _install_snakemake(folder / "own")
    if not command:
        note("Snakemake can't be installed (NWBPIPE_SNAKEMAKE names one): not compared")
        return []
    text = _SNAKEFILE.replace("COUNT", str(runs)).replace("PYTHON", sys.executable)
    (folder / "Snakefile").write_text(text)
    seconds = _time_command([command, "--cores", "2", "--quiet"], folder, dict(os.environ))
    return ["Snakemake, a shell command that imports h5py", str(runs), "2", f"{seconds:.1f}", f"{seconds / runs:.3f}"]


def _status(folder: Path, sessions: int, steps: int, variables: dict[str, str]) -> None:
    make_computed_project(folder, sessions, steps, variables)
    shutil.rmtree(Path(os.environ["NWBPIPE_CACHE"]), ignore_errors=True)
    cold = _time_command(_nwbpipe("status"), folder, variables)
    warm = min(_time_command(_nwbpipe("status"), folder, variables) for _ in range(3))
    table(
        [f"`nwbpipe status`, {sessions} sessions × {steps} steps", "seconds"],
        [["cold: no index, no identities", f"{cold:.1f}"], ["warm", f"{warm:.2f}"]],
    )
    print()
    shutil.rmtree(folder)
