"""The writer that imaging methods share: volumes, dF/F, motion of blocks (suite2p's use has its own test)."""

import numpy as np
import pytest
from nwbinspector import Importance, inspect_nwbfile
from pynwb import NWBHDF5IO, validate

from nwbpipe.processors import Context
from nwbpipe.processors.imaging import Suite2pParams
from nwbpipe.processors.imaging import _segmentation_write as writing
from tests.processors.imaging.session import write_session

FRAMES, SIZE, PLANES = 30, (24, 18), 3


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(0)
    movie = rng.integers(0, 500, (FRAMES, *SIZE, PLANES)).astype(np.int16)
    path = write_session(tmp_path / "volume.nwb", movie, timestamps=1.5 + np.cumsum(rng.uniform(0.13, 0.15, FRAMES)))
    made = {
        "shifts": rng.normal(size=(FRAMES, PLANES, 2)).astype("f4"),
        "block_shifts": rng.normal(size=(FRAMES, PLANES, 2, 2)).astype("f4"),
        "correlation": rng.random((FRAMES, PLANES)),
        "mean": rng.random((*SIZE, PLANES), dtype="f4"),
        "traces": rng.random((FRAMES, 2), dtype="f4"),
    }
    with NWBHDF5IO(path, "a") as io:
        nwbfile = io.read()
        context = Context("volume", Suite2pParams(), {})
        module = context.module(nwbfile, "ophys")
        series = nwbfile.acquisition["TwoPhotonSeries"]
        motion = writing.Motion(
            made["shifts"],
            {"correlation": ("with the reference", made["correlation"])},
            np.array([[0, 16, 0, 18], [8, 24, 0, 18]]),
            made["block_shifts"],
        )
        writing.write_motion(module, context, series, motion)
        writing.write_images(module, context, {"mean": ("Mean of the movie.", made["mean"])})
        rois = writing.Rois(
            index=np.array([2, 3]),
            x=np.array([20, 21, 3]),
            y=np.array([1, 2, 15]),
            weight=np.array([0.5, 1, 2]),
            plane=np.array([2, 0]),
            columns={"iscell": ("Whether it is a cell.", np.array([True, False]))},
        )
        table = writing.write_segmentation(module, context, series, rois, "ROIs of a volume.")
        writing.write_traces(
            module,
            context,
            series,
            table,
            fluorescence=[writing.Traces("RoiResponseSeries", made["traces"], "Raw.")],
            dff=[writing.Traces("DfOverF", made["traces"] - 1, "dF/F, by a method.", "n.a.")],
        )
        io.write(nwbfile)
    return path, made


def test_a_volume_is_valid_and_clean(written):
    path, _ = written
    assert validate(path=str(path)) == []
    found = inspect_nwbfile(nwbfile_path=path, importance_threshold=Importance.BEST_PRACTICE_VIOLATION)
    assert [one.message for one in found if "/processing" in str(one.location)] == []


def test_planes_are_kept(written):
    path, made = written
    with NWBHDF5IO(path, "r") as io:
        ophys = io.read().processing["ophys"]
        np.testing.assert_array_equal(ophys["MotionCorrectionShifts_volume"].data[:], made["shifts"])
        np.testing.assert_array_equal(ophys["MotionCorrectionBlockShifts_volume"].data[:], made["block_shifts"])
        quality = ophys["MotionCorrectionQuality_volume"].data[:]
        np.testing.assert_allclose(quality, made["correlation"][..., None], rtol=1e-6)
        for plane in range(PLANES):
            image = ophys["SummaryImages_volume"][f"mean_plane{plane}"].data[:]
            np.testing.assert_array_equal(image, made["mean"][..., plane])
        table = ophys["ImageSegmentation_volume"]["PlaneSegmentation_volume"]
        assert table["plane"].data[:].tolist() == [2, 0]
        assert [tuple(pixel) for pixel in table["pixel_mask"][0]] == [(20, 1, 0.5), (21, 2, 1.0)]


def test_traces_have_the_movies_timestamps_and_all_rois(written):
    path, made = written
    with NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        ophys = nwbfile.processing["ophys"]
        movie = nwbfile.acquisition["TwoPhotonSeries"]
        for container, name, values in (
            ("Fluorescence_volume", "RoiResponseSeries", made["traces"]),
            ("DfOverF_volume", "DfOverF", made["traces"] - 1),
        ):
            series = ophys[container][name]
            np.testing.assert_array_equal(series.data[:], values)
            np.testing.assert_array_equal(series.timestamps[:], movie.timestamps[:])
            assert series.timestamp_link or series.timestamps is movie.timestamps
            assert series.rois.data[:].tolist() == [0, 1]
        assert "Deconvolved_volume" not in ophys.data_interfaces
