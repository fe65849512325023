"""What a run has found is kept: the next look at the project reads no session, and yet sees each change."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from nwbpipe.files import is_time_past
from nwbpipe.project import Project
from nwbpipe.project.plan import _describe, _planner
from nwbpipe.project.state import _index
from tests.fixtures.projects import Inline, make_project, table

pytestmark = [
    pytest.mark.usefixtures("test_processors"),
    pytest.mark.skipif(sys.platform != "linux", reason="the kind of a disk is read from Linux's /proc"),
]


def change_samples(path: Path) -> None:
    """Change a sample, and put the file's time back: size and time are as before."""
    before = path.stat()
    with h5py.File(path, "r+") as file:
        file["acquisition/lever/data"][5, 1] += 1
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_the_look_after_a_run_reads_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_project(tmp_path).run(executor=Inline()).done == 4
    monkeypatch.setattr(_planner, "evaluate", lambda *_, **__: pytest.fail("evaluated again"))
    monkeypatch.setattr(_describe, "_read_fields", lambda *_: pytest.fail("described again"))
    again = Project(tmp_path)
    assert again.run(executor=Inline()).done == 0
    assert set(table(again).values()) == {"done"}


def test_a_change_right_after_a_run_is_seen_also_with_its_time_put_back(tmp_path: Path) -> None:
    make_project(tmp_path).run(executor=Inline())
    change_samples(tmp_path / "nwb/s1.nwb")
    again = Project(tmp_path)
    assert table(again)["m1/s0 first"] == "done"
    assert again.state("m1/s1", "first")[0].reason == "the input series has other content"
    assert again.run(executor=Inline()).done == 2


def test_a_change_while_a_session_is_evaluated_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = _planner.evaluate

    def evaluate_and_change(*arguments: Any, **options: Any) -> Any:
        evaluation = evaluate(*arguments, **options)
        if {state.state for state in evaluation.plan.steps} == {"done"}:
            change_samples(tmp_path / "nwb/s0.nwb")
        return evaluation

    project = make_project(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(_planner, "evaluate", evaluate_and_change)
        project.run(executor=Inline())
    assert project.planner.index.load("status") == {}
    assert Project(tmp_path).state("m1/s0", "first")[0].state == "stale"


def is_never_past(_path: Path, _time: int) -> bool:
    return False


def is_past_of_others(path: Path, time: int) -> bool:
    return path.name == "s1.nwb" and is_time_past(path, time)


@pytest.mark.parametrize(("tell", "kept"), [(is_never_past, set()), (is_past_of_others, {"m1/s1"})])
def test_nothing_is_kept_while_the_clock_of_the_disk_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Callable[[Path, int], bool], kept: set[str]
) -> None:
    monkeypatch.setattr(_index, "is_time_past", tell)
    project = make_project(tmp_path)
    project.run(executor=Inline())
    assert set(project.planner.index.load("status")) == kept


def test_a_failure_of_a_run_is_kept_with_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = '[steps.first]\nprocessor = "scale"\n[steps.odd]\nprocessor = "scale"\nparams = { ending = "raise" }\n'
    summary = make_project(tmp_path, 1, steps).run(executor=Inline())
    assert (summary.done, len(summary.failed)) == (1, 1)
    monkeypatch.setattr(_planner, "evaluate", lambda *_, **__: pytest.fail("evaluated again"))
    assert table(Project(tmp_path)) == {"m1/s0 first": "done", "m1/s0 odd": "failed"}
