from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import h5py
import pytest

import nwbpipe
from nwbpipe import errors
from nwbpipe.processors import Input
from nwbpipe.project import Project, Step
from nwbpipe.project.execute._executor import Event
from nwbpipe.project.execute._runner import lease_name
from nwbpipe.project.plan._inputs import expand_runs
from nwbpipe.project.plan._tools import ToolFacts, explain_staleness
from nwbpipe.project.state import Leases
from nwbpipe.provenance import IdentityCache
from nwbpipe.session._content import NwbObject
from tests.fixtures.processing import Scale, keep_places, write_session
from tests.fixtures.projects import STEPS, Inline, make_project, table
from tests.provenance.records import make_record

pytestmark = pytest.mark.usefixtures("test_processors")
MakeDone = Callable[[int], Project]


@pytest.fixture(scope="module")
def done_labs(tmp_path_factory: pytest.TempPathFactory, test_distribution: Path) -> dict[int, Path]:
    """Folders of projects of one and of two sessions, all computed; they are not to be changed."""
    labs = {}
    with keep_places(tmp_path_factory.mktemp("done")) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(test_distribution)])
        for sessions in (1, 2):
            labs[sessions] = folder / str(sessions)
            make_project(labs[sessions], sessions).run(executor=Inline())
    return labs


@pytest.fixture
def make_done(done_labs: dict[int, Path], tmp_path: Path) -> MakeDone:
    """Copy a project that is computed, of one session or of two."""
    return lambda sessions: Project(shutil.copytree(done_labs[sessions], tmp_path, dirs_exist_ok=True))


def test_a_project_is_computed_and_then_done(tmp_path: Path) -> None:
    project = make_project(tmp_path, sessions=2)
    assert set(table(project).values()) == {"missing"}
    assert project.state("m1/s0", "second")[0].reason == "after first"
    summary = project.run(workers=2)
    assert (summary.done, summary.failed, summary.ok) == (4, [], True)
    assert set(table(project).values()) == {"done"}
    again = project.run()
    assert (again.done, again.done_elsewhere) == (0, 0)
    records = nwbpipe.read_records(tmp_path / "nwb/s1.nwb")
    assert [record.step for record in records] == ["first", "second"]
    with h5py.File(tmp_path / "nwb/s1.nwb") as file:
        assert file["processing/behavior/Scaled_second/data"][0, 0] == 6.0
    assert sorted(run.step for run in project.runs()) == ["first"] * 2 + ["second"] * 2
    assert all(run.usage["cpu_seconds"] > 0 and project.planner.state.exists(run.log) for run in project.runs())


def test_changed_parameters_make_stale_what_follows_from_them(tmp_path: Path, make_done: MakeDone) -> None:
    make_done(1)
    changed = make_project(tmp_path, 0, STEPS.replace("factor = 3", "factor = 5"))
    first, second = changed.status().plans[0].steps
    assert (first.state, first.reason) == ("stale", "params changed: factor 3.0 → 5.0")
    assert (second.state, second.reason) == ("stale", "first is stale")
    assert changed.run(executor=Inline()).done == 2
    assert set(table(changed).values()) == {"done"}
    with h5py.File(tmp_path / "nwb/s0.nwb") as file:
        assert file["processing/behavior/Scaled_second/data"][1, 0] == 30.0


def test_a_change_of_the_raw_data_is_stale_with_its_reason(tmp_path: Path, make_done: MakeDone) -> None:
    project = make_done(2)
    with h5py.File(tmp_path / "nwb/s1.nwb", "r+") as file:
        file["acquisition/lever/data"][5, 1] += 1
    assert table(project)["m1/s0 first"] == "done"
    assert project.state("m1/s1", "first")[0].reason == "the input series has other content"
    assert project.run(executor=Inline()).done == 2


