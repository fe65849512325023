"""Write NWB-Zarr and read it back by hdmf-zarr, block by block; imported where hdmf-zarr is.

hdmf and hdmf-zarr read each dataset into memory as a whole, lose the chunks on the way back, and keep references as
pickles, which run code when they are read. These two classes don't.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numcodecs
import numpy as np
import zarr
from hdmf_zarr import ZarrIO
from pynwb import NWBHDF5IO, get_manager, get_type_map

from nwbpipe.errors import UnsafeFileError, UnsupportedFileError
from nwbpipe.foreign import read_pickle

_BLOCK = 2**26  # bytes that are read at once
_HERE = (".", "")
SPECIFICATIONS = "specifications"


class ClosedPickle(numcodecs.abc.Codec):  # type: ignore[misc]
    """The codec of hdmf-zarr's references; a pickle is read as data, nothing of it is called."""

    codec_id = "pickle"

    def __init__(self, protocol: int = 5) -> None:
        self.protocol = protocol

    def encode(self, buf: Any) -> Any:
        """Refuse: references are written as JSON."""
        raise NotImplementedError("references are written as JSON, never as a pickle")

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Return the objects of a chunk."""
        values = read_pickle(bytes(memoryview(buf)))
        if out is None:
            return values
        out[...] = values
        return out


class ZarrWriter(ZarrIO):  # type: ignore[misc]
    """Write an NWB file to a folder: chunks as they are, references as JSON."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), manager=get_manager(), mode="w", object_codec_class=numcodecs.JSON)

    def __list_fill__(self, parent: Any, name: str, data: Any, options: Any = None) -> Any:
        """Write a dataset, block by block if it comes from HDF5."""
        settings = dict((options or {}).get("io_settings") or {})
        if settings.get("filters"):  # those of the HDF5 file; by default Zarr would compress the compressed again
            settings["compressor"] = None
        if not isinstance(data, h5py.Dataset) or not data.shape:
            return super().__list_fill__(parent, name, data, {**(options or {}), "io_settings": settings})
        if h5py.check_string_dtype(data.dtype) is not None:
            dataset = parent.require_dataset(name, shape=data.shape, dtype=str, **settings)
            dataset.attrs["zarr_dtype"] = self.__serial_dtype__(str)
            if data.size:
                dataset[...] = np.asarray(h5py.Dataset(data.id).asstr()[()], dtype=object)
            return dataset
        if data.dtype.kind not in "fiubc":
            return super().__list_fill__(parent, name, data, {**(options or {}), "io_settings": settings})
        dataset = parent.require_dataset(name, shape=data.shape, dtype=data.dtype, **settings)
        dataset.attrs["zarr_dtype"] = self.__serial_dtype__(data.dtype)
        for block in iter_blocks(data.shape, data.dtype, data.chunks):
            dataset[block] = data[block]
        return dataset


class ZarrReader(ZarrIO):  # type: ignore[misc]
    """Read an NWB file from a folder: nothing outside of it is followed."""

    def __init__(self, path: Path) -> None:
        types = get_type_map()
        ZarrIO.load_namespaces(namespace_catalog=types, path=str(path))
        super().__init__(str(path), manager=_make_manager(types), mode="r")

    def resolve_ref(self, zarr_ref: Any) -> Any:
        """Return what a link or reference leads to.

        Raises
        ------
        UnsafeFileError
            If it leads out of the folder.
        """
        source = zarr_ref.get("source", None)
        if source not in _HERE:
            raise UnsafeFileError(
                "a link leads out of the NWB-Zarr folder",
                where=str(self.source),
                found=f"{source}: {zarr_ref.get('path')}",
                hint="export it as a whole with the program that wrote it",
            )
        return super().resolve_ref({**zarr_ref, "source": "."})


class Hdf5Writer(NWBHDF5IO):  # type: ignore[misc]
    """Write what was read from Zarr to HDF5, with its chunks, compressed by gzip."""

    def __list_fill__(self, parent: Any, name: str, data: Any, options: Any = None) -> Any:
        """Write a dataset, block by block if it comes from Zarr."""
        if not isinstance(data, zarr.Array) or data.dtype.kind not in "fiubc" or not data.shape or not data.size:
            return NWBHDF5IO.__list_fill__(parent, name, data, options)
        large = data.nbytes > _SMALL
        chunks = tuple(map(min, data.chunks, data.shape))  # Zarr allows a chunk that is larger than the array
        layout = {"chunks": chunks, "compression": "gzip", "shuffle": True} if large else {}
        dataset = parent.create_dataset(name, shape=data.shape, dtype=data.dtype, **layout)
        for block in iter_blocks(data.shape, data.dtype, data.chunks):
            dataset[block] = data[block]
        return dataset


