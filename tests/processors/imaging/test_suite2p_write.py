import h5py
import numpy as np
import pytest
from nwbinspector import Importance, inspect_nwbfile
from pynwb import NWBHDF5IO, validate

from nwbpipe.processors import Context, Results
from nwbpipe.processors.imaging import Suite2p
from tests.processors.imaging.session import bound_movie, results_of_two_rois, write_session

FRAMES, SIZE = 40, (24, 18)


def write(path, arrays, summary, step="fast", **params):
    processor = Suite2p()
    with NWBHDF5IO(path, "a") as io:
        nwbfile = io.read()
        context = Context(step, processor.Params(**params), bound_movie(nwbfile))
        processor.write(nwbfile, Results(arrays, summary), context)
        io.write(nwbfile)


def movie():
    return np.random.default_rng(1).integers(0, 500, (FRAMES, *SIZE)).astype(np.int16)


@pytest.fixture
def written(tmp_path):
    path = write_session(tmp_path / "session.nwb", movie(), rate=10.0, starting_time=1.25)
    arrays, summary = results_of_two_rois(tmp_path / "results.h5", FRAMES, SIZE)
    write(path, arrays, summary, neuropil_coefficient=0.5)
    yield path, arrays
    arrays.close()


def test_every_container_is_named_after_the_step(written):
    with h5py.File(written[0]) as file:
        assert set(file["processing/ophys"]) == {
            "MotionCorrectionShifts_fast",
            "MotionCorrectionQuality_fast",
            "MotionCorrectionBlocks_fast",
            "MotionCorrectionBlockShifts_fast",
            "SummaryImages_fast",
            "ImageSegmentation_fast",
            "Fluorescence_fast",
            "Deconvolved_fast",
        }


def test_the_file_is_valid_and_clean(written):
    path, _ = written
    assert validate(path=str(path)) == []
    found = list(inspect_nwbfile(nwbfile_path=path, importance_threshold=Importance.BEST_PRACTICE_VIOLATION))
    assert [message for message in found if "/processing" in str(message.location)] == []
    assert [message.message for message in found] == []


def test_masks_keep_x_and_y(written):
    path, arrays = written
    with NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        table = nwbfile.processing["ophys"]["ImageSegmentation_fast"]["PlaneSegmentation_fast"]
        first, second = table["pixel_mask"][0], table["pixel_mask"][1]
        assert [tuple(pixel) for pixel in first] == [(20, 2, 1.0), (21, 2, 2.0), (22, 3, 3.0)]
        assert [tuple(pixel) for pixel in second] == [(4, 15, 4.0), (5, 16, 5.0)]
        assert table["iscell"].data[:].tolist() == [True, False]
        assert table["iscell_probability"].data[:] == pytest.approx([0.9, 0.2])
        assert table["center"].data[:].tolist() == [[21, 2], [4, 15]]
        assert table["npix"].data[:].tolist() == [3, 2]
        assert table.imaging_plane is nwbfile.imaging_planes["ImagingPlane"]
        assert table.reference_images[0] is nwbfile.acquisition["TwoPhotonSeries"]
        images = nwbfile.processing["ophys"]["SummaryImages_fast"]
        assert images["mean"].data.shape == SIZE
        np.testing.assert_array_equal(images["mean"].data[:], arrays["images/mean"][:])


def test_traces_and_shifts_have_the_movies_times(written):
    path, arrays = written
    with NWBHDF5IO(path, "r") as io:
        ophys = io.read().processing["ophys"]
        traces = ophys["Fluorescence_fast"]
        corrected = arrays["traces/fluorescence"][:] - 0.5 * arrays["traces/neuropil"][:]
        np.testing.assert_array_equal(traces["RoiResponseSeries"].data[:], arrays["traces/fluorescence"][:])
        np.testing.assert_array_equal(traces["Neuropil"].data[:], arrays["traces/neuropil"][:])
        np.testing.assert_allclose(traces["NeuropilCorrected"].data[:], corrected, rtol=1e-6)
        deconvolved = ophys["Deconvolved_fast"]["Deconvolved"]
        np.testing.assert_array_equal(deconvolved.data[:], arrays["traces/deconvolved"][:])
        shifts = ophys["MotionCorrectionShifts_fast"]
        assert shifts.data[5].tolist() == [5, -5]
        assert shifts.unit == "pixels"
        assert ophys["MotionCorrectionQuality_fast"].data[:, 1].tolist() == [float(i == 3) for i in range(FRAMES)]
        assert ophys["MotionCorrectionBlocks_fast"]["x_stop"].data[:].tolist() == [16, 24]
        assert ophys["MotionCorrectionBlockShifts_fast"].data.shape == (FRAMES, 2, 2)
        for series in (*traces.roi_response_series.values(), deconvolved, shifts):
            assert (series.rate, series.starting_time) == (10.0, 1.25)
        for series in (*traces.roi_response_series.values(), deconvolved):
            assert series.rois.data[:].tolist() == [0, 1]
            assert series.rois.table.name == "PlaneSegmentation_fast"


def test_timestamps_are_linked_not_copied(tmp_path):
    times = np.arange(FRAMES) / 10 + 0.5
    path = write_session(tmp_path / "session.nwb", movie(), timestamps=times)
    arrays, summary = results_of_two_rois(tmp_path / "results.h5", FRAMES, SIZE)
    with arrays:
        write(path, arrays, summary)
    assert validate(path=str(path)) == []
    with h5py.File(path) as file:
        for name in (
            "Fluorescence_fast/RoiResponseSeries",
            "Deconvolved_fast/Deconvolved",
            "MotionCorrectionShifts_fast",
        ):
            link = file[f"processing/ophys/{name}"].get("timestamps", getlink=True)
            assert isinstance(link, h5py.SoftLink)
            np.testing.assert_array_equal(file[f"processing/ophys/{name}/timestamps"][:], times)


def test_two_steps_stand_side_by_side(written, tmp_path):
    path, arrays = written
    write(
        path,
        arrays,
        {"rois": 2, "bad_frames": 1, "intensity_scale": 1.0, "valid_x": [0, 24], "valid_y": [0, 18]},
        step="slow",
    )
    assert validate(path=str(path)) == []
    with h5py.File(path) as file:
        assert {"PlaneSegmentation_slow"} == set(file["processing/ophys/ImageSegmentation_slow"])
        assert "Fluorescence_fast" in file["processing/ophys"]


def test_an_empty_result_is_written_without_cells(tmp_path):
    path = write_session(tmp_path / "session.nwb", movie(), rate=10.0)
    arrays, summary = results_of_two_rois(tmp_path / "results.h5", FRAMES, SIZE)
    with arrays:
        write(path, arrays, {**summary, "rois": 0})
    assert validate(path=str(path)) == []
    with h5py.File(path) as file:
        names = set(file["processing/ophys"])
        assert "MotionCorrectionShifts_fast" in names
        assert "SummaryImages_fast" in names
        assert not {"ImageSegmentation_fast", "Fluorescence_fast", "Deconvolved_fast"} & names
