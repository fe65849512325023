"""A suite2p folder of a lab, loaded as the result of a step beside its movie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pynwb import NWBHDF5IO, validate

import nwbpipe
from nwbpipe.errors import InputError
from nwbpipe.review import measure_quality, verdicts
from tests.processors.imaging.session import write_session

pytestmark = [pytest.mark.real_data, pytest.mark.slow]
FRAMES, NX, NY = 864, 156, 176


@pytest.fixture
def plane(raw_store: Path) -> Path:
    return raw_store / "segmentation" / "suite2p_fissa" / "plane0"


def test_a_lab_s_folder_is_loaded(plane: Path, tmp_path: Path) -> None:
    """The movie itself is not to be had: a blank one of its size stands in for it."""
    movie = np.zeros((FRAMES, NX, NY), np.uint8)
    path = write_session(tmp_path / "session.nwb", movie, rate=10.0)
    run = nwbpipe.load(path, "suite2p", plane.parent, step="lab")
    assert validate(path=str(path)) == []
    settings = np.load(plane / "ops.npy", allow_pickle=True).item()  # known to be what it says
    stat = np.load(plane / "stat.npy", allow_pickle=True)
    with NWBHDF5IO(path, "r") as io:
        ophys = io.read().processing["ophys"]
        traces = ophys["Fluorescence_lab"]
        raw, neuropil = np.load(plane / "F.npy").T, np.load(plane / "Fneu.npy").T
        np.testing.assert_array_equal(traces["RoiResponseSeries"].data[:], raw)
        np.testing.assert_allclose(traces["NeuropilCorrected"].data[:], raw - 0.7 * neuropil, rtol=1e-4, atol=1e-3)
        np.testing.assert_array_equal(ophys["Deconvolved_lab"]["Deconvolved"].data[:], np.load(plane / "spks.npy").T)
        table = ophys["ImageSegmentation_lab"]["PlaneSegmentation_lab"]
        for row, roi in enumerate(stat):
            pixels = table["pixel_mask"][row]
            np.testing.assert_array_equal([x for x, _, _ in pixels], roi["xpix"])
            np.testing.assert_array_equal([y for _, y, _ in pixels], roi["ypix"])
        np.testing.assert_array_equal(table["iscell"].data[:], np.load(plane / "iscell.npy")[:, 0])
        np.testing.assert_allclose(ophys["SummaryImages_lab"]["mean"].data[:], settings["meanImg"].T, rtol=1e-6)
        shifts = ophys["MotionCorrectionShifts_lab"].data[:]
        np.testing.assert_array_equal(shifts, np.stack([settings["xoff"], settings["yoff"]], axis=1))
        blocks = ophys["MotionCorrectionBlocks_lab"]
        assert ophys["MotionCorrectionBlockShifts_lab"].data.shape == (FRAMES, len(blocks), 2)
        assert blocks["x_stop"].data[:].max() == NX
    assert run.record.parameters["tau"] == 0.7
    assert len(run.record.sources) == 6
    # Its quality is measured like that of a run of ours.
    measure_quality(path, "lab")
    assert sum(one.of == "roi" for one in verdicts(path)) == 23


def test_a_movie_of_another_size_is_refused(plane: Path, tmp_path: Path) -> None:
    path = write_session(tmp_path / "session.nwb", np.zeros((FRAMES, NY, NX), np.uint8), rate=10.0)
    with pytest.raises(InputError, match="another movie"):
        nwbpipe.load(path, "suite2p", plane)
