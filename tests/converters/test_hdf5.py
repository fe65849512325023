"""Large data go into the file past hdmf: same values, types and links, chunks for those who read them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from hdmf.backends.hdf5 import H5DataIO
from hdmf.common import DynamicTable, VectorData
from hdmf.data_utils import DataChunkIterator
from neuroconv.tools.hdmf import SliceableDataChunkIterator
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.image import ImageSeries

import nwbpipe
import nwbpipe.session._large_data as module
from nwbpipe.converters._added import AddedObjects
from nwbpipe.converters._build import BuiltSession
from nwbpipe.converters._hdf5 import Storage, write_hdf5
from nwbpipe.errors import NwbpipeError, RequestError
from nwbpipe.files import Codec, Layout
from nwbpipe.files._chunks import _BLOCK_BYTES
from nwbpipe.provenance import find_own_identity
from tests.converters import raw

RNG = np.random.default_rng(0)
MOVIE = RNG.poisson(40, (70, 128, 96)).astype("<i2")
TRACES = RNG.normal(0, 10, (5000, 70)).astype("<f4")
TIMES = np.cumsum(RNG.uniform(0.01, 0.02, 200_000))


@pytest.fixture
def filled() -> list[str]:
    """Names of the datasets that are filled chunk by chunk, as they are."""
    return []


@pytest.fixture(autouse=True)
def _notice(monkeypatch: pytest.MonkeyPatch, filled: list[str]) -> None:
    fill = module._fill

    def noticed(dataset: h5py.Dataset, *arguments: Any) -> bytes | None:
        filled.append(dataset.name)
        return fill(dataset, *arguments)

    monkeypatch.setattr(module, "_fill", noticed)


def empty() -> NWBFile:
    return NWBFile(
        session_description="x", identifier="x", session_start_time=datetime(2024, 5, 1, tzinfo=UTC), session_id="x"
    )


def movie(data: Any, **more: Any) -> ImageSeries:
    return ImageSeries(name="movie", data=data, unit="a.u.", rate=30.0, **more)


def test_every_kind_of_large_data(tmp_path: Path, filled: list[str]) -> None:
    nwbfile = empty()
    nwbfile.add_acquisition(movie(SliceableDataChunkIterator(MOVIE)))
    nwbfile.add_acquisition(TimeSeries(name="array", data=TRACES, unit="V", timestamps=TIMES[:5000]))
    nwbfile.add_acquisition(TimeSeries(name="long", data=TIMES.astype("<f4"), unit="V", timestamps=TIMES))
    values = RNG.normal(0, 1, (2000, 100))
    columns = [VectorData(name="wide", description="a column", data=values)]
    table = DynamicTable(name="table", description="x", columns=columns)
    nwbfile.create_processing_module("behavior", "x").add(table)
    path = tmp_path / "x.nwb"
    written = write_hdf5(BuiltSession(nwbfile, []), path)
    assert set(written) == set(filled)
    with h5py.File(path) as file:  # hashed while they were written, as if they had been read
        for name in filled:
            parent = name.rpartition("/")[0]
            identity = find_own_identity(file, parent, written)
            assert identity == find_own_identity(file, parent)
            assert identity != find_own_identity(file, parent, {**written, name: b"other"})
    assert sorted(filled) == [
        "/acquisition/array/data",
        "/acquisition/long/timestamps",
        "/acquisition/movie/data",
        "/processing/behavior/table/wide",
    ]
    with NWBHDF5IO(path, "r") as io:
        read = io.read()
        assert np.array_equal(read.acquisition["movie"].data, MOVIE)
        assert np.array_equal(read.acquisition["array"].data, TRACES)
        assert np.array_equal(read.acquisition["array"].timestamps, TIMES[:5000])
        assert np.array_equal(read.acquisition["long"].timestamps, TIMES)
        wide = read.processing["behavior"]["table"]["wide"].data
        assert np.array_equal(wide, values)
        assert wide.maxshape[0] is None  # rows can be added to a table
    with h5py.File(path) as file:
        data = file["acquisition/movie/data"]
        assert (data.dtype, data.chunks, data.compression, data.shuffle) == ("<i2", (70, 128, 96), "gzip", True)
        assert file["acquisition/array/data"].chunks == (5000, 64)


def test_embedded_video_is_read_frame_after_frame(tmp_path: Path, filled: list[str]) -> None:
    """A video's reader goes forward only: the blocks must come in order, each of whole frames."""
    import cv2
    from neuroconv.datainterfaces.behavior.video.video_utils import VideoDataChunkIterator

    path = tmp_path / "body.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30.0, (320, 240))
    for number in range(200):
        writer.write(np.full((240, 320, 3), number, np.uint8))
    writer.release()
    reader = cv2.VideoCapture(str(path))
    frames = [reader.read()[1] for _ in range(200)]
    nwbfile = empty()
    nwbfile.add_acquisition(movie(VideoDataChunkIterator(str(path))))
    write_hdf5(BuiltSession(nwbfile, []), tmp_path / "x.nwb")
    assert filled == ["/acquisition/movie/data"]
    with h5py.File(tmp_path / "x.nwb") as file:
        data = file["acquisition/movie/data"]
        assert data.chunks == (18, 240, 320, 3)
        assert data.size > _BLOCK_BYTES  # in more than one block
        assert np.array_equal(data, frames)


