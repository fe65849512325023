from __future__ import annotations

from pathlib import Path

import h5py
import pytest

import nwbpipe
from tests.fixtures.projects import STEPS, make_project, table

pytestmark = pytest.mark.usefixtures("test_processors")


def test_a_project_is_computed_and_then_done(tmp_path: Path) -> None:
    project = make_project(tmp_path, sessions=3)
    assert set(table(project).values()) == {"missing"}
    assert project.state("m1/s0", "second")[0].reason == "after first"
    summary = project.run(workers=2)
    assert (summary.done, summary.failed, summary.ok) == (6, [], True)
    assert set(table(project).values()) == {"done"}
    again = project.run()
    assert (again.done, again.found) == (0, 0)
    records = nwbpipe.read_records(tmp_path / "nwb/s1.nwb")
    assert [record.step for record in records] == ["first", "second"]
    with h5py.File(tmp_path / "nwb/s1.nwb") as file:
        assert file["processing/behavior/Scaled_second/data"][0, 0] == 6.0
    assert sorted(run.step for run in project.runs()) == ["first"] * 3 + ["second"] * 3
    assert all(run.usage["cpu_seconds"] > 0 and project.planner.state.exists(run.log) for run in project.runs())


def test_changed_parameters_make_stale_what_follows_from_them(tmp_path: Path) -> None:
    project = make_project(tmp_path, sessions=1)
    project.run(workers=1)
    changed = make_project(tmp_path, 0, STEPS.replace("factor = 3", "factor = 5"))
    first, second = changed.status().plans[0].steps
    assert (first.state, first.reason) == ("stale", "params changed: factor 3.0 → 5.0")
    assert (second.state, second.reason) == ("stale", "first is stale")
    assert changed.run(workers=1).done == 2
    assert set(table(changed).values()) == {"done"}
    with h5py.File(tmp_path / "nwb/s0.nwb") as file:
        assert file["processing/behavior/Scaled_second/data"][1, 0] == 30.0