def test_one_failure_stops_no_other_session_and_is_remembered(tmp_path: Path) -> None:
    steps = STEPS.replace("factor = 3", 'factor = 3, ending = "raise"') + '[steps.other]\nprocessor = "scale"\n'
    project = make_project(tmp_path, 2, steps)
    summary = project.run(executor=Inline())
    assert (summary.done, len(summary.failed), summary.ok) == (2, 2, False)
    assert "the data are odd" in summary.failed[0][2]
    state, after = project.state("m1/s0", "first")[0], project.state("m1/s0", "second")[0]
    assert (state.state, after.state, after.reason) == ("failed", "blocked", "first is failed")
    assert "the data are odd" in state.reason
    assert b"hello from the tool" in project.planner.state.read_bytes(state.log)
    assert project.run(executor=Inline()).failed == []  # not again by itself
    assert len(project.run(executor=Inline(), retry_failed=True, max_failures=1).failed) == 1
    mended = make_project(tmp_path, 0, steps.replace("raise", "well"))
    assert mended.run(executor=Inline()).done == 4
    assert set(table(mended).values()) == {"done"}
    assert [run.outcome for run in mended.runs()].count("failed") == 3


def test_limits_and_restrictions(tmp_path: Path) -> None:
    project = make_project(tmp_path, sessions=3)
    summary = project.run(executor=Inline(), limit=1)
    assert (summary.done, summary.not_started) == (1, 3)
    assert project.run(["m1/s2"], executor=Inline(), steps=["first"]).done == 1
    assert table(project)["m1/s2 second"] == "missing"
    assert project.run(where="session_id = 's2'", executor=Inline(), steps=["second"]).done == 1
    with pytest.raises(errors.UnknownNameError, match="no step 'thrid'"):
        project.run(executor=Inline(), steps=["thrid"])


def test_what_no_worker_can_hold_is_blocked(tmp_path: Path) -> None:
    project = make_project(
        tmp_path, 1, STEPS.replace("factor = 3 }", "factor = 3 }\nresources = { memory_gb = 999 }")
    )
    summary = project.run(executor=Inline())
    assert [(one.run, one.reason) for one in summary.blocked][:1] == [("first", "needs 999 GB")]
    assert summary.done == 0


def test_a_pattern_fans_out_and_what_is_bound_to_it_follows(tmp_path: Path) -> None:
    steps = STEPS.replace("factor = 3 }", 'factor = 3 }\ninputs.series = "acquisition/le*"')
    make_project(tmp_path, 1, steps)
    write_session(tmp_path / "nwb/s0.nwb", "left", "lever", "right")
    project = make_project(tmp_path, 0, steps)
    assert project.run(executor=Inline()).done == 4
    runs = {f"{name}_{part}" for name in ("first", "second") for part in ("left", "lever")}
    assert {one.run for one in project.status().plans[0].steps} == runs
    assert {one.state for one in project.status().plans[0].steps} == {"done"}
    with h5py.File(tmp_path / "nwb/s0.nwb") as file:
        assert set(file["processing/behavior"]) == {f"Scaled_{run}" for run in runs}


def test_an_ambiguous_input_is_refused_with_the_candidates(tmp_path: Path) -> None:
    make_project(tmp_path, 1)
    write_session(tmp_path / "nwb/s0.nwb", "left", "right")
    project = make_project(tmp_path, 0)
    state = project.state("m1/s1", "first")[0]
    assert state.state == "blocked"
    assert "/acquisition/left, /acquisition/right" in state.reason
    assert project.state("m1/s1", "second")[0].reason == "first is blocked"


class Two(Scale):
    """Takes another series, if one is named."""

    inputs: ClassVar[Mapping[str, Input]] = {**Scale.inputs, "more": Input("TimeSeries", optional=True)}


def test_an_optional_input_is_left_out_unless_it_is_bound() -> None:
    there = [NwbObject("/acquisition/lever", "TimeSeries", frozenset({"TimeSeries"}), "id")]
    (plain,) = expand_runs(Step("two", Two(), None), there, {}, [])
    (bound,) = expand_runs(Step("two", Two(), None, {"more": "acquisition/lever"}), there, {}, [])
    assert (set(plain.inputs), set(bound.inputs)) == ({"series"}, {"series", "more"})


class All(Scale):
    """Takes all series that are meant."""

    inputs: ClassVar[Mapping[str, Input]] = {"series": Input("TimeSeries", many=True)}


