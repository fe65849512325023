"""Look at the raw files of a source before a reader opens them: they may come from strangers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from nwbpipe.disk import kind_of
from nwbpipe.errors import SourceError
from nwbpipe.files import require_safe

_HDF5 = {".h5", ".hdf5", ".hdf", ".he5", ".mat", ".slp", ".nwb", ".ims", ".brw", ".jld2", ".ma", ".loom", ".nd2h5"}
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def screen_raw_files(paths: Iterable[Path]) -> None:
    """Refuse pipes and devices, which a reader waits for, and HDF5 files that lead out of their folder.

    Parameters
    ----------
    paths : iterable of Path
        Raw files and folders. One that does not exist passes: the reader says so.

    Raises
    ------
    SourceError
        If something is not a regular file.
    UnsafeFileError, DamagedFileError
        If an HDF5 file is unsafe: see `nwbpipe.files.require_safe`.
    """
    for path in paths:
        for file, status in _iter_files(path):
            if not stat.S_ISREG(status.st_mode):
                raise SourceError(
                    "a raw file is not a regular file",
                    where=str(file),
                    expected="a file",
                    found=kind_of(status.st_mode),
                    hint="remove it, or move it out of the folder of the source",
                )
            if file.suffix.lower() in _HDF5 and status.st_size and _is_hdf5(file):
                require_safe(file)


def _iter_files(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield each name below a path that is not a folder, with the stat of what it leads to."""
    if not path.is_dir():
        if path.exists():
            yield path, path.stat()
        return
    for root, _, names in os.walk(path):
        for name in names:
            file = Path(root, name)
            if file.exists():
                yield file, file.stat()


def _is_hdf5(file: Path) -> bool:
    """Return True if a file begins as HDF5 does, or as MATLAB's files of HDF5: after 512 bytes."""
    with file.open("rb") as opened:
        start = opened.read(520)
    return start.startswith(_SIGNATURE) or start[512:] == _SIGNATURE
