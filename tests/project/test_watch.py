from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
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


RAW = """
nwbpipe = 1
[project]
name = "lab"
sessions = "raw://**/session.yaml"
output = "nwb://{subject_id}_{session_id}.nwb"
[stores]
raw = "raw"
nwb = "nwb"
state = "state"
"""
SPEC = """
nwbpipe: 1
subject: {subject_id: m1, species: Mus musculus, sex: F, age: P90D}
session: {session_id: a, session_start_time: "2024-05-01T10:00:00+00:00", session_description: x}
sources:
  events: {interface: BehaviorEventsInterface, args: {file_path: events.csv, time_column: time, name_column: name}}
"""


@pytest.fixture
def arriving(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Return a function that looks whether the session of a project with raw files has arrived; 60 s at rest."""
    monkeypatch.setattr(_watch, "time", clock)
    (tmp_path / "raw/one").mkdir(parents=True)
    (tmp_path / "nwb").mkdir()
    (tmp_path / "nwbpipe.toml").write_text(RAW)
    (tmp_path / "raw/one/session.yaml").write_text(SPEC)
    (tmp_path / "raw/one/events.csv").write_text("time,name\n1.5,lick\n")
    watcher = Watcher(Project(tmp_path), settle_s=60.0, interval_s=1.0, executor=Inline())

    def look() -> bool:
        (session,) = watcher.project.sessions()[0]
        watcher.file_stats.refresh(whole_stores=True)
        return watcher._has_arrived(session)

    return look


def set_old_times(folder: Path) -> None:
    """Give files the times that they had at their source, as cp -p, rsync -t and SMB servers do."""
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (1.7e9, 1.7e9))


def test_files_with_the_times_of_their_source_have_just_arrived(
    tmp_path: Path, clock: Clock, arriving: Callable[[], bool]
) -> None:
    set_old_times(tmp_path / "raw")
    assert not arriving()
    clock.passed += 30
    with (tmp_path / "raw/one/events.csv").open("a") as file:
        file.write("2.5,lick\n")
    set_old_times(tmp_path / "raw")
    assert not arriving()
    clock.passed += 40
    (tmp_path / "raw/one/more").mkdir()  # a folder whose files are to come
    set_old_times(tmp_path / "raw")
    assert not arriving()
    clock.passed += 40
    (tmp_path / "raw/one/more").rmdir()
    assert not arriving()
    clock.passed += 59
    assert not arriving()
    clock.passed += 2
    assert arriving()


def test_a_file_that_takes_the_place_of_another_of_its_size_and_times_is_seen(
    tmp_path: Path, clock: Clock, arriving: Callable[[], bool]
) -> None:
    arriving()
    clock.passed += 61
    assert arriving()
    new = tmp_path / "raw/new.csv"
    new.write_text("time,name\n9.5,lick\n")
    set_old_times(tmp_path / "raw")
    new.replace(tmp_path / "raw/one/events.csv")
    assert not arriving()


def test_what_was_at_rest_before_the_first_look_is_not_waited_for(clock: Clock, arriving: Callable[[], bool]) -> None:
    clock.passed += 61
    assert arriving()


def test_the_temporary_name_of_a_copying_program_means_that_it_goes_on(
    tmp_path: Path, clock: Clock, arriving: Callable[[], bool]
) -> None:
    part = tmp_path / "raw/one/.scan.tif.a7Qz01"
    part.write_bytes(b"half")
    clock.passed += 600
    assert not arriving()
    part.rename(tmp_path / "raw/one/scan.tif")
    arriving()
    clock.passed += 61
    assert arriving()


@pytest.mark.parametrize(
    ("name", "unfinished"),
    [
        ("scan.tif.part", True), ("scan.tif.PARTIAL", True), ("a.crdownload", True), (".scan.tif.Ab12Cd", True),
        ("scan.tif.filepart", True), ("scan.tif", False), (".DS_Store", False), ("._scan.tif", False),
        (".app.config", False), ("part.csv", False), (".M1.nwb.123-0a1b2c3d.partial", False),
        (".nwbpipe-0123.partial", False),
    ],
)  # fmt: skip
def test_temporary_names(name: str, unfinished: bool) -> None:
    assert _watch.is_unfinished_copy(f"/raw/one/{name}") is unfinished
    assert _watch.is_unfinished_copy(f"s3://raw/one/{name}") is unfinished


def test_the_line_of_a_service_names_what_it_waits_for() -> None:
    assert Health(1, 1, unfinished={"m1/a": "/raw/x.part"}).line.endswith("m1/a waits for the copy /raw/x.part")