class ImageWriter(Hdf5Writer):
    """Write the structure of what was read from Zarr: large arrays get their place in the file, and no values.

    Attributes
    ----------
    arrays : list of tuple
        The HDF5 path of each of them, and its Zarr array.
    """

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(path, **options)
        self.arrays: list[tuple[str, zarr.Array]] = []

    def __list_fill__(self, parent: Any, name: str, data: Any, options: Any = None) -> Any:
        """Write a dataset, or make room for it."""
        if not isinstance(data, zarr.Array) or data.dtype.kind not in "fiubc" or data.nbytes <= _COPIED:
            return super().__list_fill__(parent, name, data, options)
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk(_fit_chunks(data))
        settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space, kind = h5py.h5s.create_simple(data.shape), h5py.h5t.py_create(data.dtype, logical=True)
        dataset = h5py.Dataset(h5py.h5d.create(parent.id, name.encode(), kind, space, settings))
        self.arrays.append((dataset.name, data))
        return dataset


_SMALL = 2**16  # bytes that are not worth a compressed chunk
_COPIED = 2**18  # bytes of an array that are copied at once
_LARGEST = 2**31  # bytes of a chunk of HDF5, which allows less than 2**32


def _fit_chunks(data: zarr.Array) -> tuple[int, ...]:
    """Return the chunks of an array for HDF5: not larger than it, and not larger than HDF5 allows."""
    chunks = list(map(min, data.chunks, data.shape))
    for axis in range(len(chunks)):
        while chunks[axis] > 1 and int(np.prod(chunks)) * data.dtype.itemsize > _LARGEST:
            chunks[axis] = -(-chunks[axis] // 2)
    return tuple(chunks)


def export_to_hdf5(folder: Path, writer: Hdf5Writer, file: h5py.File) -> None:
    """Write what is in an NWB-Zarr folder, with its schemas, to an open and empty HDF5 file."""
    keeps_schemas = require_nwb_zarr(folder)
    with ZarrReader(folder) as source:
        writer.export(src_io=source, write_args={"link_data": False}, cache_spec=not keeps_schemas)
    if keeps_schemas:
        copy_schemas_to_hdf5(folder, file)


def iter_blocks(shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[int, ...] | None) -> Iterator[slice]:
    """Yield the rows that are read at once: whole chunks, and some 64 MB."""
    row = max(int(np.prod(shape[1:])) * dtype.itemsize, 1)
    step = max(_BLOCK // row, 1)
    if chunks is not None:
        step = max(step // chunks[0], 1) * chunks[0]
    for first in range(0, shape[0], step):
        yield slice(first, min(first + step, shape[0]))


def copy_schemas_to_zarr(file: h5py.File, path: Path) -> None:
    """Copy the schemas of an HDF5 file, text by text, and consolidate the metadata."""
    root = zarr.open_group(str(path), mode="r+")
    for name, text in _list_texts(file[file.attrs[".specloc"]]):
        dataset = root.require_group(f"{SPECIFICATIONS}/{name.rpartition('/')[0]}").require_dataset(
            name.rpartition("/")[2], shape=(1,), dtype=object, object_codec=numcodecs.JSON()
        )
        dataset[0] = text
        dataset.attrs["zarr_dtype"] = "scalar"
    root.attrs[".specloc"] = SPECIFICATIONS
    zarr.consolidate_metadata(str(path))


def copy_schemas_to_hdf5(path: Path, file: h5py.File) -> None:
    """Copy the schemas of an NWB-Zarr folder, text by text."""
    root = zarr.open_group(str(path), mode="r")
    group = file.require_group(SPECIFICATIONS)

    def copy(name: str, item: Any) -> None:
        if isinstance(item, zarr.Array):
            group.create_dataset(name, data=str(item[0]), dtype=h5py.string_dtype())

    root[root.attrs[".specloc"]].visititems(copy)
    file.attrs[".specloc"] = group.ref


def require_nwb_zarr(path: Path) -> bool:
    """Refuse a folder that is not NWB-Zarr; return True if it has a copy of the schemas that are written.

    Raises
    ------
    UnsupportedFileError
        If it is no Zarr, or not NWB 2.
    """
    try:
        root = zarr.open_group(str(path), mode="r")
    except (ValueError, KeyError, OSError) as error:
        hint = "version 3 of Zarr is not supported" if (path / "zarr.json").exists() else None
        raise UnsupportedFileError("not an NWB-Zarr folder", where=str(path), found=str(error), hint=hint) from error
    version = str(root.attrs.get("nwb_version", "none"))
    if not version.startswith("2."):
        raise UnsupportedFileError("not NWB 2", where=str(path), expected="nwb_version 2", found=version)
    return isinstance(root.attrs.get(".specloc"), str) and is_current(version)


def is_current(version: str) -> bool:
    """Return True if pynwb writes this version of NWB: the schemas of another would not fit what it writes."""
    return str(version) == str(get_manager().namespace_catalog.get_namespace(name="core").version)


def _list_texts(group: h5py.Group) -> list[tuple[str, str]]:
    texts: list[tuple[str, str]] = []

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            texts.append((name, item.asstr()[()]))

    group.visititems(collect)
    return texts


def _make_manager(types: Any) -> Any:
    from hdmf.build import BuildManager

    return BuildManager(types)
