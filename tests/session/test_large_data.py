"""Large data are written in threads: what their source does meanwhile changes no value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hdmf.data_utils import GenericDataChunkIterator

from nwbpipe.provenance import WrittenValues
from nwbpipe.session import _large_data

VALUES = np.random.default_rng(0).integers(0, 900, (600, 64, 64)).astype(np.uint16)


class Source(GenericDataChunkIterator):  # type: ignore[misc]
    """Gives its values in a way of its own.

    Parameters
    ----------
    way : str
    folder : path
        For a file.
    """

    def __init__(self, way: str, folder: Path) -> None:
        self.way, self.given = way, [np.empty_like(VALUES), np.empty_like(VALUES)]
        np.save(folder / "values.npy", VALUES)
        self.memory_map = np.load(folder / "values.npy", mmap_mode="r")
        super().__init__(buffer_shape=(60, 64, 64), chunk_shape=(20, 64, 64))

    def _get_data(self, selection: tuple[slice, ...]) -> np.ndarray:
        values = VALUES[selection]
        if self.way == "memory map":
            return np.asarray(self.memory_map[selection])
        if self.way == "fresh":
            return values.copy()
        if self.way == "the same array":
            if len(self.given[0]) != len(values):
                self.given[0] = np.empty_like(values)
            self.given[0][...] = values
            return self.given[0]
        buffer = self.given[0][: len(values)]
        if self.way == "two buffers":
            self.given.reverse()
        buffer[...] = values
        return buffer

    def _get_maxshape(self) -> tuple[int, ...]:
        return VALUES.shape

    def _get_dtype(self) -> np.dtype[Any]:
        return VALUES.dtype


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("nwbpipe.files._chunks._BLOCK_BYTES", 60 * 64 * 64 * 2)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        yield file.create_dataset("x", VALUES.shape, VALUES.dtype, chunks=(20, 64, 64), compression="gzip")


@pytest.mark.parametrize("way", ["one buffer", "two buffers", "the same array", "memory map", "fresh"])
def test_a_source_may_fill_its_buffer_again(dataset: h5py.Dataset, tmp_path: Path, way: str) -> None:
    digest = _large_data._fill(dataset, Source(way, tmp_path), 2**28, None)
    np.testing.assert_array_equal(dataset, VALUES)
    expected = WrittenValues(VALUES.shape, VALUES.dtype)
    expected.add(tuple(slice(0, size) for size in VALUES.shape), VALUES)
    assert digest == expected.digest()


@pytest.mark.parametrize(("way", "copied"), [("one buffer", True), ("memory map", False), ("fresh", False)])
def test_only_buffers_are_copied(tmp_path: Path, way: str, copied: bool) -> None:
    source = Source(way, tmp_path)
    original = source._get_data
    places = []

    def note_place(selection: tuple[slice, ...]) -> np.ndarray:
        values = original(selection)
        places.append(values.ctypes.data)
        return values

    source._get_data = note_place
    values = _large_data._read_own(source, (slice(0, 60), slice(0, 64), slice(0, 64)))
    assert (values.ctypes.data != places[0]) == copied
