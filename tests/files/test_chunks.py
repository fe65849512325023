"""Chunks that are written and read past HDF5's filters are what HDF5 itself would write and read."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nwbpipe.files._chunks as chunks_module
from nwbpipe.files import Access, Codec, chunk_shape, read_chunked, write_chunked
from nwbpipe.files._codec import find_pipeline, shuffle_bytes
from nwbpipe_kit.chunks import FilterPipeline, unshuffle_bytes

DTYPES = ["i1", "u1", "<i2", ">i2", "<u2", "<i4", ">u4", "<i8", "<u8", "<f2", "<f4", ">f4", "<f8", "<c8", "<c16", "?"]


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...]]:
    shape = tuple(draw(st.lists(st.integers(1, 23), min_size=1, max_size=4)))
    chunks = tuple(draw(st.integers(1, size)) for size in shape)
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.integers(0, 256, (*shape, dtype.itemsize), dtype=np.uint8).view(dtype)[..., 0]
    if dtype.kind == "b":
        values = rng.integers(0, 2, shape).astype(bool)
    return values, chunks


def in_memory() -> h5py.File:
    return h5py.File("memory.h5", "w", driver="core", backing_store=False)


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("nwbpipe-chunks")]


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f8"])
def test_reading_into_an_array_of_the_users(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_module, "_SMALL", 0)
    values = np.arange(24 * 10 * 6).reshape(24, 10, 6).astype(dtype)
    outs = [
        np.zeros((24, 10, 6), dtype),
        np.zeros((24, 10, 12), dtype)[:, :, ::2],  # chunks of it are not contiguous
        np.zeros((24, 10, 6), np.dtype(dtype).newbyteorder()),
        np.frombuffer(bytearray(values.nbytes + 1), np.uint8)[1:].view(dtype).reshape(24, 10, 6),  # not aligned
    ]
    with in_memory() as file:
        dataset = file.create_dataset("x", data=values, chunks=(4, 10, 6), compression="gzip", shuffle=True)
        for out in outs:
            assert read_chunked(dataset, out=out) is out
            np.testing.assert_array_equal(out, values)


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from(list(Codec)), st.integers(0, 3), st.integers(0, 20_000), st.integers(1, 3))
def test_what_is_written_is_read_by_plain_hdf5(
    case: tuple[np.ndarray, tuple[int, ...]], codec: Codec, level: int, memory: int, threads: int
) -> None:
    values, chunks = case
    with in_memory() as file:
        dataset = file.create_dataset("x", values.shape, values.dtype, chunks=chunks, **codec.options())
        write_chunked(dataset, values.__getitem__, level=level, memory_bytes=memory, threads=threads)
        assert same(dataset[()], values)
        # Not by the slow way: every chunk of the pipeline is one that this module knows.
        assert find_pipeline(dataset) is not None or (codec is Codec.ZSTD and values.dtype.kind not in "iuf")
        assert (FilterPipeline.of(dataset) is None) == (codec is Codec.ZSTD)  # which HDF5 reads


def test_blosc_is_as_hdf5_would_write_it() -> None:
    values = np.random.default_rng(0).integers(0, 900, (70, 40, 30)).astype(np.int16)
    with in_memory() as file:
        options = {"chunks": (32, 40, 30), **Codec.ZSTD.options()}
        ours = file.create_dataset("ours", values.shape, values.dtype, **options)
        write_chunked(ours, values.__getitem__)
        theirs = file.create_dataset("theirs", data=values, **options)
        for offset in ((0, 0, 0), (32, 0, 0), (64, 0, 0)):
            mask, stored = ours.id.read_direct_chunk(offset)
            other_mask, other = theirs.id.read_direct_chunk(offset)
            assert mask == other_mask == 0
            assert stored[:16] == other[:16]  # Blosc's header: versions, shuffle, size of a value, sizes
            assert abs(len(stored) - len(other)) < 0.02 * len(other)
        assert same(ours[()], values)


def test_other_settings_of_blosc_are_left_to_hdf5() -> None:
    hdf5plugin = pytest.importorskip("hdf5plugin")
    with in_memory() as file:
        for name, options in {
            "lz4": hdf5plugin.Blosc(cname="lz4"),
            "zstd": hdf5plugin.Zstd(),
            "blosc2": hdf5plugin.Blosc2(cname="zstd"),
        }.items():
            dataset = file.create_dataset(name, (70, 40), "i2", chunks=(32, 40), **options)
            assert find_pipeline(dataset) is None
            write_chunked(dataset, np.arange(2800, dtype="i2").reshape(70, 40).__getitem__)
            assert dataset[69, 39] == 2799


@pytest.fixture(autouse=True, scope="module")
def small_is_large() -> Iterator[None]:
    """Read the small data of these tests as large ones are read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks_module, "_SMALL", 0)
        yield


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from([{}, {"shuffle": True}, {"compression": "gzip"}, Codec.GZIP.options()]), st.data())
def test_any_range_is_read_as_hdf5_reads_it(
    case: tuple[np.ndarray, tuple[int, ...]], filters: dict[str, Any], data: st.DataObject
) -> None:
    values, chunks = case
    bounds = st.integers(-30, 30) | st.none()
    selection = tuple(
        slice(*data.draw(st.tuples(bounds, bounds))) for _ in range(data.draw(st.integers(0, values.ndim)))
    )
    with in_memory() as file:
        dataset = file.create_dataset("x", data=values, chunks=chunks, **filters)
        assert same(read_chunked(dataset, selection, threads=2), values[selection])


