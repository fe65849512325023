"""The contract of an executor, as tests that a class of your own inherits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from nwbpipe.processors import Resources
from nwbpipe.project import Executor, ExecutorSpec, Project

_PROJECT = """\
nwbpipe = 1
[project]
name = "kit"
sessions = "nwb://*.nwb"
[stores]
nwb = "nwb"
state = "state"
[steps.wheel]
processor = "wheel"
"""


class ExecutorTests(ABC):
    """Hold an executor to the contract of `nwbpipe.project.Executor`: a project of three sessions, one of them bad.

    Inherit, and make the executor in `make_executor`.
    """

    @abstractmethod
    def make_executor(self, spec: ExecutorSpec) -> Executor:
        """Make the executor, with a worker or two."""

    @pytest.fixture
    def project(self, tmp_path: Path) -> Project:
        """A project whose third session has times that go backwards."""
        folder = tmp_path / "kit-project"
        (folder / "nwb").mkdir(parents=True)
        (folder / "nwbpipe.toml").write_text(_PROJECT)
        for number in range(3):
            times = np.arange(2000) / 100.0
            _write_session(folder / "nwb" / f"s{number}.nwb", number, times[::-1] if number == 2 else times)
        return Project(folder)

    def test_what_can_run_is_run_and_one_failure_stops_nothing(self, project: Project) -> None:
        spec = ExecutorSpec(workers=2)
        summary = project.run(executor=self.make_executor(spec))
        assert (summary.done, len(summary.failed), summary.interrupted) == (2, 1, False), summary
        session, step, text = summary.failed[0]
        assert "s2" in session
        assert step == "wheel"
        assert "next:" in text or "Error" in text, "the worker's error is lost"
        second_summary = project.run(executor=self.make_executor(spec))
        assert (second_summary.done, second_summary.failed) == (0, [])  # what failed is not tried again by itself

    def test_it_says_what_it_is_and_ends(self) -> None:
        executor = self.make_executor(ExecutorSpec(workers=1))
        try:
            assert executor.about
            assert executor.explain_refusal(Resources()) == ""
            assert executor.fits(Resources())
            assert executor.choose_threads(Resources(cpu=2)) == 2
            assert executor.choose_threads(Resources()) >= 1
            assert executor.wait(0.01) == []
        finally:
            executor.close()


def _write_session(path: Path, number: int, times: np.ndarray) -> None:
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries
    from pynwb.file import Subject

    nwbfile = NWBFile("a session", f"kit-{number}", datetime(2024, 5, 1, tzinfo=UTC), session_id=f"s{number}")
    nwbfile.subject = Subject(subject_id="m1", species="Mus musculus", sex="F", age="P90D")
    position = np.sin(times)
    nwbfile.add_acquisition(
        TimeSeries(name="wheel", description="d", data=position, unit="radians", timestamps=times)
    )
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
