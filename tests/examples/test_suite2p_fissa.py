"""A suite2p result, against its npy files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.examples.checking import Converted, assert_blocks_equal, check_session, ragged, times_of

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


@pytest.fixture
def session(convert_example: Callable[[str], Converted]) -> Converted:
    return convert_example("suite2p_fissa")


@pytest.fixture
def plane(raw_store: Path) -> Path:
    return raw_store / "segmentation" / "suite2p_fissa" / "plane0"


def test_session(session: Converted) -> None:
    check_session(session)


@pytest.mark.parametrize(
    ("name", "file"),
    [("RoiResponseSeries_cells", "F"), ("Neuropil_cells", "Fneu"), ("Deconvolved_cells", "spks")],
)
def test_traces(session: Converted, plane: Path, name: str, file: str) -> None:
    expected = np.load(plane / f"{file}.npy").T  # (frames, ROIs)
    assert expected.shape == (864, 23)
    settings = np.load(plane / "ops.npy", allow_pickle=True).item()
    with session.open() as nwb:
        series = nwb[f"processing/ophys/Fluorescence/{name}"]
        assert_blocks_equal(series["data"], expected)
        np.testing.assert_allclose(times_of(series), np.arange(864) / settings["fs"], atol=1e-9, rtol=0)
        assert series["data"].attrs["conversion"] == 1


def test_rois(session: Converted, plane: Path) -> None:
    stat = np.load(plane / "stat.npy", allow_pickle=True)
    cells = np.load(plane / "iscell.npy")
    with session.open() as nwb:
        table = nwb["processing/ophys/ImageSegmentation/PlaneSegmentation_cells"]
        assert len(table["id"]) == len(stat) == 23
        for row, roi in enumerate(stat):
            pixels = ragged(table, "pixel_mask", row)
            # NWB's x is along the columns of the frame: suite2p's xpix.
            np.testing.assert_array_equal(pixels["x"], roi["xpix"])
            np.testing.assert_array_equal(pixels["y"], roi["ypix"])
            np.testing.assert_array_equal(pixels["weight"], roi["lam"])
        np.testing.assert_array_equal(table["iscell"][()], cells[:, 0])
        region = nwb["processing/ophys/Fluorescence/RoiResponseSeries_cells/rois"][()]
        assert region.tolist() == list(range(23))


def test_images_and_masks_share_their_axes(session: Converted, plane: Path) -> None:
    settings = np.load(plane / "ops.npy", allow_pickle=True).item()
    height, width = settings["Ly"], settings["Lx"]
    with session.open() as nwb:
        mean = nwb["processing/ophys/SegmentationImages/MeanImage_cells"][()]
        correlation = nwb["processing/ophys/SegmentationImages/CorrelationImage_cells"][()]
        pixels = nwb["processing/ophys/ImageSegmentation/PlaneSegmentation_cells/pixel_mask"][()]
    np.testing.assert_array_equal(mean, settings["meanImg"].T)  # (x, y)
    # suite2p computes the correlation within the part of the frame that motion did not move out of view.
    (x0, x1), (y0, y1) = settings["xrange"], settings["yrange"]
    assert correlation.shape == (width, height)
    np.testing.assert_array_equal(correlation[x0:x1, y0:y1], settings["Vcorr"].T)
    # ROIs lie where the mean image is brighter than it is where they would lie if x and y were swapped.
    inside = (pixels["y"] < width) & (pixels["x"] < height)
    right = mean[pixels["x"], pixels["y"]][inside].mean()
    assert right > mean[pixels["y"][inside], pixels["x"][inside]].mean()