def test_recordings_and_movies_of_neuroconv(tmp_path: Path, filled: list[str]) -> None:
    from neuroconv.tools.roiextractors.imagingextractordatachunkiterator import ImagingExtractorDataChunkIterator
    from neuroconv.tools.spikeinterface.spikeinterfacerecordingdatachunkiterator import (
        SpikeInterfaceRecordingDataChunkIterator,
    )
    from roiextractors import NumpyImagingExtractor
    from spikeinterface import NumpyRecording

    counts = RNG.normal(0, 10, (40_000, 130)).astype("<i2")
    recording = NumpyRecording([counts], 30_000.0)
    imaging = NumpyImagingExtractor(MOVIE[..., None], 30.0)
    nwbfile = empty()
    data = SpikeInterfaceRecordingDataChunkIterator(recording)
    nwbfile.add_acquisition(TimeSeries(name="probe", data=data, unit="V", rate=30_000.0))
    nwbfile.add_acquisition(movie(ImagingExtractorDataChunkIterator(imaging)))
    write_hdf5(BuiltSession(nwbfile, []), tmp_path / "x.nwb")
    assert sorted(filled) == ["/acquisition/movie/data", "/acquisition/probe/data"]
    with h5py.File(tmp_path / "x.nwb") as file:
        assert file["acquisition/probe/data"].chunks == (32768, 64)
        assert np.array_equal(file["acquisition/probe/data"], counts)
        assert np.array_equal(file["acquisition/movie/data"], MOVIE.transpose(0, 2, 1))  # (time, width, height)


@pytest.mark.filterwarnings("ignore:Spec .TimeSeries/timestamps.")  # hdmf says that it converts
def test_types_are_those_of_the_schema(tmp_path: Path, filled: list[str]) -> None:
    """Timestamps are float64 in NWB, whatever a reader gives."""
    nwbfile = empty()
    times = np.arange(400_000, dtype="<f4")
    nwbfile.add_acquisition(TimeSeries(name="x", data=times, unit="V", timestamps=times))
    write_hdf5(BuiltSession(nwbfile, []), tmp_path / "x.nwb")
    assert sorted(filled) == ["/acquisition/x/data", "/acquisition/x/timestamps"]
    with h5py.File(tmp_path / "x.nwb") as file:
        assert file["acquisition/x/timestamps"].dtype == "<f8"
        assert np.array_equal(file["acquisition/x/timestamps"], times)
        assert file["acquisition/x/data"].dtype == "<f4"


def test_what_can_not_be_sliced_is_left_to_hdmf(tmp_path: Path, filled: list[str]) -> None:
    nwbfile = empty()
    frames: Iterator[np.ndarray] = iter(MOVIE)
    data = DataChunkIterator(frames, maxshape=(None, 128, 96), dtype=MOVIE.dtype)
    nwbfile.add_acquisition(movie(H5DataIO(data, chunks=(10, 128, 96))))
    nwbfile.add_acquisition(TimeSeries(name="small", data=np.arange(100.0), unit="V", rate=1.0))
    write_hdf5(BuiltSession(nwbfile, []), tmp_path / "x.nwb")
    assert filled == []
    with h5py.File(tmp_path / "x.nwb") as file:
        assert np.array_equal(file["acquisition/movie/data"], MOVIE)
        assert np.array_equal(file["acquisition/small/data"], np.arange(100.0))


def test_linked_times_stay_links(tmp_path: Path) -> None:
    nwbfile = empty()
    first = TimeSeries(name="first", data=TIMES.astype("<f4"), unit="V", timestamps=TIMES)
    nwbfile.add_acquisition(first)
    nwbfile.add_acquisition(TimeSeries(name="second", data=TIMES.astype("<f4"), unit="V", timestamps=first))
    write_hdf5(BuiltSession(nwbfile, []), tmp_path / "x.nwb")
    with h5py.File(tmp_path / "x.nwb") as file:
        assert file["acquisition/second/timestamps"] == file["acquisition/first/timestamps"]
        assert np.array_equal(file["acquisition/second/timestamps"], TIMES)


@pytest.mark.parametrize("chosen", [True, False])
def test_the_spec_can_choose_the_chunks(tmp_path: Path, chosen: bool) -> None:
    nwbfile = empty()
    series = movie(SliceableDataChunkIterator(MOVIE, chunk_shape=(10, 64, 96)))
    nwbfile.add_acquisition(series)
    options = {"iterator_options": {"chunk_shape": (10, 64, 96)} if chosen else {"buffer_gb": 1}}
    source: Any = SimpleNamespace(name="scope", options=options, added=AddedObjects(objects=[series]))
    write_hdf5(BuiltSession(nwbfile, [source]), tmp_path / "x.nwb")
    with h5py.File(tmp_path / "x.nwb") as file:
        assert file["acquisition/movie/data"].chunks == ((10, 64, 96) if chosen else (70, 128, 96))
        assert np.array_equal(file["acquisition/movie/data"], MOVIE)