def test_an_input_of_many_takes_what_a_step_wrote_in_all_its_runs() -> None:
    kind = ("TimeSeries", frozenset({"TimeSeries"}))
    there = [NwbObject(f"/processing/behavior/S_{name}", *kind, name) for name in ("a", "b", "c")]
    records = {
        name: SimpleNamespace(step=name, outputs=[SimpleNamespace(path=f"/processing/behavior/S_{name}")])
        for name in ("a", "b")
    }
    upstream = {"first": list(records.items())}
    written = [f"/processing/behavior/S_{name}" for name in records]
    (run,) = expand_runs(Step("all", All(), None, {"series": "first/S,S_*"}), there, upstream, written)
    assert {name: item.object_id for name, item in run.inputs.items()} == {
        "series:1": "a",
        "series:2": "b",
        "series:3": "c",
    }
    assert run.run == "all"


def test_ignored_steps_and_sessions_are_left_alone(tmp_path: Path) -> None:
    rule = '[[ignore]]\nsession = "m1/s0"\nsteps = ["second"]\nreason = "noise"\n[[ignore]]\nsession = "*/s1"\n'
    project = make_project(tmp_path, 2, STEPS + rule)
    assert project.run(executor=Inline()).done == 1
    assert project.state("m1/s0", "second")[0].reason == "noise"
    assert table(project)["m1/s1 first"] == "ignored"


