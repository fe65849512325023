"""What CaImAn saved becomes a result. The files here are written as ``CNMF.save`` of version 1.12 writes them."""

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO, validate

import nwbpipe
from nwbpipe.errors import InputError, SourceError
from nwbpipe.processors.imaging.caiman._load import _is_swapped
from tests.processors.imaging.session import write_session
from tests.processors.imaging.test_caiman import FRAMES, NX, NY, model, movie


def rows_and_columns(columns, values):
    """The same model as CaImAn has it of an image file: its first axis is our y."""
    x, y = columns[0] % NX, columns[0] // NX
    background = values["b"].reshape(NY, NX).T.reshape(-1, 1)  # Fortran order over (y, x)
    return (y + x * NY, columns[1], columns[2]), {**values, "b": background}


def save(path, dims, columns, values, **more):
    with h5py.File(path, "w") as file:
        file["dims"] = np.array(dims)
        matrix = file.create_group("estimates/A")
        matrix["indices"], matrix["indptr"], matrix["data"] = columns
        matrix["shape"] = np.array([NX * NY, 2])
        for name, value in {**values, "idx_components": np.array([1]), "r_values": np.array([0.2, 0.9])}.items():
            file[f"estimates/{name}"] = value
        file["estimates/cnn_preds"] = "NoneType"
        file["params/data/decay_time"] = 0.7
        file["params/data/fnames"] = np.array([b"/home/someone/movie.tif"])
        file["params/data"].attrs["caiman_version"] = "1.12.1"
        file["params/patch/rf"] = "NoneType"
        file.create_group("params/init").attrs["method_init"] = "greedy_roi"
        for name, value in more.items():
            del file[f"estimates/{name}"]
            file[f"estimates/{name}"] = value
    return path


@pytest.fixture
def session(tmp_path):
    return write_session(tmp_path / "session.nwb", movie(), rate=10.0)


@pytest.mark.parametrize("swapped", [True, False])
def test_a_saved_result_is_in_the_file_with_where_it_came_from(session, tmp_path, swapped):
    footprints, columns, values, scene = model()
    if swapped:
        saved = save(tmp_path / "cnmf.hdf5", (NY, NX), *rows_and_columns(columns, values))
    else:
        saved = save(tmp_path / "cnmf.hdf5", (NX, NY), columns, values)
    run = nwbpipe.load(session, "caiman", saved, step="caiman_2021")
    record = run.record
    assert (record.tool, record.tool_version) == ("caiman", "1.12.1")
    assert record.parameters["loaded"] is True
    assert record.parameters["data"] == {"decay_time": 0.7}
    assert record.parameters["patch"] == {"rf": None}
    assert record.parameters["init"] == {"method_init": "greedy_roi"}
    assert "someone" not in str(record.as_dict())
    assert [one["path"] for one in record.sources] == ["cnmf.hdf5"]
    assert validate(path=str(session)) == []
    weights = footprints / footprints.sum(axis=(1, 2), keepdims=True)
    with NWBHDF5IO(session, "r") as io:
        ophys = io.read().processing["ophys"]
        table = ophys["ImageSegmentation_caiman_2021"]["PlaneSegmentation_caiman_2021"]
        for number in range(2):
            mask = np.zeros((NX, NY))
            for x, y, weight in table["pixel_mask"][number]:
                mask[int(x), int(y)] = weight
            np.testing.assert_allclose(mask, footprints[number], rtol=1e-6)
        assert table["iscell"].data[:].tolist() == [False, True]
        assert table["r_value"].data[:].tolist() == pytest.approx([0.2, 0.9])
        raw = ophys["Fluorescence_caiman_2021"]["RoiResponseSeries"].data[:]
        np.testing.assert_allclose(raw, np.tensordot(scene, weights, ([1, 2], [1, 2])), rtol=1e-5)
    assert not nwbpipe.load(session, "caiman", saved, step="caiman_2021").computed


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"C": np.zeros((2, FRAMES + 1))}, InputError, "another movie"),
        ({"C": np.full((2, FRAMES), np.nan)}, SourceError, "NaN"),
        ({"A/indices": np.zeros(24, int) + NX * NY}, SourceError, "contradict"),
        ({"A/indptr": np.array([0, 5, 4])}, SourceError, "contradict"),
        ({"A/shape": "none"}, SourceError, "contradict"),
        ({"A/shape": np.array([NX * NY + 4, 2])}, InputError, "another movie"),
    ],
)
def test_a_bad_file_is_refused_and_the_session_left_alone(session, tmp_path, more, error, message):
    _, columns, values, _ = model()
    saved = save(tmp_path / "cnmf.hdf5", (NX, NY), columns, values, **more)
    before = session.read_bytes()
    with pytest.raises(error, match=message):
        nwbpipe.load(session, "caiman", saved)
    assert session.read_bytes() == before


def test_a_result_of_another_size_is_refused(session, tmp_path):
    _, columns, values, _ = model()
    saved = save(tmp_path / "cnmf.hdf5", (NX * 2, NY // 2), columns, values)
    with pytest.raises(InputError, match=r"(?s)24 x 18 pixels.*48 x 9"):
        nwbpipe.load(session, "caiman", saved)


@pytest.mark.parametrize("content", [b"no hdf5", None])
def test_what_is_no_result_of_caiman_is_refused(session, tmp_path, content):
    path = tmp_path / "other.hdf5"
    if content is None:
        with h5py.File(path, "w") as file:
            file["estimates/C"] = 1
    else:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=r"not a saved result of CaImAn"):
        nwbpipe.load(session, "caiman", path)


@pytest.mark.parametrize(("name", "swapped"), [("movie.tif", True), ("session.nwb", False)])
def test_of_a_square_frame_the_file_that_caiman_read_tells_the_axes(tmp_path, name, swapped):
    with h5py.File(tmp_path / "cnmf.hdf5", "w") as file:
        file["params/data/fnames"] = np.array([name.encode()])
        assert _is_swapped(np.array([20, 20]), file, (20, 20), tmp_path) is swapped
