"""Simulate a small session with photometry only, for projects of several sessions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from nwbpipe.simulate._photometry import RIG_RATE, PhotometryTruth, simulate_photometry, write_rig
from nwbpipe.simulate._truth import load_truth, save_truth

_SPEC = """\
# A simulated session (nwbpipe.simulate). Its truth is in truth/, which no source reads.
nwbpipe: 1
subject: {{subject_id: {subject}, species: Mus musculus, sex: {sex}, age: P90D, description: A simulated mouse.}}
session:
  session_id: {session}
  session_start_time: 2024-05-01T10:00:00-04:00
  session_description: Simulated fiber photometry with known truth.
  experimenter: ["Doe, Jane"]
  lab: Simulated lab
  institution: Simulated institution
  experiment_description: Raw data written by nwbpipe.simulate to test a project.
  keywords: [simulation, fiber photometry]
sources:
  rig:
    interface: MatlabFiberPhotometryInterface
    args: {{file_path: photometry.mat, settings_file_path: photometry.toml, unit: volts}}
"""
_TRUTH = "truth/photometry.npz"


def simulate_photometry_session(
    folder: Path | str, *, seed: int = 0, duration_s: float = 60.0, session_id: str = "photometry"
) -> PhotometryTruth:
    """Write a session with photometry only, and return its truth; an existing session is left as it is.

    The session has two fibers with two carriers on one detector each (``photometry.mat`` and ``.toml``), and a
    ``session.yaml``, which is written last: it marks the complete session.

    Parameters
    ----------
    folder : path
        Created if it is missing.
    seed : int, default 0
        Seed of all randomness; the subject's name has it.
    duration_s : float
        Length in seconds.
    session_id : str
        Name of the session.

    Returns
    -------
    PhotometryTruth
    """
    folder = Path(folder)
    spec = folder / "session.yaml"
    if not spec.exists():
        rng = np.random.default_rng(seed)
        truth = simulate_photometry(rng, duration_s, RIG_RATE, motion=0.02)
        write_rig(folder / "photometry.mat", folder / "photometry.toml", rng, truth)
        save_truth(folder / _TRUTH, truth)
        part = folder / "session.yaml.partial"
        text = _SPEC.format(subject=f"sim{seed:03d}", session=session_id, sex="FM"[seed % 2])
        part.write_text(text, encoding="utf-8")
        os.replace(part, spec)  # noqa: PTH105
    return load_photometry_truth(folder)


def load_photometry_truth(folder: Path | str) -> PhotometryTruth:
    """Read the truth of a session that `simulate_photometry_session` wrote."""
    return load_truth(Path(folder) / _TRUTH, PhotometryTruth)