def test_nothing_is_hashed_for_ignored_steps(
    tmp_path: Path, make_done: MakeDone, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_done(1)
    project = make_project(tmp_path, 0, STEPS + '[[ignore]]\nsession = "*"\n')
    monkeypatch.setattr(IdentityCache, "identify_all", lambda *_, **__: pytest.fail("hashed"))
    assert set(table(project).values()) == {"ignored"}


@pytest.mark.parametrize(
    ("policy", "version", "stale"),
    [("minor", "1.26.9", False), ("minor", "1.25.0", True), ("exact", "1.26.9", True), ("never", "0.1", False)],
)
def test_another_version_of_the_tool(policy: str, version: str, stale: bool) -> None:
    record = replace(make_record(), tool_version=version, compute_digest="d")
    assert bool(explain_staleness(record, ToolFacts("d", "1.26.4"), policy)) is stale
    assert explain_staleness(record, ToolFacts("other", "1.26.4"), policy) == (
        "" if policy == "never" else "code changed"
    )


@pytest.mark.parametrize(
    ("policy", "container", "stale"),
    [
        ("exact", {"image": "sha256:aa"}, "numpy: image aa → bb"),
        ("exact", {"image": "sha256:bb"}, ""),
        ("minor", {"image": "sha256:aa"}, ""),
        ("exact", None, ""),  # computed without a container
        ("exact", "of a foreign file", ""),
    ],
)
def test_another_image_of_the_tool(policy: str, container: object, stale: str) -> None:
    record = replace(make_record(), compute_digest="d", resources={"container": container})
    facts = ToolFacts("d", record.tool_version, image="sha256:bb")
    assert explain_staleness(record, facts, policy) == stale.replace("numpy", record.tool)


def test_a_result_of_an_older_tool_is_computed_again(
    tmp_path: Path, make_done: MakeDone, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_done(1)
    upgraded = make_project(tmp_path, 0)
    facts = {name: replace(one, source="new source") for name, one in upgraded.planner.tools.items()}
    monkeypatch.setattr("nwbpipe.project.plan._planner.collect_facts", lambda steps, index, may_run: facts)
    upgraded = make_project(tmp_path, 0)
    assert upgraded.state("m1/s0", "first")[0].reason == "code changed"
    assert upgraded.state("m1/s0", "second")[0].state == "stale"


def test_a_damaged_file_blocks_its_session_alone(tmp_path: Path) -> None:
    project = make_project(tmp_path, 2)
    (tmp_path / "nwb/s1.nwb").write_bytes((tmp_path / "nwb/s1.nwb").read_bytes()[:5000])
    status = project.status()
    assert len(status.problems) == 1
    assert [plan.session for plan in status.plans] == ["m1/s0"]
    assert project.run(executor=Inline()).done == 2


def test_the_index_can_be_deleted_and_notices_changes(tmp_path: Path, make_done: MakeDone) -> None:
    project = make_done(2)
    time.sleep(2.1)  # what has just changed is not kept
    first = project.status().as_dict()
    assert project.planner.index.load("status")
    assert make_project(tmp_path, 0).status().as_dict() == first
    thorough = make_project(tmp_path, 0).status(verify=True)
    with pytest.MonkeyPatch.context() as patch:  # what was read thoroughly serves both
        patch.setattr("nwbpipe.project.plan._planner.evaluate", lambda *_, **__: pytest.fail("looked again"))
        for verify in (True, False):
            assert make_project(tmp_path, 0).status(verify=verify) == thorough
    project.planner.index.path.unlink()
    assert make_project(tmp_path, 0).status().as_dict() == first
    nwbpipe.remove_step(tmp_path / "nwb/s0.nwb", "second")
    assert table(make_project(tmp_path, 0))["m1/s0 second"] == "missing"


def test_a_run_elsewhere_is_waited_for_and_not_done_twice(tmp_path: Path) -> None:
    project = make_project(tmp_path, 1)
    other = Leases(project.planner.state)
    state = project.state("m1/s0", "first")[0]
    lease = other.take(lease_name(state), session="m1/s0", step="first")
    assert lease is not None
    assert table(project)["m1/s0 first"] == "running"

    def ends() -> None:
        time.sleep(1.5)
        words = ["process", "nwb/s0.nwb", "scale", "--step", "first", "-p", "factor=3", "--input", "series=lever"]
        subprocess.run([sys.executable, "-m", "nwbpipe", *words], cwd=tmp_path, check=True, capture_output=True)
        other.release(lease)

    thread = threading.Thread(target=ends)
    thread.start()
    inline = Inline()
    summary = make_project(tmp_path, 0).run(executor=inline)
    thread.join()
    assert [job.run for job in inline.jobs] == ["second"]
    assert summary.done == 1
    other.close()


class Failing(Inline):
    """Fails, and has lost what ran."""

    def submit(self, job, wanted):
        self.jobs.append(job)
        return len(self.jobs)

    def wait(self, timeout):
        if timeout:
            raise errors.WorkError("workers end as soon as they are started")
        return [Event(len(self.jobs), lost=True)]


def test_an_executor_that_fails_leaves_no_lease_and_nothing_is_begun_after_it(tmp_path: Path) -> None:
    failing = Failing()
    with pytest.raises(errors.WorkError, match="as soon as they are started"):
        make_project(tmp_path, 1).run(executor=failing)
    assert len(failing.jobs) == 1
    assert list((tmp_path / "state/leases").glob("*.json")) == []


def test_verify_computes_again_and_compares(tmp_path: Path, make_done: MakeDone) -> None:
    project = make_done(1)
    before = (tmp_path / "nwb/s0.nwb").read_bytes()
    found = project.verify("m1/s0", "second", threads=1)
    assert found
    assert all(one.ok for one in found)
    assert (tmp_path / "nwb/s0.nwb").read_bytes() == before
    with h5py.File(tmp_path / "nwb/s0.nwb", "r+") as file:
        file["processing/behavior/Scaled_second/data"][3, 0] += 0.5
    bad = [one for one in project.verify("m1/s0", "second", threads=1) if not one.ok]
    assert [one.path for one in bad] == ["/processing/behavior/Scaled_second/data"]
    with h5py.File(tmp_path / "nwb/s0.nwb", "r+") as file:
        file["processing/behavior/Scaled_first/data"][3, 0] += 0.5
    with pytest.raises(errors.InputError, match="has other content"):
        project.verify("m1/s0", "second")


def test_lineage_is_prov_json(make_done: MakeDone) -> None:
    project = make_done(2)
    document = project.lineage()
    assert len(document["activity"]) == 4
    used = {(one["prov:activity"], one["prov:entity"]) for one in document["used"].values()}
    made = {one["prov:entity"]: one["prov:activity"] for one in document["wasGeneratedBy"].values()}
    chained = [(made[entity], activity) for activity, entity in used if entity in made]
    steps = {name: one["nwbpipe:step"] for name, one in document["activity"].items()}
    assert sorted((steps[one], steps[other]) for one, other in chained) == [("first", "second")] * 2
    for kind in ("used", "wasGeneratedBy", "wasAssociatedWith"):
        for relation in document[kind].values():
            for role, name in relation.items():
                assert name in document[role.removeprefix("prov:")]
