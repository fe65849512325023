"""Run the demo: simulate, convert, process and score."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.converters import ConversionOptions, convert_session, draw_alignments
from nwbpipe.demo._read_results import RecoveredResults, read_recovered
from nwbpipe.demo._report import DemoReport, DemoScore, write_page
from nwbpipe.provenance import read_alignments
from nwbpipe.run import process
from nwbpipe.simulate import SimulatedSession, scores, simulate_session


def run_demo(folder: Path | str, *, seed: int = 0, say: Callable[[str], None] = print) -> DemoReport:
    """Simulate a session in `folder`, convert and process it, and compare the results with the truth.

    Parts that an earlier call finished are not done again.

    Parameters
    ----------
    folder : path
        Folder for ``raw/`` (the simulated recordings and their truth) and the session file.
    seed : int
        Seed of the session.
    say : callable
        Called with a line for each step.

    Returns
    -------
    DemoReport
    """
    began = time.monotonic()
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    session = _load_or_simulate(folder / f"raw-{seed}", seed, say)
    nwb = folder / f"sub-sim{seed:03d}_ses-demo.nwb"
    if not nwb.exists():
        say(f"converting {session.spec}")
        _, summary = convert_session(session.spec, nwb, ConversionOptions(), summarize=True)
        for line in summary.lines():
            say(f"  {line}")
    for processor, params in _choose_parameters(session).items():
        say(f"processing: {processor}")
        run = process(nwb, processor, params=params, inputs=_INPUTS.get(processor), seed=seed)
        record = run.record
        seconds = (record.ended - record.started).total_seconds()
        say(f"  {record.tool} {record.tool_version}: {f'{seconds:.0f} s' if run.computed else 'done already'}")
    recovered = read_recovered(nwb)
    figure = _draw_figure(folder / "demo.png", session, recovered)
    _draw_clock_figure(folder / "clocks.png", nwb)
    page = write_page(nwb)
    return DemoReport(tuple(score(session, recovered)), nwb, figure, page, time.monotonic() - began)


def _load_or_simulate(folder: Path, seed: int, say: Callable[[str], None]) -> SimulatedSession:
    if (folder / "truth" / "truth.json").is_file():
        return SimulatedSession.open(folder)
    say(f"simulating a session in {folder}")
    return simulate_session(folder, seed=seed, size="demo")


def _choose_parameters(session: SimulatedSession) -> dict[str, dict[str, Any]]:
    """Return the parameters that differ from the defaults, by processor."""
    face = session.face
    y0, y1, x0, x1 = map(int, face.pupil_roi)
    pupil = {"x": [x0, x1], "y": [y0, y1], "saturation": float(face.saturation)}
    return {
        "suite2p": {"tau": float(session.imaging.tau_s), "nimg_init": 100},
        "spikesorting": {},
        "facemap_svd": {"pupils": [pupil], "n_components": 50},
        "demodulate": {},
        "photometry_dff": {},
    }


# For inputs that several objects of the file match.
_INPUTS = {
    "demodulate": {"signal": "acquisition/FiberPhotometryResponseSeries_photometry"},
    "photometry_dff": {"signal": "ophys/DemodulatedLockIn_demodulate"},
}


def score(session: SimulatedSession, recovered: RecoveredResults) -> list[DemoScore]:
    """Score the recovered results against the truth, with the limits that the project promises."""
    imaging, behavior = session.imaging, session.behavior
    offset = scores.reference_offset(imaging.shifts, recovered.shifts)
    match = scores.match_masks(imaging.masks, recovered.masks, offset=offset)
    true_rows, found_rows = match.pairs.T
    correlation = scores.trace_correlation(imaging.traces[true_rows], recovered.traces[found_rows])
    accuracy = scores.unit_accuracy(session.ephys.spike_times, recovered.spike_times)
    good = accuracy >= 0.8
    photometry = session.photometry
    dff = [
        scores.dff_correlation(np.interp(recovered.dff_times, photometry.times, true), estimate)
        for true, estimate in zip(photometry.dff, recovered.dff.T, strict=True)
    ]
    pupil = scores.pupil_correlation(session.face.pupil_area, recovered.pupil_area)
    clocks = {
        "scope": scores.event_error_ms(imaging.frame_times, recovered.frame_times),
        "camera": scores.event_error_ms(session.face.frame_times, recovered.pupil_times),
        "trials": scores.event_error_ms(behavior.trial_start, recovered.trial_starts),
        "events": scores.event_error_ms(behavior.event_times, recovered.event_times),
        "photometry": scores.event_error_ms(photometry.times[::20], recovered.dff_times),
    }
    cells = f"{len(match.pairs)} of {len(imaging.masks)} cells, {len(recovered.masks)} found"
    return [
        DemoScore("two-photon", "cells, recall", match.recall, 0.9, note=cells),
        DemoScore("two-photon", "cells, precision", match.precision, 0.9),
        DemoScore(
            "two-photon", "trace correlation, median", float(np.median(correlation)) if len(correlation) else 0.0, 0.9
        ),
        DemoScore(
            "two-photon", "motion error", scores.shift_error(imaging.shifts, recovered.shifts), 0.5, True, "px"
        ),
        DemoScore(
            "probe",
            "units with accuracy ≥ 0.8",
            float(good.mean()),
            0.8,
            note=f"{good.sum()} of {len(accuracy)} units, {len(recovered.spike_times)} found",
        ),
        DemoScore(
            "probe",
            "drift, largest error",
            scores.drift_error(
                np.interp(recovered.drift_times, session.ephys.sync_times, session.ephys.drift_um), recovered.drift
            ),
            5.0,
            True,
            "µm",
        ),
        DemoScore(
            "photometry",
            "dF/F, correlation",
            min(dff),
            0.9,
            note=f"{len(dff)} fibers, {len(photometry.event_times)} events",
        ),
        DemoScore("face", "pupil area, correlation", pupil, 0.95, note=f"{len(recovered.pupil_area)} frames"),
        *(DemoScore(name, "times, largest error", error, 1.0, True, "ms") for name, error in clocks.items()),
    ]


def _draw_figure(path: Path, session: SimulatedSession, recovered: RecoveredResults) -> Path | None:
    try:
        from nwbpipe.demo._figure import draw
    except ImportError:  # the core does not depend on matplotlib
        return None
    return draw(path, session, recovered)


def _draw_clock_figure(path: Path, nwb: Path) -> None:
    with h5py.File(nwb, "r") as file:
        alignments = read_alignments(file)
    with contextlib.suppress(ImportError):
        draw_alignments(alignments).savefig(path, dpi=110)
