"""A project under changes, runs and interruptions in any order: what is called done is done, at every moment."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from nwbpipe import read_records
from nwbpipe.project import Project
from nwbpipe.project.state import Leases
from tests.fixtures.processing import Scale
from tests.fixtures.projects import HEAD, Inline, make_project

pytestmark = pytest.mark.usefixtures("test_processors")


class Interrupted(Inline):
    """Is interrupted before or after a commit, without the runner's hearing of it."""

    def __init__(self, after: bool) -> None:
        super().__init__()
        self.after = after

    def submit(self, job, wanted):
        if self.after:
            super().submit(job, wanted)
        raise KeyboardInterrupt


class ProjectMachine(RuleBasedStateMachine):
    """Two steps on a few sessions; the truth is `raw * factor * 2`."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.factor = 3
        make_project(self.folder, 1, self.steps())
        self.sessions = 1

    def teardown(self) -> None:
        shutil.rmtree(self.folder)
        Scale.revision = 1

    def steps(self) -> str:
        return (
            f'[steps.first]\nprocessor = "scale"\nparams = {{ factor = {self.factor} }}\n'
            '[steps.second]\nprocessor = "scale"\ninputs.series = "first/Scaled"\n'
        )

    def project(self) -> Project:
        (self.folder / "nwbpipe.toml").write_text(HEAD + self.steps())
        return Project(self.folder)

    def files(self) -> list[Path]:
        return sorted((self.folder / "nwb").glob("*.nwb"))

    @precondition(lambda self: self.sessions < 3)
    @rule()
    def new_session(self) -> None:
        source = self.files()[0]
        shutil.copy(source, source.with_name(f"s{self.sessions}.nwb"))
        with h5py.File(source.with_name(f"s{self.sessions}.nwb"), "r+") as file:
            file["general/session_id"][()] = f"s{self.sessions}"
        self.sessions += 1

    @rule(which=st.integers(0, 2), value=st.floats(-9, 9))
    def change_raw(self, which: int, value: float) -> None:
        path = self.files()[which % self.sessions]
        with h5py.File(path, "r+") as file:
            file["acquisition/lever/data"][3, 1] = value

    @rule(factor=st.integers(1, 4))
    def change_params(self, factor: int) -> None:
        self.factor = factor

    @rule()
    def upgrade_method(self) -> None:
        Scale.revision += 1

    @rule(limit=st.sampled_from([1, None]))
    def run(self, limit: int | None) -> None:
        summary = self.project().run(executor=Inline(), limit=limit)
        assert summary.ok, summary
        if limit is None:
            self.check_the_end()

    @rule(after=st.booleans())
    def interrupted_run(self, after: bool) -> None:
        self.project().run(executor=Interrupted(after))

    @rule()
    def run_beside_a_dead_one(self) -> None:
        """Another runner died and left its lease; a third still holds one that has nothing to do with ours."""
        project = self.project()
        other = Leases(project.planner.state)
        assert other.take("run-of-something-else", session="x/y", step="z") is not None
        project.run(executor=Inline(), limit=1)
        other.close()

    @invariant()
    def what_is_done_is_so(self) -> None:
        for plan in self.project().status().plans:
            path = self.folder / "nwb" / f"{plan.session.split('/')[1]}.nwb"
            current = [record for record in read_records(path) if not record.superseded]
            assert len({record.key for record in current}) == len(current)
            assert len({record.step for record in current}) == len(current)
            with h5py.File(path) as file:
                truth = file["acquisition/lever/data"][()]
                for state, factor in zip(plan.steps, (self.factor, 2), strict=True):
                    truth = truth * factor
                    if state.state == "done":
                        np.testing.assert_array_equal(file[f"processing/behavior/Scaled_{state.run}/data"][()], truth)
                        record = next(one for one in current if one.step == state.run)
                        assert record.revision == Scale.revision

    def check_the_end(self) -> None:
        for plan in self.project().status().plans:
            assert [one.state for one in plan.steps] == ["done", "done"]


def machine(examples: int, steps: int) -> None:
    chosen = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(ProjectMachine, settings=chosen)


def test_any_order_of_changes_and_runs() -> None:
    machine(2, 5)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_any_order_of_changes_and_runs_at_length() -> None:
    machine(int(os.environ.get("NWBPIPE_EXAMPLES", "60")), 20)
