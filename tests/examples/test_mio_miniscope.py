"""A one-photon miniscope movie (mio), registered and searched for cells, and what is measured of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
from pynwb import validate

import nwbpipe
from nwbpipe.environments import ToolEnvironment
from tests.processors.imaging.session import write_session

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


def frames_of(path: Path) -> np.ndarray:
    """Frames (frames, x, y) of a video."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="gray").T for frame in container.decode(video=0)])


@pytest.fixture
def movies(raw_store: Path) -> dict[str, np.ndarray]:
    folder = raw_store / "imaging" / "mio_miniscope"
    names = {"whole": "stream_daq_test_output_200px.avi", "corrupted": "wireless_corrupted.avi"}
    return {name: frames_of(folder / file) for name, file in names.items()}


def test_what_is_measured_is_what_numpy_says(movies: dict[str, np.ndarray], tmp_path: Path) -> None:
    for name, movie in movies.items():
        path = write_session(tmp_path / f"{name}.nwb", movie, rate=20.0, kind="OnePhotonSeries")
        nwbpipe.process(path, "imaging_quality", inputs={"movie": "TwoPhotonSeries"})
        assert validate(path=str(path)) == []
        with h5py.File(path) as file:
            frames = file["processing/ophys/FrameQuality_imaging_quality/data"][()]
            scan = file["processing/ophys/ScanQuality_imaging_quality"]
            assert scan["saturation_share"][0] == (movie == 255).mean()
            slope, start = np.polyfit(np.arange(len(movie)) / 20, movie.mean(axis=(1, 2)), 1)
            assert scan["bleaching"][0] == pytest.approx(60 * slope / start)
        np.testing.assert_allclose(frames[:, 1], movie.mean(axis=(1, 2)), rtol=1e-5)
        np.testing.assert_array_equal(frames[:, 2], movie.max(axis=(1, 2)))


@pytest.mark.long
def test_suite2p_takes_it(
    movies: dict[str, np.ndarray], tmp_path: Path, tool: Callable[[str], ToolEnvironment]
) -> None:
    tool("suite2p")
    path = write_session(tmp_path / "whole.nwb", movies["whole"], rate=20.0, kind="OnePhotonSeries")
    params = {"tau": 1.0, "smooth_sigma": 3.0, "nonrigid": False, "nimg_init": 60}
    run = nwbpipe.process(path, "suite2p", params=params)
    assert validate(path=str(path)) == []
    with h5py.File(path) as file:
        shifts = file["processing/ophys/MotionCorrectionShifts_suite2p/data"][()]
        mean = file["processing/ophys/SummaryImages_suite2p/mean"][()]
    assert shifts.shape == (94, 2)
    undone = [
        np.roll(f, (-round(x), -round(y)), (0, 1)) for f, (x, y) in zip(movies["whole"], shifts.tolist(), strict=True)
    ]
    inner = (slice(25, -25), slice(25, -25))
    assert np.corrcoef(np.mean(undone, axis=0)[inner].ravel(), mean[inner].ravel())[0, 1] > 0.99
    assert any("MotionCorrectionShifts" in output.path for output in run.record.outputs)
