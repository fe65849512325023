"""Windows that follow each other: the values are h5py's, whatever is kept or decoded ahead."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nwbpipe.files import ThreadedDataset, WindowReader, _windows

SHAPE, CHUNKS = (200, 30, 20), (16, 16, 8)
VALUES = np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16)
COLUMNS = slice(0, 30), slice(0, 20)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[h5py.File]:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        options = {"chunks": CHUNKS, "shuffle": True}
        file.create_dataset("gzip", data=VALUES, compression="gzip", **options)
        file.create_dataset("plain", data=VALUES, chunks=CHUNKS)
        file.create_dataset("contiguous", data=VALUES)
        file.create_dataset("lzf", data=VALUES, compression="lzf", **options)
        sparse = file.create_dataset("sparse", SHAPE, "i2", fillvalue=7, compression="gzip", **options)
        sparse[40:50, :9] = VALUES[40:50, :9]
        file.create_dataset("one axis", data=VALUES[:, 0, 0], chunks=(13,), compression="gzip")
        yield file


def read_in_windows(
    reader: WindowReader, dataset: h5py.Dataset, length: int, columns: tuple[slice, ...]
) -> np.ndarray:
    parts = [
        reader.read(dataset, (slice(start, min(start + length, len(dataset))), *columns), 1)
        for start in range(0, len(dataset), length)
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("name", ["gzip", "plain", "contiguous", "lzf", "sparse", "one axis"])
@pytest.mark.parametrize("length", [1, 5, 16, 33, 150, 400])
def test_windows_one_after_the_other(file: h5py.File, name: str, length: int) -> None:
    columns = COLUMNS if file[name].ndim == 3 else ()
    values = read_in_windows(WindowReader(), file[name], length, columns)
    np.testing.assert_array_equal(values, file[name][()])
    assert values.dtype == file[name].dtype


def test_some_columns(file: h5py.File) -> None:
    columns = slice(3, 20), slice(7, 17)
    np.testing.assert_array_equal(read_in_windows(WindowReader(), file["gzip"], 10, columns), VALUES[:, *columns])


def test_windows_in_any_order(file: h5py.File) -> None:
    reader, rng, stop = WindowReader(), np.random.default_rng(1), 0
    for _ in range(200):
        start = stop if rng.random() < 0.6 else int(rng.integers(0, len(VALUES)))
        stop = min(start + int(rng.integers(0, 40)), len(VALUES))
        block = (slice(start, stop), *(COLUMNS if rng.random() < 0.8 else (slice(2, 9), slice(5, 20))))
        np.testing.assert_array_equal(reader.read(file["gzip"], block, 1), VALUES[block])


def test_each_chunk_is_read_once(file: h5py.File, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first window is not known to be the first of a row: its chunks alone are read twice."""
    offsets = []
    original = _windows.read_stored_chunk
    monkeypatch.setattr(
        _windows, "read_stored_chunk", lambda data, offset: (offsets.append(offset), original(data, offset))[1]
    )
    read_in_windows(WindowReader(), file["gzip"], 5, COLUMNS)
    assert len(offsets) == len(set(offsets)) == 13 * 2 * 3


