"""The simulated calcium movie against its truth, each ingredient by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pynwb import NWBHDF5IO, validate
from scipy import ndimage

import nwbpipe
from nwbpipe.errors import ParameterError
from nwbpipe.simulate import TwoPhotonSettings, simulate_movie, simulate_two_photon
from nwbpipe.simulate._two_photon import GAIN, OFFSET, READ_NOISE, _Motion, _render

STILL = {"rigid": 0.0, "bleaching": 0.0, "neuropil": 0.0, "size": (64, 56), "cells": 3, "frames": 200, "seed": 3}


def photons(movie: np.ndarray) -> np.ndarray:
    return (movie - OFFSET) / GAIN


def test_cells_shine_with_their_traces():
    movie, second, truth = simulate_movie(TwoPhotonSettings(**{**STILL, "spike_rate": 1.0}))
    assert movie.shape == (200, 64, 56)
    assert second is None
    for k in range(3):
        inside = photons(movie)[:, truth.footprints[k] > 0.8].mean(axis=1)
        brightness = truth.footprints[k][truth.footprints[k] > 0.8].mean()
        assert np.corrcoef(inside, truth.traces[:, k])[0, 1] > 0.95
        slope = np.polyfit(truth.traces[:, k], inside, 1)[0]
        assert slope == pytest.approx(brightness, rel=0.1)
    decay = np.exp(-1 / (0.7 * 30))
    above = truth.traces - truth.traces[0]
    jumps = above[1:] - decay * above[:-1]
    np.testing.assert_array_equal(jumps > 0.1, truth.spikes[1:] > 0)


def test_light_is_photons():
    """Without motion and activity the variance of a pixel is that of its photons, and of the digitiser."""
    movie, _, _ = simulate_movie(TwoPhotonSettings(**{**STILL, "spike_rate": 0.0, "frames": 400}))
    mean, variance = photons(movie).mean(axis=0), movie.var(axis=0)
    expected = GAIN**2 * mean + READ_NOISE**2
    assert np.median(variance / expected) == pytest.approx(1, abs=0.03)


def test_motion_is_the_displacement_of_the_content():
    movie, _, truth = simulate_movie(TwoPhotonSettings(**{**STILL, "rigid": 4.0, "photons": 60.0}))
    assert 1 < np.abs(truth.shifts).max() <= 4
    back = [
        ndimage.shift(frame.astype(float), -shift, order=1) for frame, shift in zip(movie, truth.shifts, strict=True)
    ]
    inner = (slice(None), slice(6, -6), slice(6, -6))
    assert np.array(back)[inner].std(axis=0).mean() < 0.6 * movie[inner].std(axis=0).mean()


@pytest.mark.parametrize("axis", [0, 1])
def test_blocks_move_beyond_the_frame(axis):
    """A scene that is a ramp says by its brightness how far each block has moved."""
    what = TwoPhotonSettings(size=(128, 128), frames=40, rigid=2.0, nonrigid=3.0)
    motion = _Motion.draw(np.random.default_rng(0), what)
    slope = 5.0
    ramp = (200 + slope * np.indices((128 + 24, 128 + 24))[axis]).astype(np.float32)
    movie = photons(_render(np.random.default_rng(1), what, motion, iter([ramp] * 40)))
    blocks = motion.compute_block_shifts()
    assert motion.blocks.tolist() == [[0, 64, 0, 64], [0, 64, 64, 128], [64, 128, 0, 64], [64, 128, 64, 128]]
    assert np.abs(blocks.mean(axis=1)).max() < 0.05  # what all share is the frame's own
    assert np.abs(blocks).max() > 0.3
    for k, (x0, x1, y0, y1) in enumerate(motion.blocks):
        still = ramp[12 + x0 : 12 + x1, 12 + y0 : 12 + y1].mean()
        moved = (still - movie[:, x0:x1, y0:y1].mean(axis=(1, 2))) / slope
        np.testing.assert_allclose(moved, motion.rigid[:, axis] + blocks[:, k, axis], atol=0.35)
        assert np.std(moved - motion.rigid[:, axis] - blocks[:, k, axis]) < 0.12


def test_bleaching_drops_and_dim_cells():
    what = {**STILL, "bleaching": 0.4, "dropped": 5, "cells": 8, "dim": 0.5, "spike_rate": 0.0, "size": (96, 96)}
    movie, _, truth = simulate_movie(TwoPhotonSettings(**what))
    light = photons(movie).mean(axis=(1, 2))
    assert light[-10:].mean() / light[:10].mean() == pytest.approx(0.6, abs=0.03)
    gaps = np.round(np.diff(truth.times) * 30).astype(int)
    assert (gaps - 1).sum() == 5
    assert 0 < truth.dim.sum() < 8
    active = simulate_movie(TwoPhotonSettings(**{**what, "spike_rate": 1.0}))[2]
    jump = (active.traces.max(axis=0) - active.traces[0]) / active.traces[0] / active.spikes.sum(axis=0)
    assert jump[active.dim].mean() < 0.5 * jump[~active.dim].mean()


def test_planes_channels_and_dendrites():
    what = TwoPhotonSettings(
        **{**STILL, "planes": 2, "red": 0.5, "dendrites": 1, "cells": 4, "frames": 30, "size": (96, 80)}
    )
    movie, second, truth = simulate_movie(what)
    assert movie.shape == second.shape == (30, 96, 80, 2)
    assert truth.plane.tolist() == [0] * 5 + [1] * 5
    assert truth.dendrite.tolist() == ([False] * 4 + [True]) * 2
    for k in np.flatnonzero(~truth.dendrite):
        bright = photons(second)[..., truth.plane[k]].mean(axis=0)[truth.masks[k]].mean()
        assert (bright > 10) == truth.red[k]
    x, y = np.nonzero(truth.masks[4])
    small, large = np.linalg.eigvalsh(np.cov(x, y))
    assert large > 8 * small


def test_one_photon_cells_have_a_halo_over_a_bright_background():
    two = simulate_movie(TwoPhotonSettings(**STILL))
    one = simulate_movie(TwoPhotonSettings(**STILL, kind="one_photon"))
    assert photons(one[0]).mean() > 2 * photons(two[0]).mean()
    far = [(f > 0.01).sum() for f in (two[2].footprints[0], one[2].footprints[0])]
    assert far[1] > 3 * far[0]


def test_the_seed_is_the_movie():
    movies = [simulate_movie(TwoPhotonSettings(**{**STILL, "frames": 10, "seed": seed}))[0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(movies[0], movies[1])
    assert (movies[0] != movies[2]).any()
    with pytest.raises(ParameterError, match="don't fit"):
        simulate_movie(TwoPhotonSettings(**{**STILL, "cells": 500}))


def test_the_truth_is_in_the_file(tmp_path: Path):
    path = tmp_path / "a.nwb"
    changes = {**STILL, "planes": 2, "red": 0.5, "nonrigid": 1.0, "dropped": 1, "frames": 30, "kind": "one_photon"}
    truth = simulate_two_photon(path, **changes)
    assert validate(path=str(path)) == []
    with NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        assert type(nwbfile.acquisition["SecondChannel"]).__name__ == "OnePhotonSeries"
        ophys = nwbfile.processing["ophys"]
        table = ophys["ImageSegmentation_truth"]["PlaneSegmentation_truth"]
        assert table["plane"].data[:].tolist() == truth.plane.tolist()
        for k in range(len(table)):
            x, y = np.nonzero(truth.masks[k])
            assert [(px, py) for px, py, _ in table["pixel_mask"][k]] == list(zip(x, y, strict=True))
        np.testing.assert_array_equal(ophys["Deconvolved_truth"]["Deconvolved"].data[:], truth.spikes)
        shifts = ophys["MotionCorrectionShifts_truth"].data[:]
        np.testing.assert_allclose(shifts, np.stack([truth.shifts] * 2, axis=1), atol=1e-6)
        np.testing.assert_allclose(
            ophys["MotionCorrectionBlockShifts_truth"].data[:, 1], truth.block_shifts, atol=1e-6
        )
    (record,) = nwbpipe.read_records(path)
    assert (record.step, record.processor) == ("truth", "simulation")
    assert record.parameters["nonrigid"] == 1.0
