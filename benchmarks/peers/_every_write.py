"""Kill a change to one session file before each single write to it or to its journal, and run it again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import h5py

from benchmarks._report import note, table
from benchmarks._watch import REPOSITORY
from benchmarks.peers._tools import write_first_session

_HERE = Path(__file__).parent
_BODY = str(_HERE / "_body.py")
_NAME = "victim.nwb"
_COPY = """
import os, shutil, sys
sys.path.insert(0, sys.argv[2])
import _body
copy = sys.argv[1] + ".copy"
shutil.copyfile(sys.argv[1], copy)
_body.measure_rms(copy, 1000, True)
os.replace(copy, sys.argv[1])
"""
_PROCESS = """
import sys
import nwbpipe
from benchmarks.peers._rms import Rms
nwbpipe.process(sys.argv[1], Rms(), step="w1000", inputs={"series": "acquisition/signal"})
"""


def kill_before_every_write(folder: Path, most: int | None = None) -> None:
    """Print what kills before each write (`most`: the first ones alone) leave, for each way of changing a file."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        note("Without gcc no kills before every single write.\n")
        return
    folder.mkdir()
    library = folder / "every_write.so"
    source = str(_HERE / "_every_write.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), source, "-ldl"], check=True)
    write_first_session(folder)
    file = str(folder / _NAME)
    ways = {
        "in place (Snakemake's flag, DataJoint)": [sys.executable, _BODY, "one", "cached", "1000", file],
        "by copy and rename": [sys.executable, "-c", _COPY, file, str(_HERE)],
        "nwbpipe.process": [sys.executable, "-c", _PROCESS, file],
    }
    rows = ([way, *_kill_all(folder, words, library, most)] for way, words in ways.items())
    table(
        ["killed before every write", "kills", "then, by pynwb: as before", "unreadable", "invalid", "new",
         "run again: done", "fails for good"],
        rows,
    )  # fmt: skip
    note()


def _kill_all(folder: Path, words: list[str], library: Path, most: int | None) -> list[str]:
    """Kill before the first write, the second, …, until a run passes; return the counts as a row of the table."""
    states: Counter[str] = Counter()
    kills = 0
    while most is None or kills < most:
        for path in folder.glob(f"*{_NAME}*"):
            path.unlink()
        shutil.copyfile(folder / "s0.nwb", folder / _NAME)
        killer = {"LD_PRELOAD": str(library), "KILL_NAME": _NAME, "KILL_AT": str(kills + 1)}
        code = _run(words, folder, killer)
        if code == 0:
            break
        if code != -signal.SIGKILL:
            raise SystemExit(f"{words[:3]} ended with {code} before write {kills + 1}")
        kills += 1
        states[_look(folder / _NAME)] += 1
        done = _run(words, folder, {}) == 0 and _look(folder / _NAME) == "new"
        states["done" if done else "failed"] += 1
    names = ("as before", "unreadable", "invalid", "new", "done", "failed")
    return [str(kills), *(str(states[name]) for name in names)]


def _run(words: list[str], folder: Path, variables: dict[str, str]) -> int:
    path = os.pathsep.join((str(REPOSITORY / "src"), str(REPOSITORY)))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore", **variables}
    with (folder / "log").open("wb") as log:
        return subprocess.run(words, cwd=folder, env=environment, stdout=log, stderr=log, check=False).returncode


def _look(path: Path) -> str:
    """Return the state of the file by plain pynwb: as before, new, invalid or unreadable."""
    done = subprocess.run([sys.executable, _BODY, "check", str(path)], check=True, capture_output=True, text=True)
    (state,) = json.loads(done.stdout.splitlines()[-1]).values()
    if state != "valid":
        return str(state)
    with h5py.File(path, locking=False) as file:
        return "new" if any("Rms" in name for name in file.get("processing/ecephys", ())) else "as before"
