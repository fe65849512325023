"""Train a network on labelled frames, track a video with it, and follow the pose to the neurons' clock."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np

from nwbpipe import environments
from nwbpipe.demo._project import open_demo_project
from nwbpipe.demo._read_results import read_series_times
from nwbpipe.demo._report import DemoScore, ProjectDemoReport, write_page
from nwbpipe.errors import ToolMissingError
from nwbpipe.processors import processor
from nwbpipe.project import Project
from nwbpipe.project.execute import Reporter, RunSummary
from nwbpipe.session import read_records
from nwbpipe.simulate import BodyTruth, simulate_body_video, write_dlc_project

_LABELLED, _FRAMES = 48, 240
_RATE_HZ, _SIGNAL_HZ = 30.0, 100.0
_NEEDS = ("deeplabcut", "kinematics", "labeled_video")  # processors whose tools are looked for first
_SPEC = """\
nwbpipe: 1
subject: {subject_id: simbody, species: Mus musculus, sex: F, age: P90D}
session:
  session_id: pose
  session_start_time: 2024-05-01T10:00:00-04:00
  session_description: A simulated mouse in a box, seen from above.
reference_clock: top
sources:
  top: {interface: ExternalVideoInterface, args: {file_paths: [body.avi]}, options: {video: link}}
  cell:
    interface: SeriesInterface
    args: {file_path: cell.csv, unit: n.a., time_column: time, data_columns: [rate]}
    clock: top
"""
_PROJECT = """\
nwbpipe = 1
[project]
name = "nwbpipe-demo-pose"
sessions = "raw://**/session.yaml"
output = "nwb://sub-{subject_id}/sub-{subject_id}_ses-{session_id}.nwb"
[stores]
raw = "raw"
nwb = "nwb"
dlc = "dlc"
state = "state"

[steps.model]
processor = "deeplabcut_train"
scope = "project"
inputs.project = "dlc://box"
params = { network = "resnet10t", epochs = 10, crop = [160, 160], learning_rate = 1e-3, evaluate_every = 5 }
[steps.pose]
processor = "deeplabcut"
inputs.model = "model"
[steps.show]
processor = "labeled_video"
inputs.pose = "pose"
params = { keep = "always" }
[steps.clean]
processor = "pose_filter"
inputs.pose = "pose"
[steps.moves]
processor = "kinematics"
inputs.pose = "clean"
params = { centroid = ["snout", "tailbase"], smooth_s = 0.5, heading = ["tailbase", "snout"] }
[steps.rows]
processor = "synchronize"
inputs.series = "clean,moves/Kinematics/moves_speed,acquisition/cell"
inputs.grid = "acquisition/ImageSeries_top"

