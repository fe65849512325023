"""The scripts of examples/ draw what they say, of files whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.export.ml_sessions import load_example


def require_figure(path: Path) -> None:
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > 50, "the figure is blank"


def test_spikes_follow_the_choice(tmp_path: Path) -> None:
    file = load_example("decode_speed").simulate_session(tmp_path / "a.nwb", "M1", 1, seconds=60.0, units=10)
    aligned = load_example("draw_spikes").main(file, tmp_path / "spikes.png")
    require_figure(tmp_path / "spikes.png")
    is_left = aligned.choice.values == "left"
    counts = aligned["units"].sel(time=slice(0, 1)).mean("time")
    differences = (counts[is_left].mean("trial") - counts[~is_left].mean("trial")).values
    is_tuned = np.abs(aligned.unit_gain.values) > 0
    assert np.array_equal(np.sign(differences[is_tuned]), np.sign(aligned.unit_gain.values[is_tuned]))


def test_activity_of_rois_is_that_of_the_movie(tmp_path: Path) -> None:
    from nwbpipe.export import to_xarray
    from nwbpipe.simulate import simulate_two_photon

    file = tmp_path / "imaging.nwb"
    simulate_two_photon(file, frames=200, size=(96, 80), cells=6, dendrites=2, seed=1)
    activity = load_example("draw_imaging").main(file, tmp_path / "imaging.png")
    require_figure(tmp_path / "imaging.png")
    truth = to_xarray(file, series=["Fluorescence_truth.*"])
    (traces,) = (node["Fluorescence_truth.RoiResponseSeries"].values for node in truth.children.values())
    cells = [number for number in range(6) if traces[:, number].std() > 0]  # the dendrites lie over cells
    agreement = [np.corrcoef(traces[:, number], activity[number])[0, 1] for number in cells]
    assert len(agreement) >= 5
    assert min(agreement) > 0.7, agreement  # the neuropil is in the pixels, too


@pytest.mark.slow
def test_events_are_in_their_trials(page_folder: Path, tmp_path: Path) -> None:
    events = load_example("draw_behaviour").main(page_folder / "m042.nwb", tmp_path / "behaviour.png")
    require_figure(tmp_path / "behaviour.png")
    assert events[events["event_type"] == "cue"]["trial"].tolist() == [0, 1, 2]
    assert set(events[events["event_type"] == "reward"]["trial"]) == {0, 1}


@pytest.mark.long  # the tutorial runs the same steps
def test_photometry_rises_with_the_reward(page_folder: Path, tmp_path: Path) -> None:
    aligned = load_example("draw_photometry").main(page_folder / "m042.nwb", tmp_path / "photometry.png")
    require_figure(tmp_path / "photometry.png")
    assert aligned.sizes["trial"] == 2
    assert aligned["DfOverFIsosbestic_dff"].sel(time=0.0, method="nearest").mean() > 0.02