def test_the_next_window_is_decoded_ahead(file: h5py.File, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = WindowReader()
    for start in (0, 16, 32):
        reader.read(file["gzip"], (slice(start, start + 16), *COLUMNS), 1)
    monkeypatch.setattr(_windows, "read_stored_chunk", None)  # the file is not asked
    monkeypatch.setattr(_windows._Decoder, "begin_next", lambda self, block: set())
    np.testing.assert_array_equal(reader.read(file["gzip"], (slice(48, 64), *COLUMNS), 1), VALUES[48:64])


def test_nothing_is_kept_of_another_version(file: h5py.File) -> None:
    reader = WindowReader()
    for start in (0, 16):
        reader.read(file["gzip"], (slice(start, start + 16), *COLUMNS), "before")
    file["gzip"][32:48] = -VALUES[32:48]
    np.testing.assert_array_equal(reader.read(file["gzip"], (slice(32, 48), *COLUMNS), "after"), -VALUES[32:48])


def test_little_is_kept(file: h5py.File, monkeypatch: pytest.MonkeyPatch) -> None:
    readers = [WindowReader() for _ in range(9)]
    for reader in readers:
        for start in (0, 16):
            reader.read(file["gzip"], (slice(start, start + 16), *COLUMNS), 1)
    assert [bool(reader._kept.chunks) for reader in readers] == [False] * 5 + [True] * 4
    monkeypatch.setattr(_windows, "_MOST_BYTES", 3 * 16 * 16 * 8 * 2)
    monkeypatch.setattr(_windows, "count_cores", lambda: 4)
    few = slice(0, 16), slice(0, 8)
    for start in (0, 16):
        readers[0].read(file["gzip"], (slice(start, start + 16), *few), 1)
    assert len(readers[0]._kept.chunks) == 3
    readers[0].read(file["gzip"], (slice(0, 16), *few), 1)  # not the next
    assert not readers[0]._kept.chunks


def test_a_window_with_many_chunks_has_few_decoded_at_a_time(
    file: h5py.File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_windows, "_MOST_BYTES", 6 * 16 * 16 * 8 * 2)
    reader = WindowReader()
    begun: list[int] = []
    original = _windows._Decoder.begin
    monkeypatch.setattr(_windows._Decoder, "begin", lambda self, part: (begun.append(1), original(self, part))[1])
    for start, stop, count in [(0, 16, 0), (16, 32, 12), (32, 200, 12), (200, 200, 12)]:
        np.testing.assert_array_equal(
            reader.read(file["gzip"], (slice(start, stop), *COLUMNS), 1), VALUES[start:stop]
        )
        assert len(begun) == count


def test_threads_read_the_same_and_other_arrays(file: h5py.File) -> None:
    readers = [WindowReader() for _ in range(6)]

    def read_all(seed: int) -> None:
        for number in np.random.default_rng(seed).integers(0, len(readers), 4):
            np.testing.assert_array_equal(read_in_windows(readers[number], file["gzip"], 20, COLUMNS), VALUES)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(read_all, range(6)))


def test_another_thread_counts_its_reader_meanwhile(file: h5py.File, monkeypatch: pytest.MonkeyPatch) -> None:
    keeping: deque[Any] = deque()
    keeping.append(lambda: keeping.clear())
    monkeypatch.setattr(_windows, "_keeping", keeping)
    np.testing.assert_array_equal(read_in_windows(WindowReader(), file["gzip"], 20, COLUMNS), VALUES)


