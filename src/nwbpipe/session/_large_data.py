"""Write large data of NWB objects chunk by chunk in threads, for conversions and for results alike.

hdmf makes every dataset, with the type that the schema asks for. For the large ones it is given an iterator that
yields nothing; once it has written all else, they are filled by `files.write_chunked` from their own source.
"""

from __future__ import annotations

import math
import mmap
import sys
import warnings
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from hdmf.data_utils import AbstractDataChunkIterator, DataChunk, GenericDataChunkIterator

from nwbpipe.files import (
    Access,
    Codec,
    ThreadedDataset,
    can_decode_chunks,
    chunk_shape,
    make_contiguous,
    write_chunked,
)
from nwbpipe.provenance import WrittenValues

_LARGE = 2**20  # bytes: below, hdmf is quick enough


@dataclass
class LargeDataset:
    """A dataset that is filled after hdmf has made it.

    Attributes
    ----------
    container : hdmf container
    field : str
        Name of the dataset in it.
    source : numpy.ndarray or hdmf.data_utils.GenericDataChunkIterator
        The values.
    """

    container: Any
    field: str
    source: Any


def decode_in_threads(root: Any) -> None:
    """Let the large data of the time series in a container that was read be decoded in threads, when asked for."""
    from hdmf.build import ObjectMapper
    from pynwb import TimeSeries

    ObjectMapper.no_convert(ThreadedDataset)  # an export leaves the type of what is in a file, as h5py's own
    pending = [root]  # not `all_children`, which fails where two objects have one id
    while pending:
        container = pending.pop()
        pending += container.children
        for field in ("data", "timestamps") if isinstance(container, TimeSeries) else ():
            data = container.fields.get(field)
            if isinstance(data, h5py.Dataset) and data.nbytes >= _LARGE and can_decode_chunks(data):
                container.fields[field] = ThreadedDataset(data)


def take_large(
    containers: Iterable[Any], codec: Codec = Codec.GZIP, *, own_chunks: Container[int] = ()
) -> list[LargeDataset]:
    """Replace large numeric data by iterators that yield nothing; return the data with their containers.

    Parameters
    ----------
    containers : iterable of hdmf containers
        Containers that are not written yet; only time series and columns of tables are replaced.
    codec : Codec
        Compression of the data.
    own_chunks : container of int
        The `id` of containers whose iterators choose their chunks themselves.
    """
    from hdmf.backends.hdf5 import H5DataIO
    from hdmf.common import VectorData

    late = []
    for container, field, source in _iter_datasets(containers):
        empty = _PlaceholderIterator(source)
        if empty.dtype.kind not in "iuf" or math.prod(empty.shape) * empty.dtype.itemsize < _LARGE:
            continue
        if id(container) in own_chunks and isinstance(source, GenericDataChunkIterator):
            chunks = source.chunk_shape
        else:
            chunks = chunk_shape(empty.shape, empty.dtype, _choose_access(container, field, empty.ndim))
        # hdmf asks to be told that the filter is a plugin.
        options = {"chunks": chunks, **codec.options(), "allow_plugin_filters": codec is Codec.ZSTD}
        if isinstance(container, VectorData):  # rows can be added to a table, as hdmf itself has it
            options["maxshape"] = (None,) * empty.ndim
            names = {}
        else:
            names = {"dataset_name": field}
        with warnings.catch_warnings():  # the documentation tells users what another codec than gzip means
            warnings.filterwarnings("ignore", message=".* compression may not be available")
            container.set_data_io(
                **names,
                data_io_class=H5DataIO,
                data_io_kwargs=options,
                data_chunk_iterator_class=_PlaceholderIterator,
            )
        late.append(LargeDataset(container, field, source))
    return late


def fill_large(
    file: h5py.File,
    late: Iterable[LargeDataset],
    builder_of: Callable[[Any], Any],
    memory_bytes: int = 2**28,
    progress: Callable[[int], object] | None = None,
) -> dict[str, bytes]:
    """Fill the datasets that hdmf has made; return the digests of their values by path, as identities hold them.

    Parameters
    ----------
    file : h5py.File
    late : iterable of LargeDataset
        The return value of `take_large`.
    builder_of : callable
        Returns a container's builder: hdmf's ``io.manager.get_builder``.
    memory_bytes : int
        Largest amount of data that waits for compression.
    progress : callable, optional
        Called with the number of bytes of each block that was read from its source.
    """
    digests = {}
    for dataset in late:
        path = _find_path(builder_of(dataset.container), dataset.field)
        digest = _fill(file[path], dataset.source, memory_bytes, progress)
        if digest is not None:
            digests[path] = digest
    return digests


