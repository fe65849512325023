"""Stop what computes: real runs, begun from the dashboard and elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nwbpipe.project import Project
from nwbpipe.project.state import Leases
from nwbpipe.serve._processes import RunProcesses
from tests.fixtures.programs import wait_for
from tests.fixtures.projects import make_project
from tests.serve.visitor import Visitor

pytestmark = pytest.mark.usefixtures("test_processors")
HANGING = '\n[steps.first]\nprocessor = "scale"\nparams = { ending = "hang" }\n'


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
