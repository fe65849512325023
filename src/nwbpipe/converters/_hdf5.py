"""Writing a built session to a new HDF5 file: small data by hdmf, large data by `nwbpipe.session._large_data`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from nwbpipe.converters._build import BuiltSession
from nwbpipe.files import Codec, Layout
from nwbpipe.session._large_data import fill_large, take_large


@dataclass(frozen=True)
class Storage:
    """How a new file is stored.

    Attributes
    ----------
    codec : Codec
        Compression of large data.
    layout : Layout
        Paged (few requests over a network) or plain (for readers older than HDF5 1.10).
    memory_bytes : int
        What the conversion may hold of the data at a time, in all.
    """

    codec: Codec = Codec.GZIP
    layout: Layout = Layout.PAGED
    memory_bytes: int = 2**30

    @property
    def buffer_bytes(self) -> int:
        """Part of the memory for chunks that wait; the rest is for the reader, its caches and its copies."""
        return self.memory_bytes // 4


def write_hdf5(built: BuiltSession, path: Path, storage: Storage | None = None) -> None:
    """Write a built session into a new file.

    Parameters
    ----------
    built : Built
        The session; its large data are replaced by empty iterators, so that it can be written only once.
    path : Path
        The file.
    storage : Storage, optional
        How.
    """
    from neuroconv.tools.nwb_helpers import configure_backend, get_default_backend_configuration
    from pynwb import NWBHDF5IO

    storage = storage or Storage()
    chosen = {id(item) for source in built.sources if _chooses_chunks(source.options)
              for item in built.added[source.name].objects}  # fmt: skip
    late = take_large(built.nwbfile.all_children(), storage.codec, own_chunks=chosen)
    configuration = get_default_backend_configuration(nwbfile=built.nwbfile, backend="hdf5")
    configure_backend(nwbfile=built.nwbfile, backend_configuration=configuration)
    with h5py.File(path, "w", **storage.layout.options()) as file, NWBHDF5IO(file=file, mode="w") as io:
        io.write(built.nwbfile)
        fill_large(file, late, io.manager.get_builder, storage.buffer_bytes)


def _chooses_chunks(options: dict[str, Any]) -> bool:
    return bool({"chunk_shape", "chunk_mb"} & set(options.get("iterator_options") or {}))