@given(st.binary(min_size=8, max_size=800), st.sampled_from([1, 2, 4, 8]))
def test_shuffle_is_that_of_hdf5(data: bytes, size: int) -> None:
    values = np.frombuffer(data[: len(data) // size * size], f"u{size}")
    with in_memory() as file:
        dataset = file.create_dataset("x", data=values, chunks=values.shape, shuffle=True)
        _, stored = dataset.id.read_direct_chunk((0,))
    assert shuffle_bytes(values).tobytes() == stored
    assert same(unshuffle_bytes(stored, values.dtype), values)


@pytest.mark.parametrize(
    "options",
    [{"compression": "lzf"}, {"fletcher32": True}, {"scaleoffset": 0}, {"chunks": None}],
    ids=str,
)
def test_other_filters_are_left_to_hdf5(options: dict[str, Any]) -> None:
    values = np.arange(1000, dtype="i4").reshape(100, 10)
    with in_memory() as file:
        dataset = file.create_dataset("x", values.shape, "i4", **{"chunks": (7, 4), **options})
        if dataset.chunks:
            write_chunked(dataset, values.__getitem__)
        else:
            dataset[...] = values
        assert np.array_equal(dataset[()], values)
        assert np.array_equal(read_chunked(dataset, slice(3, 50)), values[3:50])


def test_other_types_are_left_to_hdf5() -> None:
    with in_memory() as file:
        text = file.create_dataset("text", data=np.array([b"a", b"bc"] * 50, "S2"), chunks=(7,), compression="gzip")
        assert np.array_equal(read_chunked(text), text[()])
        short = h5py.h5t.STD_I16LE.copy()
        short.set_precision(12)  # 12 bits in 16: only HDF5 knows what is in the others
        space, chunked = h5py.h5s.create_simple((10,)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        chunked.set_chunk((4,))
        odd = h5py.Dataset(h5py.h5d.create(file.id, b"odd", short, space, chunked))
        assert FilterPipeline.of(odd) is None


def test_values_are_converted_as_hdf5_does() -> None:
    values = np.linspace(-1000, 1000, 5000)
    with in_memory() as file:
        wide = file.create_dataset("wide", (5000,), "f8", chunks=(999,), **Codec.GZIP.options())
        write_chunked(wide, values.astype("f4").__getitem__)
        assert np.array_equal(wide[()], values.astype("f4").astype("f8"))
        narrow = file.create_dataset("narrow", (5000,), "i1", chunks=(999,), **Codec.GZIP.options())
        write_chunked(narrow, values.__getitem__)
        assert narrow[0] == -128
        assert narrow[-1] == 127


def test_chunks_that_were_never_written_hold_the_fill_value() -> None:
    with in_memory() as file:
        dataset = file.create_dataset("x", (20, 5), "i2", chunks=(6, 5), fillvalue=7, **Codec.GZIP.options())
        dataset[6:12] = 1
        assert same(read_chunked(dataset), dataset[()])
        large = file.create_dataset("y", (2000, 500), "i2", chunks=(60, 50), fillvalue=7, **Codec.GZIP.options())
        large[600:1200, :77] = 1
        assert same(read_chunked(large), large[()])
        assert same(read_chunked(large), large[()])  # HDF5 has read them by now, and says so in other words


def test_chunks_that_went_without_a_filter_are_read() -> None:
    values = np.arange(12, dtype="<i4")
    with in_memory() as file:
        dataset = file.create_dataset("x", (12,), "<i4", chunks=(4,), **Codec.GZIP.options())
        dataset[...] = values
        dataset.id.write_direct_chunk((4,), values[4:8].tobytes(), filter_mask=0b11)
        dataset.id.write_direct_chunk((8,), shuffle_bytes(values[8:]).tobytes(), filter_mask=0b10)
        assert same(dataset[()], values)
        assert same(read_chunked(dataset), values)


@pytest.mark.parametrize("damage", ["other", "short", "long", "flipped"])
def test_a_damaged_chunk_is_an_error_and_leaves_no_thread(damage: str) -> None:
    with in_memory() as file:
        dataset = file.create_dataset("x", data=np.arange(1000), chunks=(10,), **Codec.GZIP.options())
        _, stored = dataset.id.read_direct_chunk((500,))
        flipped = bytes([*stored[:-1], stored[-1] ^ 1])  # in the checksum
        longer = zlib.compress(shuffle_bytes(np.arange(11)).tobytes())
        torn = {"other": b"no zlib stream", "short": stored[:-5], "long": longer, "flipped": flipped}
        dataset.id.write_direct_chunk((500,), torn[damage])
        with pytest.raises(OSError, match=r"/x: damaged chunk"):
            read_chunked(dataset)
    assert not workers()


@pytest.mark.parametrize("error", [OSError("the disk is gone"), KeyboardInterrupt()], ids=repr)
def test_an_error_of_the_reader_ends_the_write_and_leaves_no_thread(error: BaseException) -> None:
    asked = []

    def read(selection: tuple[slice, ...]) -> np.ndarray:
        asked.append(selection)
        if len(asked) == 3:
            raise error
        return np.zeros([part.stop - part.start for part in selection], "i2")

    with in_memory() as file:
        dataset = file.create_dataset("x", (10_000,), "i2", chunks=(100,), **Codec.GZIP.options())
        with pytest.raises(type(error)) as raised:
            write_chunked(dataset, read, memory_bytes=2000)
    assert raised.value is error
    assert len(asked) == 3
    assert not workers()


def test_an_error_in_a_thread_ends_the_write_and_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(pipeline: FilterPipeline, values: np.ndarray, level: int) -> bytes:
        if values[0] == 500:
            raise MemoryError("no more")
        return bytes(100)

    monkeypatch.setattr(chunks_module, "encode_chunk", encode)
    with in_memory() as file:
        dataset = file.create_dataset("x", (100_000,), "i4", chunks=(100,), **Codec.GZIP.options())
        with pytest.raises(MemoryError, match="no more"):
            write_chunked(dataset, np.arange(100_000, dtype="i4").__getitem__, memory_bytes=2000)
    assert not workers()


def test_a_reader_that_gives_too_little_is_refused() -> None:
    with in_memory() as file:
        dataset = file.create_dataset("x", (100,), "i4", chunks=(10,))
        with pytest.raises(ValueError, match="shape"):
            write_chunked(dataset, lambda selection: np.zeros(3, "i4"))


def test_progress_counts_every_byte() -> None:
    seen: list[int] = []
    with in_memory() as file:
        dataset = file.create_dataset("x", (1000, 3), "i2", chunks=(64, 2))
        write_chunked(dataset, np.zeros((1000, 3), "i2").__getitem__, memory_bytes=8000, progress=seen.append)
    assert sum(seen) == 6000
    assert len(seen) > 3


@pytest.mark.parametrize(
    ("shape", "dtype", "access", "expected"),
    [
        ((10_000, 512, 512), "i2", Access.FRAMES, (8, 512, 512)),
        ((5, 512, 512), "i2", Access.FRAMES, (5, 512, 512)),
        ((100, 4096, 4096), "u2", Access.FRAMES, (1, 512, 4096)),
        ((100, 1080, 1920, 3), "u1", Access.FRAMES, (1, 1080, 1920, 3)),
        ((100, 256, 256, 10), "i2", Access.PLANES, (32, 256, 256, 1)),
        ((30_000_000, 384), "i2", Access.TRACES, (32768, 64)),
        ((30_000_000, 4), "f4", Access.TRACES, (262144, 4)),
        ((30_000_000,), "f8", Access.SERIES, (524288,)),
    ],
)
def test_shapes_of_chunks(shape: tuple[int, ...], dtype: str, access: Access, expected: tuple[int, ...]) -> None:
    assert chunk_shape(shape, np.dtype(dtype), access) == expected


@pytest.mark.slow
def test_memory_stays_bounded(tmp_path: Path) -> None:
    """1 GB made lazily, faster than it is compressed, within a budget of 128 MiB."""
    script = f"""
    import resource, h5py, numpy as np
    from nwbpipe.files import Codec, write_chunked, read_chunked
    noise = np.random.default_rng(0).integers(0, 4096, (64, 512, 512)).astype("i2")
    def read(selection):
        size = selection[0].stop - selection[0].start
        return np.take(noise, np.arange(selection[0].start, selection[0].stop) % 64, axis=0)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with h5py.File({str(tmp_path / "large.h5")!r}, "w") as file:
        data = file.create_dataset("x", (2000, 512, 512), "i2", chunks=(8, 512, 512), **Codec.GZIP.options())
        write_chunked(data, read, memory_bytes=128 * 2**20)
        assert np.array_equal(read_chunked(data, slice(1000, 1010)), read((slice(1000, 1010),)))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 128 * 2**20
