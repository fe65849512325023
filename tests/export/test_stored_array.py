"""Windows of a large series in the file: read one after the other, they are what numpy would take."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe.export import StoredArray
from nwbpipe.export._read_series import list_series
from nwbpipe.files import ThreadedDataset
from nwbpipe.session import SessionFile
from tests.export.sessions import write_arrays_session

VALUES = np.random.default_rng(0).normal(size=(6000, 4, 30)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A session with a result of 2.9 MB, in chunks that are decoded in threads."""
    from pynwb import TimeSeries

    path = write_arrays_session(tmp_path / "session.nwb")
    with nwbpipe.transaction(path) as nwbfile:
        nwbfile.add_acquisition(TimeSeries(name="large", description="d", data=VALUES, unit="s", rate=10.0))
    return path


@pytest.fixture
def stored(path: Path) -> StoredArray:
    session = SessionFile.at(path)
    series = session.read(lambda reader: list_series(reader).series["large"])
    return StoredArray(session, series, 0, len(VALUES))


@pytest.mark.parametrize("length", [1, 700, 2000])
@pytest.mark.parametrize(
    "columns", [(), (slice(1, 3),), (slice(None), 7), (-1, slice(3, 9)), ([0, 2],), (slice(None), slice(0, 9, 2))]
)
def test_windows_one_after_the_other(stored: StoredArray, length: int, columns: tuple[Any, ...]) -> None:
    count = 40 if length == 1 else len(VALUES)
    for start in range(0, count, length):
        window = (slice(start, start + length), *columns)
        np.testing.assert_array_equal(stored[window], VALUES[window])


@pytest.mark.parametrize("columns", [(), (2,), (slice(None), np.int64(3)), (-1, -1)])
def test_samples_one_after_the_other(stored: StoredArray, columns: tuple[Any, ...]) -> None:
    for number in range(40):
        value = stored[(number, *columns)]
        assert value.shape == VALUES[(number, *columns)].shape
        np.testing.assert_array_equal(value, VALUES[(number, *columns)])


def test_a_column_that_is_not_there(stored: StoredArray) -> None:
    for number in range(3):
        with pytest.raises(IndexError):
            stored[number : number + 1, 4]


def test_the_next_window_is_of_the_file_as_it_is_now(path: Path, stored: StoredArray) -> None:
    for start in (0, 700):
        np.testing.assert_array_equal(stored[start : start + 700], VALUES[start : start + 700])
    with h5py.File(path, "r+") as file:
        file["acquisition/large/data"][1400:2100] = 3.0
    assert (stored[1400:2100] == 3.0).all()


def test_it_goes_to_another_process_without_what_it_keeps(stored: StoredArray) -> None:
    for start in (0, 700):
        _ = stored[start : start + 700]
    copied = pickle.loads(pickle.dumps(stored))
    assert len(pickle.dumps(stored)) < 10_000
    np.testing.assert_array_equal(copied[1400:2100], VALUES[1400:2100])


def test_a_file_that_is_read_has_its_large_data_decoded_in_threads(path: Path) -> None:
    with nwbpipe.read(path) as nwbfile:
        data = nwbfile.acquisition["large"].data
        assert isinstance(data, ThreadedDataset)
        assert isinstance(data, h5py.Dataset)
        assert not isinstance(nwbfile.acquisition["wheel"].data, ThreadedDataset)
        np.testing.assert_array_equal(
            np.concatenate([data[start : start + 700] for start in range(0, 6000, 700)]), VALUES
        )
        np.testing.assert_array_equal(np.asarray(data), VALUES)


def test_dask_takes_it(path: Path) -> None:
    array = pytest.importorskip("dask.array")
    with nwbpipe.read(path) as nwbfile:
        lazy = array.from_array(nwbfile.acquisition["large"].data, chunks=(500, 4, 30))
        np.testing.assert_array_equal(lazy.max(axis=0).compute(), VALUES.max(axis=0))
        np.testing.assert_array_equal(lazy.compute(), VALUES)


@pytest.mark.parametrize("linked", [True, False])
def test_pynwb_exports_what_was_read(tmp_path: Path, linked: bool) -> None:
    from pynwb import NWBHDF5IO, TimeSeries

    path = write_arrays_session(tmp_path / "session.nwb")
    values, times = np.arange(200_000, dtype=np.float32), np.arange(200_000) / 30
    with nwbpipe.transaction(path) as nwbfile:
        nwbfile.add_acquisition(TimeSeries(name="first", description="d", data=values, unit="s", timestamps=times))
        nwbfile.add_acquisition(
            TimeSeries(name="second", description="d", data=values, unit="s", timestamps=nwbfile.acquisition["first"])
        )
    with nwbpipe.read(path) as nwbfile:
        assert isinstance(nwbfile.acquisition["first"].timestamps, ThreadedDataset)
        nwbfile.add_acquisition(TimeSeries(name="new", description="d", data=values[:3], unit="s", rate=1.0))
        with NWBHDF5IO(tmp_path / "exported.nwb", "w") as out:
            out.export(nwbfile.read_io, nwbfile, write_args={"link_data": linked})
    with h5py.File(tmp_path / "exported.nwb") as file:
        assert "new" in file["acquisition"]
        for name in ("first", "second"):
            np.testing.assert_array_equal(file[f"acquisition/{name}/data"], values)
            np.testing.assert_array_equal(file[f"acquisition/{name}/timestamps"], times)
            assert file[f"acquisition/{name}/timestamps"].dtype == np.float64


def test_a_file_with_two_objects_of_one_id_is_read(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.copy("acquisition/large", file["acquisition"], name="copy")
    with nwbpipe.read(path) as nwbfile:
        assert isinstance(nwbfile.acquisition["large"].data, ThreadedDataset)
        assert isinstance(nwbfile.acquisition["copy"].data, ThreadedDataset)