def test_a_window_of_an_older_version_that_ends_later_is_not_kept(
    file: h5py.File, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, windows = WindowReader(), [(slice(start, start + 16), *COLUMNS) for start in (0, 16, 32)]
    reader.read(file["gzip"], windows[0], "before")
    original = _windows._Decoder.begin_next

    def change_meanwhile(self: Any, block: Any) -> Any:
        begun = original(self, block)
        monkeypatch.undo()
        file["gzip"][32:48] = -VALUES[32:48]
        WindowReader.read(reader, file["gzip"], windows[1], "after")  # in another thread
        return begun

    monkeypatch.setattr(_windows._Decoder, "begin_next", change_meanwhile)
    reader.read(file["gzip"], windows[1], "before")
    np.testing.assert_array_equal(reader.read(file["gzip"], windows[2], "after"), -VALUES[32:48])


def test_few_values_are_left_to_h5py(file: h5py.File, monkeypatch: pytest.MonkeyPatch) -> None:
    class Window:
        def __getitem__(self, inside: object) -> str:
            return "threads"

    dataset = ThreadedDataset(file["gzip"])
    monkeypatch.setattr(WindowReader, "_read_block", lambda *_: Window())
    np.testing.assert_array_equal(dataset[3], VALUES[3])
    np.testing.assert_array_equal(dataset[3:6, ..., 2], VALUES[3:6, :, 2])
    assert dataset[:100] == "threads"
    monkeypatch.setattr(_windows, "_QUICK_BYTES", 0)  # as where HDF5 would decode a chunk for each of them
    assert ThreadedDataset(file["gzip"])[3] == "threads"


def test_a_damaged_chunk(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "damaged.h5", "w") as file:
        dataset = file.create_dataset("x", data=VALUES, chunks=CHUNKS, compression="gzip", shuffle=True)
        dataset.id.write_direct_chunk((32, 0, 0), b"no gzip")
        reader = WindowReader()
        for start in (0, 16):
            reader.read(dataset, (slice(start, start + 16), *COLUMNS), 1)
        with pytest.raises(OSError, match="/x: damaged chunk"):
            reader.read(dataset, (slice(32, 48), *COLUMNS), 1)
        with pytest.raises(OSError):
            reader.read(dataset, (slice(32, 48), *COLUMNS), 1)
        np.testing.assert_array_equal(reader.read(dataset, (slice(48, 64), *COLUMNS), 1), VALUES[48:64])


def test_no_thread_stays(file: h5py.File) -> None:
    before = threading.active_count()
    read_in_windows(WindowReader(), file["gzip"], 5, COLUMNS)
    for thread in threading.enumerate():
        if thread.name.startswith("nwbpipe-windows"):
            thread.join(10)
    assert threading.active_count() == before


def test_a_thread_reads_on_when_the_interpreter_ends(tmp_path: Path) -> None:
    """A program's last thread may end after the main one, whose end lets no pool begin a thread."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=np.arange(10**6), chunks=(10_000,), compression="gzip")
    program = """if True:
        import sys, threading, time
        import h5py
        from nwbpipe.files import ThreadedDataset

        def read_all():
            threading.main_thread().join()
            time.sleep(0.2)
            print([int(data[start : start + 200_000].sum()) for start in range(0, 10**6, 200_000)])

        data = ThreadedDataset(h5py.File(sys.argv[1])["x"])
        threading.Thread(target=read_all).start()
    """
    command = [sys.executable, "-c", program, str(tmp_path / "x.h5")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    sums = np.arange(10**6).reshape(5, -1).sum(axis=1).tolist()
    assert result.stdout.strip() == str(sums), result.stderr


def test_another_process_takes_nothing_over(file: h5py.File, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = WindowReader()
    for start in (0, 16):
        reader.read(file["gzip"], (slice(start, start + 16), *COLUMNS), 1)
    assert not pickle.loads(pickle.dumps(reader))._kept.chunks
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as in a fork, in which no thread would decode what was begun
    reader._kept.chunks.update({(32, row, column): Future() for row in (0, 16) for column in (0, 8, 16)})
    np.testing.assert_array_equal(reader.read(file["gzip"], (slice(32, 48), *COLUMNS), 1), VALUES[32:48])


KEYS: list[Any] = [
    (),
    ...,
    slice(None),
    7,
    -1,
    np.int64(3),
    (slice(3, 90), 4),
    (slice(3, 90), -1, slice(2, 9)),
    (..., 3),
    (5, ...),
    (slice(-20, None), slice(None), slice(0, -3)),
    (1, 2, 3),
    slice(50, 20),
    slice(100, 10**9),
    slice(None, None, 3),
    [3, 5, 90],
    np.arange(200) % 7 == 0,
    (slice(None), [1, 4]),
    (np.s_[3:9], np.s_[:], np.s_[::2]),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("quick", [0, 2**16], ids=["threads", "h5py where quick"])
def test_a_dataset_takes_the_keys_of_h5py(
    file: h5py.File, key: Any, quick: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_windows, "_QUICK_BYTES", quick)
    expected = file["gzip"][key]
    values = ThreadedDataset(file["gzip"])[key]
    assert type(values) is type(expected)
    assert (values.shape, values.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("key", [200, -201, (0, 0, 0, 0), "name", (slice(None), 30), slice(9, 3, -1), 1.5], ids=str)
@pytest.mark.parametrize("quick", [0, 2**16], ids=["threads", "h5py where quick"])
def test_a_wrong_key_is_the_error_of_h5py(
    file: h5py.File, key: Any, quick: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_windows, "_QUICK_BYTES", quick)
    with pytest.raises(Exception) as expected:
        _ = file["gzip"][key]
    with pytest.raises(expected.type, match=re.escape(str(expected.value))):
        _ = ThreadedDataset(file["gzip"])[key]


def test_a_dataset_is_as_h5py_has_it_otherwise(file: h5py.File) -> None:
    dataset = ThreadedDataset(file["gzip"])
    np.testing.assert_array_equal(np.asarray(dataset), VALUES)
    assert np.asarray(dataset, "f4").dtype == np.float32
    with pytest.raises(ValueError, match="copied"):
        np.array(dataset, copy=False)
    np.testing.assert_array_equal(np.stack(list(dataset)), VALUES)
    np.testing.assert_array_equal(dataset.astype("f8")[3:5], VALUES[3:5])
    assert dataset == file["gzip"]
    assert dataset.parent == file
    assert isinstance(dataset, h5py.Dataset)
