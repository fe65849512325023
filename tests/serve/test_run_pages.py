"""Stop what computes: real runs, begun from the dashboard and elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from nwbpipe.project import Project
from nwbpipe.project.state import Leases
from nwbpipe.serve._processes import RunProcess, RunProcesses
from tests.fixtures.programs import wait_for
from tests.fixtures.projects import HANGING, make_project
from tests.serve.visitor import Visitor

pytestmark = pytest.mark.usefixtures("test_processors")


def list_leases(project: Project) -> list[dict[str, Any]]:
    return Leases(project.planner.state).list_active()


@pytest.mark.parametrize("is_own", [True, False])
def test_the_runner_is_stopped_and_not_the_worker_that_has_its_lease(
    is_own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that ends alone would be given its work again."""
    project, processes = make_project(tmp_path / "lab", 1, HANGING), RunProcesses()
    monkeypatch.setattr("nwbpipe.serve._app.RunProcesses", lambda: processes)
    visitor = Visitor(project.spec.path)
    if is_own:
        assert visitor.post("/run", {}).status_code == 303
        runner: subprocess.Popen[bytes] = processes.list()[0].process
    else:
        runner = subprocess.Popen([sys.executable, "-m", "nwbpipe", "run", f"--project={project.spec.path}"])
    try:
        wait_for(lambda: any("runner_pid" in content for content in list_leases(project)), "the worker")
        (content,) = list_leases(project)
        assert content["pid"] != content["runner_pid"] == runner.pid
        assert ("stop runner" in visitor.get("/").text) is not is_own
        assert "stop runner" in visitor.get("/session/m1/s0").text
        assert visitor.post("/stop", {"session": "m1/s0", "step": "first"}).status_code == 303
        assert runner.wait(60) != 0
        assert list_leases(project) == []
        assert [item.state for item in processes.list()] == ["stopped"] * is_own
    finally:
        runner.kill()
        runner.wait()
        processes.close()


def test_a_runner_elsewhere_is_not_taken_for_the_process_of_that_number_here(
    lab: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = RunProcesses()
    monkeypatch.setattr("nwbpipe.serve._app.RunProcesses", lambda: processes)
    visitor = Visitor(lab.spec.path)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    own = RunProcess(1, "all sessions", process, tempfile.TemporaryFile())  # noqa: SIM115 - `close` closes it
    processes._processes.append(own)
    content = {"machine": "elsewhere", "pid": process.pid, "pid_since": 0.0, "session": "m1/s0", "step": "first"}
    lab.planner.state.write_bytes("leases/x.json", json.dumps(content).encode())
    try:
        assert visitor.post("/stop", {"session": "m1/s0", "step": "first"}).status_code == 400
        assert own.state == "running"
    finally:
        process.kill()
        process.wait()
        processes.close()
