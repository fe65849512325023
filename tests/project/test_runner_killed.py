"""kill -9 of a runner whose Dask worker goes on: the lease is the worker's, and nothing is computed twice."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from nwbpipe.project import Project
from tests.fixtures.kills import RUN, lines
from tests.fixtures.programs import wait_for
from tests.fixtures.projects import make_project, table

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.usefixtures("test_processors"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

STEPS = """
[steps.first]
processor = "count"
params = { label = "first", seconds = 3.0 }
[executor]
kind = "dask"
address = "ADDRESS"
"""


def test_a_worker_that_goes_on_keeps_its_run(
    tmp_path: Path, own_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import distributed

    counter, folder = tmp_path / "counter", tmp_path / "lab"
    monkeypatch.setenv("TESTS_COUNTER", str(counter))
    monkeypatch.setenv("NWBPIPE_TRUST", str(tmp_path))
    options = {"nthreads": 1, "host": "127.0.0.1", "silence_logs": 50, "resources": {"slots": 1}}
    scheduler = {"cls": distributed.Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
    workers = {0: {"cls": distributed.Nanny, "options": options}}
    with distributed.SpecCluster(workers=workers, scheduler=scheduler, silence_logs=50) as cluster:
        project = make_project(folder, 1, STEPS.replace("ADDRESS", cluster.scheduler_address))
        runner = subprocess.Popen([*RUN, "--project", str(folder)])
        wait_for(counter.exists, "the worker to begin", 120)
        runner.kill()
        runner.wait()
        assert list(table(project).values()) == ["running"]
        # As on another machine: scratch of its own, so that no lock there holds it up.
        places = {"NWBPIPE_SCRATCH": str(tmp_path / "other")}
        other = [*RUN, "--project", str(folder), "--executor", "local"]
        done = subprocess.run(
            other, env={**os.environ, **places}, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
    began = Counter(line["what"] for line in lines(counter))
    assert began == {"one began": 1, "two began": 1, "compute": 1}
    assert list(table(Project(folder)).values()) == ["done"]
    assert list((folder / "state/leases").glob("*.json")) == []
