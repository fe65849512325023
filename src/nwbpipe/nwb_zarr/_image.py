"""An NWB-Zarr folder as an HDF5 file that exists nowhere: h5py reads it, and each chunk when it is asked for.

HDF5 writes the structure, the attributes and all that is small into pages in memory. A large array becomes a chunked
dataset whose chunks are allocated and never written; where HDF5 later reads at their addresses, the chunk is read
from the folder. Whatever reads session files through h5py so reads NWB-Zarr as well, and no value is copied before it
is used.
"""

from __future__ import annotations

import io
from abc import abstractmethod
from collections import OrderedDict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbpipe.nwb_zarr._convert import closed_pickles, prepare_hdmf

_PAGE = 2**14
_CACHED = 2**26  # bytes of chunks that an open file keeps


class _PositionedFile(io.RawIOBase):
    """A file that is read from a position on."""

    def __init__(self, size: int) -> None:
        self.size, self._at = size, 0

    @abstractmethod
    def read_into(self, view: memoryview, at: int) -> None:
        """Fill a view with the bytes from a position on."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read bytes."""
        view = memoryview(buffer).cast("B")
        count = max(min(len(view), self.size - self._at), 0)
        self.read_into(view[:count], self._at)
        self._at += count
        return count


class Pages(_PositionedFile):
    """A file in memory whose holes take no place."""

    def __init__(self) -> None:
        super().__init__(0)
        self._pages: dict[int, bytearray] = {}

    def writable(self) -> bool:
        """Return True."""
        return True

    def truncate(self, size: int | None = None) -> int:
        """Change the size; what lies behind it is never read."""
        self.size = self._at if size is None else size
        return self.size

    def write(self, data: Any) -> int:
        """Write bytes."""
        view, filled = memoryview(data).cast("B"), 0
        while filled < len(view):
            number, within = divmod(self._at + filled, _PAGE)
            part = view[filled : filled + _PAGE - within]
            self._pages.setdefault(number, bytearray(_PAGE))[within : within + len(part)] = part
            filled += len(part)
        self._at += filled
        self.size = max(self.size, self._at)
        return filled

    def read_into(self, view: memoryview, at: int) -> None:
        """Fill a view with the bytes from a position on."""
        filled = 0
        while filled < len(view):
            number, within = divmod(at + filled, _PAGE)
            count = min(len(view) - filled, _PAGE - within)
            page = self._pages.get(number)
            view[filled : filled + count] = bytes(count) if page is None else page[within : within + count]
            filled += count


class FolderImage:
    """The structure of an NWB-Zarr folder as HDF5, and where its chunks lie in it.

    Parameters
    ----------
    pages : Pages
        The HDF5 file.
    arrays : list of tuple
        The HDF5 path of each large dataset, and its Zarr array.
    """

    def __init__(self, pages: Pages, arrays: list[tuple[str, Any]]) -> None:
        self.pages = pages
        self.arrays = [array for _, array in arrays]
        self.chunks: list[tuple[int, ...]] = []
        starts: list[int] = []
        positions: list[tuple[int, tuple[int, ...]]] = []
        with h5py.File("image.nwb", "r", driver="fileobj", fileobj=pages) as file:
            for number, (path, _) in enumerate(arrays):
                dataset = file[path]
                self.chunks.append(dataset.chunks)

                def note(info: Any, number: int = number) -> None:
                    starts.append(info.byte_offset)
                    positions.append((number, info.chunk_offset))

                dataset.id.chunk_iter(note)
        order = np.argsort(np.array(starts, dtype=np.int64))
        self.starts: NDArray[np.int64] = np.array(starts, dtype=np.int64)[order]
        self.positions = [positions[row] for row in order]

    def read_chunk(self, row: int) -> bytes:
        """Return the bytes of a chunk as HDF5 has it: filled up where it reaches over the array's end."""
        number, first = self.positions[row]
        array, shape = self.arrays[number], self.chunks[number]
        values = array[tuple(slice(start, start + size) for start, size in zip(first, shape, strict=True))]
        if values.shape != shape:
            missing = [(0, size - count) for size, count in zip(shape, values.shape, strict=True)]
            values = np.pad(values, missing)
        return np.ascontiguousarray(values, dtype=array.dtype).tobytes()

    def size_of(self, row: int) -> int:
        """Return the number of bytes of a chunk."""
        number, _ = self.positions[row]
        return int(np.prod(self.chunks[number])) * int(self.arrays[number].dtype.itemsize)

    def open(self, name: str) -> tuple[h5py.File, ImageReader]:
        """Open it for reading; return the file, and the reader that knows of failures."""
        reader = ImageReader(self)
        return h5py.File(name, "r", driver="fileobj", fileobj=reader), reader


class ImageReader(_PositionedFile):
    """One open image: pages, and chunks from the folder at their addresses.

    Attributes
    ----------
    failure : Exception or None
        The first error of reading a chunk, which HDF5 puts in its own words.
    """

    def __init__(self, image: FolderImage) -> None:
        super().__init__(image.pages.size)
        self._image = image
        self._chunks: OrderedDict[int, bytes] = OrderedDict()
        self._kept = 0
        self.failure: Exception | None = None

    def read_into(self, view: memoryview, at: int) -> None:
        """Fill a view with the bytes from a position on."""
        image, stop = self._image, at + len(view)
        image.pages.read_into(view, at)
        row = max(int(np.searchsorted(image.starts, at, side="right")) - 1, 0)
        while row < len(image.starts) and image.starts[row] < stop:
            start = int(image.starts[row])
            low, high = max(at, start), min(stop, start + image.size_of(row))
            if low < high:
                view[low - at : high - at] = self._read_chunk(row)[low - start : high - start]
            row += 1

    def _read_chunk(self, row: int) -> bytes:
        if row in self._chunks:
            self._chunks.move_to_end(row)
            return self._chunks[row]
        try:
            chunk = self._image.read_chunk(row)
        except Exception as error:  # a codec fails with anything
            self.failure = self.failure or error
            msg = f"a chunk can't be read: {type(error).__name__}: {error}"
            raise OSError(msg) from error
        self._chunks[row] = chunk
        self._kept += len(chunk)
        while self._kept > _CACHED and len(self._chunks) > 1:
            self._kept -= len(self._chunks.popitem(last=False)[1])
        return chunk


def build_image(folder: Path) -> FolderImage:
    """Read the structure of an NWB-Zarr folder.

    Raises
    ------
    UnsupportedFileError
        If it is not NWB-Zarr (NWB 2, Zarr 2).
    UnsafeFileError
        If a link leads out of it.
    DamagedFileError
        If hdmf can't read it.
    ToolMissingError
        If hdmf-zarr is not installed.
    """
    with prepare_hdmf(str(folder)), closed_pickles():
        from nwbpipe.nwb_zarr._io import ImageWriter, export_to_hdf5

        pages = Pages()
        with (
            h5py.File("image.nwb", "w", driver="fileobj", fileobj=pages, libver="latest") as file,
            ImageWriter("image.nwb", file=file, mode="w") as writer,
        ):
            export_to_hdf5(folder, writer, file)
            arrays = writer.arrays
        return FolderImage(pages, arrays)
