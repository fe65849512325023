"""Processes that we start import nothing from the current folder, and get no secret."""

from __future__ import annotations

import json
import os
import queue
from pathlib import Path
from typing import Any

import h5py
import pytest

from nwbpipe.files import FileCondition, inspect_file
from nwbpipe.project.execute._local import _Worker

NAMES = ("nwbpipe", "h5py", "json", "sitecustomize", "usercustomize", "numpy", "token")


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go into a folder whose Python files leave a mark when they run; return the mark."""
    mark = tmp_path / "RAN"
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"import os\nopen({str(mark)!r}, 'a').write(__name__)\nos._exit(7)\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "PLANTED")
    earlier = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, ["", earlier, "."])) + os.pathsep)
    monkeypatch.chdir(tmp_path)
    return mark


def test_the_probe_of_a_file_imports_nothing_from_here(hostile: Path) -> None:
    with h5py.File("a.h5", "w") as file:
        file["x"] = [1]
    assert inspect_file("a.h5").state is FileCondition.WHOLE
    assert not hostile.exists()


def test_a_worker_imports_nothing_from_here(hostile: Path) -> None:
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    worker = _Worker(events)
    try:
        _, message = events.get(timeout=60)
        assert message is not None, worker.process.wait()
        assert message["ready"] == worker.process.pid
    finally:
        worker.end()
        worker.process.wait(20)
    assert not hostile.exists()
    assert json.dumps(message)
