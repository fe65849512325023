"""A two-photon movie, against tifffile; suite2p on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

import nwbpipe
from nwbpipe.environments import ToolEnvironment
from tests.examples.checking import Converted, assert_blocks_equal, check_session, times_of

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


@pytest.fixture
def session(convert_example: Callable[[str], Converted]) -> Converted:
    return convert_example("two_photon")


@pytest.fixture
def movie(raw_store: Path) -> np.ndarray:
    with tifffile.TiffFile(raw_store / "imaging" / "sima" / "example.tif") as file:
        return np.stack([page.asarray() for page in file.pages])  # (frames, height, width)


def test_session(session: Converted) -> None:
    check_session(session)


def test_movie(session: Converted, movie: np.ndarray) -> None:
    with session.open() as file:
        series = file["acquisition/TwoPhotonSeries_scope"]
        assert series["data"].dtype == movie.dtype
        assert_blocks_equal(series["data"], movie.transpose(0, 2, 1), size=5)  # NWB's order: frames, x, y
        np.testing.assert_allclose(times_of(series), np.arange(20) / 15.0, atol=1e-9, rtol=0)
        assert series["data"].attrs["conversion"] == 1
        assert series["data"].attrs["offset"] == 0


@pytest.mark.thorough
def test_suite2p(
    session: Converted,
    movie: np.ndarray,
    copy_of: Callable[[Converted], Path],
    tool: Callable[[str], ToolEnvironment],
) -> None:
    """20 frames hold no cells that suite2p finds; the shifts are judged by what they do to the movie."""
    tool("suite2p")
    path = copy_of(session)
    params = {"tau": 0.7, "batch_size": 20, "nonrigid": False}
    assert nwbpipe.process(path, "suite2p", params=params, threads=2).computed
    with h5py.File(path) as file:
        shifts = file["processing/ophys/MotionCorrectionShifts_suite2p"]
        mean = file["processing/ophys/SummaryImages_suite2p/mean"][()]
        moved = shifts["data"][()]
        np.testing.assert_array_equal(times_of(shifts), times_of(file["acquisition/TwoPhotonSeries_scope"]))
        assert_blocks_equal(file["acquisition/TwoPhotonSeries_scope/data"], movie.transpose(0, 2, 1), size=5)
    assert moved.shape == (20, 2)
    assert np.isfinite(moved).all()
    assert np.abs(moved).max() <= 0.1 * 128
    # Undone by numpy, (x, y) shifts give the mean image that suite2p left, and a sharper one than the raw mean.
    undone = [np.roll(f.T, (-round(x), -round(y)), (0, 1)) for f, (x, y) in zip(movie, moved.tolist(), strict=True)]
    inner = (slice(26, -26), slice(13, -13))
    mine = np.mean(undone, axis=0)[inner]
    assert np.corrcoef(mine.ravel(), mean[inner].ravel())[0, 1] > 0.99
    if np.abs(np.round(moved)).max() > 0:
        frames = np.array([frame[inner].ravel() for frame in undone])
        raw = np.array([frame.T[inner].ravel() for frame in movie])
        assert np.corrcoef(frames)[0].mean() >= np.corrcoef(raw)[0].mean()
    from pynwb import validate

    assert validate(path=str(path)) == []
    assert not nwbpipe.process(path, "suite2p", params=params).computed
