"""Tools and our own readers open a file and read chunks of it, again and again, while another process commits."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.files import transaction

# As a compute module: h5py opens the file without a lock, in a process that has the worker's opens.
_TOOL = """
    import importlib.util, sys
    import h5py, numpy as np
    spec = importlib.util.spec_from_file_location("worker", sys.argv[1])
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    worker.open_between_commits()
    rows = np.arange(200_000).reshape(-1, 1000)
    print("ready", flush=True)
    count = failures = 0
    while True:
        number = count % 200
        try:
            with h5py.File(sys.argv[2], "r", locking=False) as file:
                assert (file["acquisition/raw/data"][number] == rows[number]).all()
                assert "turn" in file["results"].attrs
        except Exception as error:
            failures += 1
            print(type(error).__name__, error, file=sys.stderr)
        count += 1
        if count >= int(sys.argv[3]):
            break
    print(count, failures)
"""
WORKER = Path(__file__).resolve().parents[2] / "src" / "nwbpipe" / "environments" / "_worker.py"


@pytest.fixture
def session(tmp_path: Path) -> Path:
    path = tmp_path / "a.nwb"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "acquisition/raw/data", data=np.arange(200_000).reshape(-1, 1000), chunks=(10, 1000), compression="gzip"
        )
        file.create_group("results").attrs["turn"] = -1
    return path


def commit(path: Path, turn: int) -> None:
    with transaction(path) as file:
        file["results"].attrs["turn"] = turn
        file[f"results/r{turn}"] = np.full(20_000, turn)
        file[f"group{turn}"] = turn


def test_a_tool_that_opens_beside_commits_never_fails(session: Path, long: bool) -> None:
    """The long form: 100,000 opens with a chunk read, during at least 100 commits."""
    opens, commits = (100_000, 100) if long else (1_500, 10)
    command = [sys.executable, "-c", textwrap.dedent(_TOOL), str(WORKER), str(session), str(opens)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tool:
        assert tool.stdout is not None
        assert tool.stderr is not None
        assert tool.stdout.readline() == "ready\n"
        turn = 0
        while tool.poll() is None:
            commit(session, turn)
            turn += 1
        problems = tool.stderr.read()
        assert tool.stdout.read().split() == [str(opens), "0"], problems[-2000:]
        assert turn >= commits