class _PlaceholderIterator(AbstractDataChunkIterator):  # type: ignore[misc]
    """Tells hdmf the type and shape of data, and yields none."""

    def __init__(self, data: Any) -> None:
        self._dtype: np.dtype[Any] = np.dtype(data.dtype)
        self.shape = tuple(map(int, data.shape if isinstance(data, np.ndarray) else data.maxshape))
        self.ndim = len(self.shape)

    def __iter__(self) -> _PlaceholderIterator:
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


def _iter_datasets(containers: Iterable[Any]) -> Iterator[tuple[Any, str, Any]]:
    """Yield container, field and data, where the data are an array or can be read by selection."""
    from hdmf.common import VectorData
    from pynwb import TimeSeries

    for container in containers:
        if isinstance(container, TimeSeries):
            pairs = [(field, container.fields.get(field)) for field in ("data", "timestamps")]
        elif isinstance(container, VectorData):
            pairs = [("data", container.data)]
        else:
            continue
        for field, data in pairs:
            if isinstance(data, np.ndarray | GenericDataChunkIterator):
                yield container, field, data


def _choose_access(container: Any, field: str, ndim: int) -> Access:
    from pynwb.image import ImageSeries
    from pynwb.ophys import OnePhotonSeries, TwoPhotonSeries

    if isinstance(container, ImageSeries) and field == "data":
        volumes = ndim == 4 and isinstance(container, OnePhotonSeries | TwoPhotonSeries)
        return Access.PLANES if volumes else Access.FRAMES
    return Access.SERIES if ndim == 1 else Access.TRACES


def _find_path(builder: Any, field: str) -> str:
    """Return the HDF5 path of a dataset: of the builder itself (a column), or of its dataset of that name."""
    names = [field] if field in getattr(builder, "datasets", {}) else []
    while builder.parent is not None:
        names.append(builder.name)
        builder = builder.parent
    return "/" + "/".join(reversed(names))


def _fill(
    dataset: h5py.Dataset, source: Any, memory_bytes: int, progress: Callable[[int], object] | None
) -> bytes | None:
    """Write the values of a dataset; return their digest, if they came in order."""
    written = WrittenValues(dataset.shape, dataset.dtype)

    def read(block: tuple[slice, ...]) -> Any:
        # As hdmf's own iteration does; the public `[...]` would seek to each block in a video.
        # A movie's frames are transposed: once here, and not again for the digest and for each chunk.
        array = isinstance(source, np.ndarray)
        values = make_contiguous(np.asarray(source[block])) if array else _read_own(source, block)
        if digested:
            digested.pop().result()  # so that no more than two blocks wait
        digested.append(thread.submit(written.add, block, values))
        return values

    def tell(count: int) -> None:
        if bar is not None:
            bar.update(count)
        if progress is not None:
            progress(count)

    digested: list[Future[None]] = []
    bar: Any = None
    if isinstance(source, GenericDataChunkIterator) and source.display_progress:
        bar = source.progress_bar
        bar.unit, bar.unit_scale = "B", True
        bar.reset(total=math.prod(source.maxshape) * source.dtype.itemsize)
    with ThreadPoolExecutor(1, thread_name_prefix="nwbpipe-digest") as thread:
        write_chunked(dataset, read, memory_bytes=memory_bytes, progress=tell)
        for future in digested:
            future.result()
    if bar is not None:
        bar.close()
    return written.digest()


def _read_own(source: GenericDataChunkIterator, block: tuple[slice, ...]) -> np.ndarray:
    """Return the values of a block, in C order, in memory that the source does not write to.

    hdmf has written a block before it asks for the next, so a source may fill one buffer again and again; here the
    threads may not be done with it by then. What nobody else refers to, and what lies in a file, is not copied.
    """
    values = np.asarray(source._get_data(selection=block))
    ordered = make_contiguous(values)
    if ordered is not values:
        return ordered
    owner: Any = values
    while isinstance(owner, np.ndarray):
        owner = owner.base
    fresh = np.empty(0)
    is_own = values.base is None and sys.getrefcount(values) - 1 <= sys.getrefcount(fresh)  # `ordered` is one more
    return values if is_own or isinstance(owner, mmap.mmap | bytes) else values.copy()
