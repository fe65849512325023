"""Write a built session to a new HDF5 file: small data by hdmf, large data by `nwbpipe.session._large_data`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwbpipe.converters._build import BuiltSession
from nwbpipe.converters._warnings import log_warnings
from nwbpipe.converters.neuroconv_fixes import set_default_storage
from nwbpipe.errors import NwbpipeError, Problem, RequestError, WorkError
from nwbpipe.files import Codec, Layout, open_for_writing
from nwbpipe.session._large_data import fill_large, take_large

_LEAST_MEMORY_MB = 64


@dataclass(frozen=True)
class Storage:
    """Storage of a new file.

    Attributes
    ----------
    codec : Codec
        Compression of large data.
    layout : Layout
        Paged (few requests over a network) or plain (for readers older than HDF5 1.10).
    memory_bytes : int
        The memory that the conversion may use for data at a time.
    """

    codec: Codec = Codec.GZIP
    layout: Layout = Layout.PAGED
    memory_bytes: int = 2**30

    @classmethod
    def of(cls, compression: Codec | str, layout: Layout | str, memory_mb: int) -> Storage:
        """Check a user's choices, before anything is read.

        Raises
        ------
        RequestError, ToolMissingError
            If a choice is unknown, the memory is too little, or the codec is not installed.
        """
        problems = []
        if compression not in list(Codec):
            problems.append(Problem("no such compression", expected=", ".join(Codec), found=str(compression)))
        if layout not in list(Layout):
            problems.append(Problem("no such layout", expected=", ".join(Layout), found=str(layout)))
        if memory_mb < _LEAST_MEMORY_MB:
            least = f"{_LEAST_MEMORY_MB} MiB or more"
            problems.append(Problem("too little memory", expected=least, found=f"{memory_mb} MiB"))
        if problems:
            raise RequestError("the file can't be stored in that way", problems=problems)
        Codec(compression).options()  # refuses what is not installed
        return cls(Codec(compression), Layout(layout), memory_mb * 2**20)

    @property
    def buffer_bytes(self) -> int:
        """The part of the memory for chunks that wait; the rest is for the reader, its caches and its copies."""
        return self.memory_bytes // 4


def write_hdf5(
    built: BuiltSession,
    path: Path,
    storage: Storage | None = None,
    progress: Callable[[int], object] | None = None,
) -> dict[str, bytes]:
    """Write a built session into a new file; return the digests of its large datasets' values, by path.

    Parameters
    ----------
    built : BuiltSession
        The session; its large data are replaced by empty iterators, so that it can be written only once.
    path : Path
        The file.
    storage : Storage, optional
        Compression, layout and memory.
    progress : callable, optional
        Called with the number of bytes of each block of large data that was read.

    Raises
    ------
    WorkError
        If pynwb or a reader fails while the data are written.
    """
    from pynwb import NWBHDF5IO

    storage = storage or Storage()
    chosen = {
        id(item) for source in built.sources if _chooses_chunks(source.options) for item in source.added.objects
    }
    with log_warnings("writing"), _translate_errors(path):
        late = take_large(built.nwbfile.all_children(), storage.codec, own_chunks=chosen)
        set_default_storage(built.nwbfile)
        with open_for_writing(path, "w", **storage.layout.options()) as file, NWBHDF5IO(file=file, mode="w") as io:
            io.write(built.nwbfile)
            return fill_large(file, late, io.manager.get_builder, storage.buffer_bytes, progress)


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (NwbpipeError, OSError):
        raise
    except Exception as error:
        raise WorkError(
            "writing the NWB file failed", where=str(path), found=f"{type(error).__name__}: {error}",
            hint="nothing was changed; see the message above, or run with --debug",
        ) from error  # fmt: skip


def _chooses_chunks(options: dict[str, Any]) -> bool:
    return bool({"chunk_shape", "chunk_mb"} & set(options.get("iterator_options") or {}))
