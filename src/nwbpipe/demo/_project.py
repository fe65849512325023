"""Run a project of simulated sessions, and compare every result with its truth."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from nwbpipe.demo._read_results import read_series_times
from nwbpipe.demo._report import DemoScore, ProjectDemoReport
from nwbpipe.errors import OverwriteError
from nwbpipe.project import Project
from nwbpipe.project.execute import Reporter, RunSummary
from nwbpipe.session import read_records
from nwbpipe.simulate import PhotometryTruth, load_photometry_truth, scores, simulate_photometry_session

# Two methods for one modality, and for each of them a step that reads its result.
_PROJECT = """\
nwbpipe = 1
[project]
name = "nwbpipe-demo"
sessions = "raw://**/session.yaml"
output = "nwb://sub-{subject_id}/sub-{subject_id}_ses-{session_id}.nwb"
[stores]
raw = "raw"
nwb = "nwb"
state = "state"

[steps.lock_in]
processor = "demodulate"
params = { method = "lock_in" }
inputs.signal = "acquisition/FiberPhotometryResponseSeries_rig"
[steps.spectrogram]
extends = "lock_in"
params = { method = "spectrogram" }
[steps.dff_lock_in]
processor = "photometry_dff"
inputs.signal = "lock_in/DemodulatedLockIn"
[steps.dff_spectrogram]
extends = "dff_lock_in"
inputs.signal = "spectrogram/DemodulatedSpectrogram"

[executor]
workers = 2
"""
_EVERY = 20  # samples of the rig per sample of a trace


def run_project_demo(
    folder: Path | str,
    *,
    sessions: int = 3,
    duration_s: float = 60.0,
    executor: str | None = None,
    workers: int | None = None,
    reporter: Reporter | None = None,
    stopped: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = print,
) -> ProjectDemoReport:
    """Create a project of simulated photometry sessions in `folder`, run it, and compare the results with the truth.

    A call continues where an earlier one stopped or was killed. Sessions that were added by hand
    (`nwbpipe.simulate.simulate_photometry_session`) are compared with their truth as well.

    Parameters
    ----------
    folder : path
        Folder for ``nwbpipe.toml``, ``raw/``, ``nwb/`` and ``state/``.
    sessions : int, default 3
        Smallest number of sessions.
    duration_s : float, default 60
        Length of a session in seconds.
    executor : str, optional
        See `nwbpipe.Project.run`; "local" by default.
    workers : int, optional
        Number of runs at the same time; 2 by default.
    reporter : Reporter, optional
        Receives the progress of the run.
    stopped : callable, optional
        Called between events; the run stops once it returns True.
    say : callable
        Called with a line for each part.

    Returns
    -------
    ProjectDemoReport

    Raises
    ------
    OverwriteError
        The folder has another project.
    """
    began = time.monotonic()
    folder = Path(folder).resolve()
    project = open_demo_project(folder, _PROJECT, "nwbpipe-demo")
    for seed in range(1, sessions + 1):
        session_folder = folder / "raw" / f"sim{seed:03d}"
        if not (session_folder / "session.yaml").exists():
            say(f"simulating a session in {session_folder}")
            simulate_photometry_session(session_folder, seed=seed, duration_s=duration_s)
    summary = project.run(executor=executor, workers=workers, retry_failed=True, reporter=reporter, stopped=stopped)
    for session, step, text in [*summary.failed, *summary.uncommitted]:
        say(f"{session} {step}: {text}")
    return ProjectDemoReport(tuple(_score(project, summary)), folder, time.monotonic() - began)


def open_demo_project(folder: Path, text: str, name: str) -> Project:
    """Return the project in a folder, which is made of the text of its nwbpipe.toml where there is none.

    Raises
    ------
    OverwriteError
        The folder has another project, or other files.
    """
    file = folder / "nwbpipe.toml"
    if not file.exists():
        part = folder / "nwbpipe.toml.partial"
        if folder.is_dir() and set(folder.iterdir()) - {part}:
            msg = "the folder has other files"
            raise OverwriteError(msg, where=str(folder), expected="a new folder", hint="choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        os.replace(part, file)  # noqa: PTH105
    project = Project(file, profile="")
    if project.spec.name != name:
        msg = "the folder has another project"
        raise OverwriteError(msg, where=str(file), found=project.spec.name, hint="choose another folder")
    return project


def _score(project: Project, summary: RunSummary) -> list[DemoScore]:
    """Compare each session with its truth."""
    sessions, _ = project.sessions()
    rows: list[DemoScore] = []
    for session in sessions:
        folder = Path(str(session.spec)).parent
        if (folder / "truth").is_dir():
            rows += _score_session(session.subject_id, Path(session.file), load_photometry_truth(folder))
    states = Counter(state.state for plan in project.status(verify=True).plans for state in plan.steps)
    repeats = [
        number
        for session in sessions
        if Path(session.file).is_file()
        for number in Counter((record.step, record.key) for record in read_records(session.file)).values()
    ]
    note = f"{summary.done} in this call{', stopped' if summary.interrupted else ''}"
    expected = len(sessions) * (1 + len(project.spec.steps))
    rows.append(DemoScore("project", "runs that are done", states["done"], expected, note=note))
    rows.append(DemoScore("project", "records of a run, at most", max(repeats, default=0), 1, True))
    return rows


def _score_session(name: str, path: Path, truth: PhotometryTruth) -> list[DemoScore]:
    """Compare one session with its truth; a missing result is NaN, and fails."""
    values_by_step: dict[str, tuple[float, float]] = {}
    for step in ("dff_lock_in", "dff_spectrogram"):
        values_by_step[step] = math.nan, math.nan
        with contextlib.suppress(OSError, KeyError), h5py.File(path, "r") as file:
            series = file[f"processing/ophys/DfOverFIsosbestic_{step}"]
            times, values = read_series_times(series), np.asarray(series["data"][()], dtype=np.float64)
            correlations = [
                scores.dff_correlation(np.interp(times, truth.times, true), column)
                for true, column in zip(truth.dff, values.T, strict=True)
            ]
            values_by_step[step] = min(correlations), scores.event_error_ms(truth.times[::_EVERY], times)
    rows = [DemoScore(name, f"dF/F by {step[4:]}", values[0], 0.9) for step, values in values_by_step.items()]
    error = float(np.max([values[1] for values in values_by_step.values()]))
    return [*rows, DemoScore(name, "times, largest error", error, 1.0, True, "ms")]