[executor]
workers = 1
"""


def run_pose_demo(
    folder: Path | str,
    *,
    reporter: Reporter | None = None,
    stopped: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = print,
) -> ProjectDemoReport:
    """Train a tiny DeepLabCut network, track a simulated mouse, and compare the results with the truth.

    The project has labelled frames of one video, and a session with another: the network tracks it, a copy of the
    video shows the pose, and its speed is put beside a simulated cell's rate, which follows the true speed. A call
    continues where an earlier one stopped.

    Parameters
    ----------
    folder : path
        Folder for ``nwbpipe.toml``, ``dlc/``, ``raw/``, ``nwb/``, ``models/`` and ``state/``.
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
    ToolMissingError
        DeepLabCut, or another tool of the demo, is not installed. Nothing was done.
    OverwriteError
        The folder has another project.
    """
    began = time.monotonic()
    _require_tools()
    folder = Path(folder).resolve()
    project = open_demo_project(folder, _PROJECT, "nwbpipe-demo-pose")
    truth = _simulate(folder, say)
    summary = project.run(retry_failed=True, reporter=reporter, stopped=stopped)
    for key, step, text in [*summary.failed, *summary.uncommitted]:
        say(f"{key} {step}: {text}")
    rows = tuple(_score(project, summary, truth))
    (session,) = project.sessions()[0]
    if Path(session.file).is_file() and (page := write_page(Path(session.file))):
        say(f"report: {page.as_uri()}")
    return ProjectDemoReport(rows, folder, time.monotonic() - began)


def _require_tools() -> None:
    """Refuse before anything is simulated, with what is to be installed."""
    missing = []
    for name in _NEEDS:
        tool = processor(name).tool
        try:
            environments.find(tool)
        except ToolMissingError:
            missing.append(tool.name)
    if missing:
        msg = "the demo of pose needs tools that are not installed"
        hint = f"nwbpipe tools install {' '.join(missing)}  (DeepLabCut takes 2 GB)"
        raise ToolMissingError(msg, expected=", ".join(_NEEDS), found=f"no {', no '.join(missing)}", hint=hint)


def _simulate(folder: Path, say: Callable[[str], None]) -> BodyTruth:
    """Simulate what is not there yet; return the truth of the session's video, which the seed decides."""
    raw = folder / "raw" / "session1"
    if not (folder / "dlc" / "box" / "config.yaml").exists():
        say(f"simulating a video with {_LABELLED} labelled frames in {folder / 'dlc' / 'box'}")
        labelled = simulate_body_video(folder / "dlc" / "labelled.avi", seed=1, n_frames=2 * _LABELLED)
        write_dlc_project(folder / "dlc" / "box", labelled, frames=range(0, 2 * _LABELLED, 2))
    if (raw / "session.yaml").exists():
        return simulate_body_video(folder / "state" / "truth.avi", seed=2, n_frames=_FRAMES)
    say(f"simulating a session in {raw}")
    truth = simulate_body_video(raw / "body.avi", seed=2, n_frames=_FRAMES)
    frames = np.arange(_FRAMES) / _RATE_HZ
    times = np.arange(0, frames[-1], 1 / _SIGNAL_HZ)
    rate = np.interp(times, frames, _true_speed(truth)) / 10 + np.random.default_rng(3).normal(0, 1, times.size)
    with (raw / "cell.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "rate"])
        writer.writerows([f"{time:.4f}", f"{value:.4f}"] for time, value in zip(times, rate, strict=True))
    (raw / "session.yaml").write_text(_SPEC, encoding="ascii")
    return truth


def _true_speed(truth: BodyTruth) -> np.ndarray:
    """Return the speed of the middle of the body in pixels/s, at each frame."""
    velocity = np.gradient(truth.keypoints.mean(axis=1), 1 / _RATE_HZ, axis=0)
    return np.asarray(np.hypot(velocity[:, 0], velocity[:, 1]))


def _score(project: Project, summary: RunSummary, truth: BodyTruth) -> Iterator[DemoScore]:
    """Compare the results with the truth; a missing one is NaN, and fails."""
    (session,) = project.sessions()[0]
    path = Path(session.file)
    errors = dict.fromkeys(truth.bodyparts, math.nan)
    time_error = correlation = lag = math.nan
    frames = 0
    with suppress(OSError, KeyError), h5py.File(path, "r") as file:
        behavior = file["processing/behavior"]
        for number, part in enumerate(truth.bodyparts):
            series = behavior["PoseEstimation_pose"][part]
            distance = np.hypot(*(series["data"][()] - truth.keypoints[:, number]).T)
            errors[part] = float(distance[truth.visible[:, number]].mean())
            time_error = float(np.abs(read_series_times(series) - np.arange(_FRAMES) / _RATE_HZ).max() * 1e3)
        speed = behavior["Kinematics_moves/moves_speed/data"][:, -1]
        is_tracked = np.isfinite(speed)
        correlation = float(np.corrcoef(speed[is_tracked], _true_speed(truth)[is_tracked])[0, 1])
        rows = behavior["Synchronized_rows"]
        lag = float(abs(_find_lag(rows["rows_moves_speed/data"][:, -1], np.ravel(rows["rows_cell/data"][()]))))
    with suppress(OSError, KeyError, IndexError, ImportError), h5py.File(path, "r") as file:
        import av

        name = file["processing/behavior/LabeledVideo_show/external_file"].asstr()[0]
        with av.open(str(path.parent / name)) as video:
            frames = sum(1 for _ in video.decode(video=0))
    for part, error in errors.items():
        note = f"{truth.visible[:, truth.bodyparts.index(part)].sum()} frames"
        yield DemoScore("pose", f"{part}, mean error", error, 4.0, True, "px", note)
    yield DemoScore("pose", "times, largest error", time_error, 1.0, True, "ms")
    yield DemoScore("video", "frames with the pose drawn on", frames, _FRAMES)
    yield DemoScore("kinematics", "speed, correlation", correlation, 0.8)
    yield DemoScore("rows", "lag of speed and cell", lag, 1, True, "frames")
    cost = sum(record.resources.get("cpu_seconds", 0.0) for record in read_records(path)) if path.is_file() else 0.0
    note = f"{summary.done} in this call{', stopped' if summary.interrupted else ''}; {cost:.0f} CPU s but training"
    states = [state.state for plan in project.status(verify=True).plans for state in plan.steps]
    yield DemoScore("project", "runs that are done", states.count("done"), 1 + len(project.spec.steps), note=note)


def _find_lag(first: np.ndarray, second: np.ndarray, largest: int = 10) -> int:
    """Return the rows by which the second series is late, at the peak of their correlation."""
    usable = np.isfinite(first) & np.isfinite(second)
    lags = range(-largest, largest + 1)
    scores = []
    for lag in lags:
        overlap = usable & np.roll(usable, -lag)
        overlap[: max(0, -lag)] = overlap[len(overlap) - max(0, lag) :] = False
        scores.append(np.corrcoef(first[overlap], np.roll(second, -lag)[overlap])[0, 1])
    return lags[int(np.argmax(scores))]