@pytest.mark.parametrize("codec", Codec)
def test_compression_by_option(tmp_path: Path, codec: Codec) -> None:
    import hdf5plugin

    nwbfile = empty()
    nwbfile.add_acquisition(movie(MOVIE))
    write_hdf5(BuiltSession(nwbfile, []), tmp_path / "x.nwb", Storage(codec))
    with h5py.File(tmp_path / "x.nwb") as file:
        dataset = file["acquisition/movie/data"]
        assert np.array_equal(dataset, MOVIE)
        filters = dataset.id.get_create_plist()
        codes = [filters.get_filter(number)[0] for number in range(filters.get_nfilters())]
        expected = {
            Codec.GZIP: [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE],
            Codec.ZSTD: [hdf5plugin.BLOSC_ID],
            Codec.NONE: [],
        }
        assert codes == expected[codec]


@pytest.mark.parametrize("layout", Layout)
def test_layout_by_option(tmp_path: Path, layout: Layout) -> None:
    nwbfile = empty()
    nwbfile.add_acquisition(movie(MOVIE))
    write_hdf5(BuiltSession(nwbfile, []), tmp_path / "x.nwb", Storage(layout=layout))
    with h5py.File(tmp_path / "x.nwb") as file:
        strategy = file.id.get_create_plist().get_file_space_strategy()[0]
        assert (strategy == h5py.h5f.FSPACE_STRATEGY_PAGE) == (layout is Layout.PAGED)
    superblock = (tmp_path / "x.nwb").read_bytes()[8]
    assert superblock == (2 if layout is Layout.PAGED else 0)  # 0: every HDF5 since 1.0


def test_options_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        nwbpipe.convert(tmp_path / "none.yaml", compression="zip", layout="paper", memory_mb=1)
    assert [one.found for one in caught.value.problems] == ["zip", "paper", "1 MiB"]


def test_zstd_without_its_plugin_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(RequestError, match="hdf5plugin"):
        nwbpipe.convert(tmp_path / "none.yaml", compression="zstd")


def test_results_are_written_in_the_same_way(tmp_path: Path, filled: list[str]) -> None:
    path = tmp_path / "x.nwb"
    write_hdf5(BuiltSession(empty(), []), path)
    with nwbpipe.transaction(path) as nwbfile:
        module_ = nwbfile.create_processing_module("behavior", "results")
        module_.add(TimeSeries(name="traces", data=TRACES, unit="V", timestamps=TIMES[:5000]))
        module_.add(TimeSeries(name="small", data=np.arange(100.0), unit="V", rate=1.0))
    assert filled == ["/processing/behavior/traces/data"]
    with nwbpipe.transaction(path) as nwbfile:  # what is there already is left alone
        nwbfile.processing["behavior"].add(TimeSeries(name="more", data=TIMES, unit="V", rate=1.0))
    assert filled[1:] == ["/processing/behavior/more/data"]
    with h5py.File(path) as file:
        traces = file["processing/behavior/traces/data"]
        assert (traces.compression, traces.shuffle, traces.chunks) == ("gzip", True, (5000, 64))
        assert np.array_equal(traces, TRACES)
        assert np.array_equal(file["processing/behavior/more/data"], TIMES)
        assert np.array_equal(file["processing/behavior/small/data"], np.arange(100.0))


def test_paged_file_space_outlives_a_transaction(tmp_path: Path) -> None:
    nwbfile = empty()
    nwbfile.add_acquisition(movie(MOVIE))
    path = tmp_path / "x.nwb"
    write_hdf5(BuiltSession(nwbfile, []), path)
    with nwbpipe.transaction(path) as again:
        again.add_acquisition(TimeSeries(name="more", data=np.arange(10.0), unit="V", rate=1.0))
    with h5py.File(path) as file:
        strategy = file.id.get_create_plist().get_file_space_strategy()
        assert strategy[0] == h5py.h5f.FSPACE_STRATEGY_PAGE
        assert file.id.get_create_plist().get_file_space_page_size() == 4096
        assert np.array_equal(file["acquisition/movie/data"], MOVIE)
        assert np.array_equal(file["acquisition/more/data"], np.arange(10.0))


def test_a_reader_that_fails_leaves_no_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("page 7 is torn")

    monkeypatch.setattr(module, "_fill", broken)
    monkeypatch.setattr(module, "_LARGE", 1)
    spec = raw.write_spec(folder, {"scope": raw.tiff()})
    with pytest.raises(NwbpipeError, match="page 7 is torn"):
        nwbpipe.convert(spec, tmp_path / "x.nwb", progress=False)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".nwb", ".partial")]
