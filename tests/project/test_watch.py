from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nwbpipe.project import Health, Project, Watcher, _watch
from tests.fixtures.machine import Clock
from tests.fixtures.processing import write_session
from tests.fixtures.projects import Inline, make_project

pytestmark = pytest.mark.usefixtures("test_processors")


def test_a_session_is_processed_once_its_files_are_at_rest(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_watch, "time", clock)
    project = make_project(tmp_path, 1)
    watcher = Watcher(project, settle_s=1.0, interval_s=0.3, executor=Inline())
    arriving = watcher.run_once()
    assert (arriving.sessions, arriving.arriving, arriving.summary) == (1, 1, None)
    os.utime(tmp_path / "nwb/s0.nwb")  # it still changes
    clock.passed += 0.6
    assert watcher.run_once().arriving == 1
    clock.passed += 1.1
    health = watcher.run_once()
    assert health.arriving == 0
    assert health.states == {"done": 2}
    assert health.line == "healthy: 1 sessions, 0 arriving; 2 done"
    watcher.options["executor"] = None  # none is begun: there is nothing to do
    watcher.project.executor = lambda *_: pytest.fail("an executor was begun")  # type: ignore[method-assign]
    assert watcher.run_once().arriving == 1  # what was committed has just changed the file
    clock.passed += 1.1
    assert watcher.run_once() == replace(health, summary=None)


def test_it_goes_on_when_a_store_comes_back(tmp_path: Path) -> None:
    project = make_project(tmp_path, 0)
    (tmp_path / "nwb").rename(tmp_path / "away")
    told: list[Health] = []
    watcher = Watcher(project, settle_s=0.1, interval_s=0.1, executor=Inline())

    def tell(health: Health) -> None:
        told.append(health)
        if len(told) == 1:
            (tmp_path / "away").rename(tmp_path / "nwb")
        if not health.error:
            watcher.stop.set()

    watcher.watch(tell)
    assert "root of the store" in told[0].line
    assert told[-1].line == "healthy: 0 sessions, 0 arriving; no steps"


def test_a_service_takes_what_arrives_and_ends_cleanly(tmp_path: Path) -> None:
    make_project(tmp_path, 0)
    command = [sys.executable, "-m", "nwbpipe", "watch", "--project", str(tmp_path)]
    command += ["--settle", "0.5", "--interval", "0.5", "--workers", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr is not None
        lines: list[str] = []

        def read() -> None:
            assert service.stderr is not None
            lines.extend(iter(service.stderr.readline, ""))

        reader = threading.Thread(target=read)
        reader.start()
        write_session(tmp_path / "nwb/new.nwb", "lever")
        end = time.monotonic() + 200
        while not any("0 arriving; 2 done" in line for line in lines):
            assert time.monotonic() < end, lines
            assert service.poll() is None, lines
            time.sleep(0.1)
        service.send_signal(signal.SIGTERM)
        assert service.wait(60) == 0
        reader.join()
    assert lines[-1] == "stopped\n"
    assert {one.state for one in Project(tmp_path).status().plans[0].steps} == {"done"}
