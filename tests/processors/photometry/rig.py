"""Simulated sessions of the rig: raw files, spec, and the converted file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import nwbpipe
from nwbpipe.simulate import PhotometryTruth, simulate_photometry
from nwbpipe.simulate._photometry import RIG_RATE, write_rig

SPEC = """nwbpipe: 1
subject: {subject_id: M1, species: Mus musculus, sex: F, age: P90D, description: A simulated mouse.}
session:
  session_id: a
  session_start_time: 2024-05-01T10:00:00-04:00
  session_description: Simulated photometry.
  experimenter: ["Doe, Jane"]
  lab: Lab
  institution: University
  experiment_description: A test.
  keywords: [test]
sources:
  rig:
    interface: MatlabFiberPhotometryInterface
    args: {file_path: data.mat, settings_file_path: meta.toml, unit: volts}
  trials: {interface: CsvTimeIntervalsInterface, args: {file_path: trials.csv}, clock: rig}
  events:
    interface: BehaviorEventsInterface
    args: {file_path: events.csv, name_column: name, unsorted: sort}
    clock: rig
"""


def write_session(folder: Path, duration_s: float = 60.0, **options: float) -> PhotometryTruth:
    """Write the raw files and the spec; return the truth."""
    rng = np.random.default_rng(7)
    truth = simulate_photometry(rng, duration_s, RIG_RATE, **options)
    write_rig(folder / "data.mat", folder / "meta.toml", rng, truth)
    lines = [f"{time:.6f},cue\n" for time in truth.event_times] + [
        f"{time + 0.5:.6f},lick\n" for time in truth.event_times
    ]
    (folder / "events.csv").write_text("time,name\n" + "".join(lines))
    trials = [f"{time - 0.5:.6f},{time + 1.5:.6f}\n" for time in truth.event_times]
    (folder / "trials.csv").write_text("start_time,stop_time\n" + "".join(trials))
    (folder / "session.yaml").write_text(SPEC)
    return truth


def convert(folder: Path) -> Path:
    """Convert what lies in a folder."""
    return nwbpipe.convert(folder / "session.yaml", folder / "session.nwb", progress=False)
