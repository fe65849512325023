"""Writing a built session to HDF5: small data by hdmf, large data chunk by chunk in threads.

hdmf makes every dataset, with the type that the schema asks for. For the large ones it is given an iterator that
yields nothing; once it has written all else, they are filled by `files.write_chunked` from their own iterators.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from hdmf.data_utils import AbstractDataChunkIterator, DataChunk, GenericDataChunkIterator

from nwbpipe.converters._build import Built
from nwbpipe.files import Access, Codec, chunk_shape, write_chunked

if TYPE_CHECKING:
    from pynwb import NWBFile

_LARGE = 2**20  # bytes: below, hdmf is quick enough
# Few requests open a file of paged space over a network: its metadata lie together in pages, not all over the file.
_PAGED = {"fs_strategy": "page", "fs_page_size": 64 * 2**10}


def write_hdf5(built: Built, path: Path, *, codec: Codec = Codec.GZIP) -> None:
    """Write a built session into a new file.

    Parameters
    ----------
    built : Built
        The session; its large data are replaced by empty iterators, so that it can be written only once.
    path : Path
        The file.
    codec : Codec
        How large data are stored.
    """
    from neuroconv.tools.nwb_helpers import configure_backend, get_default_backend_configuration
    from pynwb import NWBHDF5IO

    late = _take_large(built, codec)
    configuration = get_default_backend_configuration(nwbfile=built.nwbfile, backend="hdf5")
    configure_backend(nwbfile=built.nwbfile, backend_configuration=configuration)
    with h5py.File(path, "w", **_PAGED) as file, NWBHDF5IO(file=file, mode="w") as io:
        io.write(built.nwbfile)
        for one in late:
            _fill(file[_path_of(io.manager.get_builder(one.container), one.field)], one.source)


@dataclass
class _Late:
    """A dataset that is filled after hdmf has made it."""

    container: Any
    field: str
    source: Any  # an array, or one of hdmf's generic iterators


class _Empty(AbstractDataChunkIterator):  # type: ignore[misc]
    """Tells hdmf the type and shape of data, and yields none."""

    def __init__(self, data: Any) -> None:
        self._dtype: np.dtype[Any] = np.dtype(data.dtype)
        self.shape = tuple(map(int, data.shape if isinstance(data, np.ndarray) else data.maxshape))
        self.ndim = len(self.shape)

    def __iter__(self) -> _Empty:
        return self

    def __next__(self) -> DataChunk:
        raise StopIteration

    def __len__(self) -> int:
        return self.shape[0]

    def recommended_chunk_shape(self) -> None:
        """Leave the choice to the options that go with this iterator."""

    def recommended_data_shape(self) -> tuple[int, ...]:
        """Return the full shape: nothing is resized later."""
        return self.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self._dtype

    @property
    def maxshape(self) -> tuple[int, ...]:
        """The full shape."""
        return self.shape


def _take_large(built: Built, codec: Codec) -> list[_Late]:
    """Replace large numeric data by iterators that yield nothing; return where and what they were."""
    from hdmf.backends.hdf5 import H5DataIO
    from hdmf.common import VectorData

    chosen = {id(item) for source in built.sources if _chooses_chunks(source.options)
              for item in built.added[source.name].objects}  # fmt: skip
    late = []
    for container, field, source in _datasets(built.nwbfile):
        empty = _Empty(source)
        if empty.dtype.kind not in "iuf" or math.prod(empty.shape) * empty.dtype.itemsize < _LARGE:
            continue
        if id(container) in chosen and isinstance(source, GenericDataChunkIterator):
            chunks = source.chunk_shape
        else:
            chunks = chunk_shape(empty.shape, empty.dtype, _access(container, field, empty.ndim))
        options = {"chunks": chunks, **codec.options()}
        if isinstance(container, VectorData):  # rows can be added to a table, as hdmf itself has it
            options["maxshape"] = (None,) * empty.ndim
            names = {}
        else:
            names = {"dataset_name": field}
        container.set_data_io(
            **names, data_io_class=H5DataIO, data_io_kwargs=options, data_chunk_iterator_class=_Empty
        )
        late.append(_Late(container, field, source))
    return late


def _chooses_chunks(options: dict[str, Any]) -> bool:
    return bool({"chunk_shape", "chunk_mb"} & set(options.get("iterator_options") or {}))


def _datasets(nwbfile: NWBFile) -> Iterator[tuple[Any, str, Any]]:
    """Yield container, field and data, where the data are an array or can be read by selection."""
    from hdmf.common import VectorData
    from pynwb import TimeSeries

    for container in nwbfile.all_children():
        if isinstance(container, TimeSeries):
            pairs = [(field, container.fields.get(field)) for field in ("data", "timestamps")]
        elif isinstance(container, VectorData):
            pairs = [("data", container.data)]
        else:
            continue
        for field, data in pairs:
            if isinstance(data, np.ndarray | GenericDataChunkIterator):
                yield container, field, data


def _access(container: Any, field: str, ndim: int) -> Access:
    from pynwb.image import ImageSeries
    from pynwb.ophys import OnePhotonSeries, TwoPhotonSeries

    if isinstance(container, ImageSeries) and field == "data":
        volumes = ndim == 4 and isinstance(container, OnePhotonSeries | TwoPhotonSeries)
        return Access.PLANES if volumes else Access.FRAMES
    return Access.SERIES if ndim == 1 else Access.TRACES


def _path_of(builder: Any, field: str) -> str:
    """HDF5 path of a dataset: the builder itself is one (a column), or it has one of that name."""
    names = [field] if field in getattr(builder, "datasets", {}) else []
    while builder.parent is not None:
        names.append(builder.name)
        builder = builder.parent
    return "/" + "/".join(reversed(names))


def _fill(dataset: h5py.Dataset, source: Any) -> None:
    if isinstance(source, np.ndarray):
        write_chunked(dataset, source.__getitem__)
        return
    bar: Any = source.progress_bar if source.display_progress else None
    if bar is not None:
        bar.unit, bar.unit_scale = "B", True
        bar.reset(total=math.prod(source.maxshape) * source.dtype.itemsize)
    # As hdmf's own iteration does; the public `[...]` would seek to each block in a video.
    write_chunked(dataset, lambda block: source._get_data(selection=block), progress=bar.update if bar else None)
    if bar is not None:
        bar.close()
