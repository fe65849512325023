"""Reading a movie's chunks in threads gives what h5py gives, for every layout that a file may have."""

import h5py
import numpy as np
import pytest

from nwbpipe_kit import movies as reading

LAYOUTS = {
    "gzip": {"chunks": (4, 7, 5), "compression": "gzip"},
    "shuffled": {"chunks": (4, 7, 5), "compression": "gzip", "shuffle": True},
    "whole frames": {"chunks": (3, 16, 11), "compression": "gzip", "shuffle": True},
    "plain chunks": {"chunks": (4, 7, 5)},
    "contiguous": {},
    "lzf": {"chunks": (4, 7, 5), "compression": "lzf"},
    "checked": {"chunks": (4, 7, 5), "compression": "gzip", "fletcher32": True},
}
DIRECT = {"gzip", "shuffled", "whole frames", "plain chunks"}
ITEMS = [np.arange(13), np.arange(2, 9), np.array([0, 5, 12]), np.array([11, 3, 3]), np.arange(0)]


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return request.param


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "movie.h5", "w") as opened:
        yield opened


def values(shape, dtype):
    return np.random.default_rng(1).integers(0, 250, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">u2", "<f4", ">f8"])
def test_frames_of_every_layout(file, layout, dtype):
    movie = values((13, 16, 11), dtype)
    data = file.create_dataset("data", data=movie, **LAYOUTS[layout])
    reader = reading.ChunkReader(data, threads=3)
    assert reader.direct == (layout in DIRECT)
    for item in ITEMS:
        found = reader.read_frames(item)
        assert found.dtype == data.dtype
        np.testing.assert_array_equal(found, movie[item])
    reader.close()


@pytest.mark.parametrize("chunks", [(4, 7, 5, 1), (2, 16, 11, 2), (13, 16, 11, 3)])
def test_a_plane_of_a_volume(file, chunks):
    movie = values((13, 16, 11, 3), "i2")
    data = file.create_dataset("data", data=movie, chunks=chunks, compression="gzip", shuffle=True)
    reader = reading.ChunkReader(data, threads=2)
    for item in ITEMS:
        np.testing.assert_array_equal(reader.read_frames(item), movie[item])
        for plane in range(3):
            np.testing.assert_array_equal(reader.read_frames(item, plane), movie[item][..., plane])
    assert reader.direct
    reader.close()


def test_reads_that_go_on_in_a_chunk(file):
    movie = values((50, 16, 11), "i2")
    data = file.create_dataset("data", data=movie, chunks=(16, 16, 11), compression="gzip")
    reader = reading.ChunkReader(data, threads=2)
    found = np.concatenate([reader.read_frames(np.arange(start, min(start + 7, 50))) for start in range(0, 50, 7)])
    np.testing.assert_array_equal(found, movie)
    reader.close()


def test_chunks_that_were_never_written_are_the_fill_value(file):
    data = file.create_dataset(
        "data", shape=(12, 8, 8), dtype="i2", chunks=(4, 8, 8), compression="gzip", fillvalue=7
    )
    data[:4] = 3
    reader = reading.ChunkReader(data, threads=2)
    np.testing.assert_array_equal(reader.read_frames(np.arange(12)), data[:])
    assert reader.direct
    reader.close()


def test_a_damaged_chunk_is_an_error(file):
    data = file.create_dataset("data", data=values((4, 8, 8), "i2"), chunks=(4, 8, 8), compression="gzip")
    data.id.write_direct_chunk((0, 0, 0), b"no stream of zlib")
    with pytest.raises(OSError, match=r"movie\.h5: /data: damaged chunk"):
        reading.ChunkReader(data, threads=2).read_frames(np.arange(4))


def test_constant_frames_are_noticed(file):
    movie = values((12, 8, 8), "i2")
    movie[[2, 7]] = 5
    data = file.create_dataset("data", data=movie)
    frames = reading.Movie(data, 1)
    frames[0:12]
    assert np.flatnonzero(frames.constant).tolist() == [2, 7]
