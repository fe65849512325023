"""EXTRACT's .mat files become results, of this version and of before 1.0."""

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO, validate

import nwbpipe
from nwbpipe.errors import InputError, SourceError
from tests.processors.imaging.session import write_session

FRAMES, NX, NY = 30, 20, 16


def text(value):
    return np.array([[ord(one)] for one in value], np.uint16)


def save(path, *, legacy=False, weights=None, traces=None, config=None):
    """As MATLAB's ``save -v7.3`` does: axes in the opposite order."""
    if weights is None:
        weights = np.zeros((2, NX, NY), "f4")
        weights[0, 15:18, 1:3] = 0.5
        weights[1, 2:5, 9:12] = 1.0
    if traces is None:
        traces = np.arange(2 * FRAMES, dtype="f4").reshape(2, FRAMES)
    with h5py.File(path, "w") as file:
        output = file.create_group("extractAnalysisOutput" if legacy else "output")
        output["filters" if legacy else "spatial_weights"] = weights
        output["traces" if legacy else "temporal_weights"] = traces.T if legacy else traces
        output["info/version"] = text("0.6.1" if legacy else "1.3.0")
        output["info/max_image"] = np.ones((NX, NY))
        output["file"] = text("/home/someone/movie.h5")
        for name, value in (config or {"avg_cell_radius": 17.0, "thresholds/eccent_thresh": np.inf}).items():
            output[f"config/{name}"] = np.array([[value]])
        output["config/cellfind_filter_type"] = text("butter")
        output["config/cellfind_filter_type"].attrs["MATLAB_class"] = np.bytes_("char")
    return path


@pytest.fixture
def session(tmp_path):
    movie = np.random.default_rng(0).integers(0, 100, (FRAMES, NX, NY)).astype(np.int16)
    return write_session(tmp_path / "session.nwb", movie, rate=10.0)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_saved_output_is_in_the_file_with_where_it_came_from(session, tmp_path, legacy):
    run = nwbpipe.load(session, "extract", save(tmp_path / "out.mat", legacy=legacy), step="extract_2014")
    record = run.record
    assert (record.tool, record.tool_version) == ("extract", "0.6.1" if legacy else "1.3.0")
    assert record.parameters == {
        "loaded": True,
        "avg_cell_radius": 17,
        "thresholds.eccent_thresh": "inf",
        "cellfind_filter_type": "butter",
    }
    assert "someone" not in str(record.as_dict())
    assert validate(path=str(session)) == []
    with NWBHDF5IO(session, "r") as io:
        ophys = io.read().processing["ophys"]
        table = ophys["ImageSegmentation_extract_2014"]["PlaneSegmentation_extract_2014"]
        assert {(int(x), int(y)) for x, y, _ in table["pixel_mask"][0]} == {
            (x, y) for x in range(15, 18) for y in range(1, 3)
        }
        found = ophys["DfOverF_extract_2014"]["DfOverF"].data[:]
        np.testing.assert_array_equal(found, np.arange(2 * FRAMES).reshape(2, FRAMES).T)
        assert ophys["SummaryImages_extract_2014"]["max_projection"].data.shape == (NX, NY)


def test_traces_that_were_not_divided_are_no_dff(session, tmp_path):
    nwbpipe.load(session, "extract", save(tmp_path / "out.mat", config={"preprocess": 0.0}))
    with h5py.File(session) as file:
        assert list(file["processing/ophys/Fluorescence_extract"]) == ["Demixed"]
        assert "DfOverF_extract" not in file["processing/ophys"]


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"weights": np.zeros((2, NY, NX), "f4")}, InputError, "another movie"),
        ({"traces": np.zeros((2, FRAMES - 1), "f4")}, InputError, "another movie"),
        ({"traces": np.zeros((3, FRAMES), "f4")}, InputError, "another movie"),
        ({"traces": np.full((2, FRAMES), np.inf)}, SourceError, "NaN or infinite"),
    ],
)
def test_a_bad_file_is_refused_and_the_session_left_alone(session, tmp_path, more, error, message):
    saved = save(tmp_path / "out.mat", **more)
    before = session.read_bytes()
    with pytest.raises(error, match=message):
        nwbpipe.load(session, "extract", saved)
    assert session.read_bytes() == before


def test_what_is_no_output_of_extract_is_refused(session, tmp_path):
    (tmp_path / "old.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(SourceError, match=r"(?s)not an output of EXTRACT.*-v7\.3"):
        nwbpipe.load(session, "extract", tmp_path / "old.mat")
