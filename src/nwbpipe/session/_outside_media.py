"""External files of a session file; nwbpipe opens none that lies outside of its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from nwbpipe.errors import InputError
from nwbpipe.provenance import leads_outside
from nwbpipe.session._reader import SessionReader


def list_external_files(reader: SessionReader) -> Iterator[tuple[str, str]]:
    """Yield the path of each dataset that names external files, with each name in it."""
    for item in reader.objects:
        path = f"{item.path}/external_file"
        media = reader.file.get(path) if "ImageSeries" in item.lineage else None
        if not isinstance(media, h5py.Dataset) or h5py.check_string_dtype(media.dtype) is None or media.shape is None:
            continue
        for name in np.atleast_1d(media.asstr(errors="replace")[()]).reshape(-1):
            yield path, str(name)


def find_outside_media(reader: SessionReader, folder: Path | str) -> Iterator[tuple[str, str]]:
    """Yield the path of each dataset that names an external file outside of the folder, and the name.

    Parameters
    ----------
    reader : SessionReader
        The open file.
    folder : Path or str
        Its folder, or the URL of that.
    """
    for path, name in list_external_files(reader):
        if "://" not in name and leads_outside(folder, name):
            yield path, name


def locate_external_file(folder: Path, name: str, where: str) -> Path:
    """Return the path of an external file on this machine.

    Parameters
    ----------
    folder : Path
        Folder of the session file.
    name : str
        The file's name, relative to it.
    where : str
        HDF5 path of the object that names it.

    Raises
    ------
    InputError
        If it is missing, or lies outside the folder.
    """
    if leads_outside(folder, name):
        msg = "an external file lies outside the folder of the NWB file"
        expected, hint = "a relative path below that folder", "link or copy it there"
        raise InputError(msg, where=where, expected=expected, found=name, hint=hint)
    resolved = (folder / name).resolve()
    if not resolved.is_file():
        msg = f"the external file {name} does not exist"
        raise InputError(msg, where=where, expected=str(resolved), hint="put it back beside the NWB file")
    return resolved
