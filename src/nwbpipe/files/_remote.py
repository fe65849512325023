"""Reading HDF5 files that are not on this machine, wherever they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from nwbpipe.errors import ConflictError, DamagedFileError, UnsupportedFileError
from nwbpipe.files._change_in_place import open_external_links_as_files
from nwbpipe.files._commit import SEARCHED
from nwbpipe.files._journal import find_superblock
from nwbpipe.files.s3 import s3_open
from nwbpipe.stores import open_location
from nwbpipe.stores.s3 import public_url


@contextmanager
def open_remote(url: Path | str, *, keep: bool = False) -> Iterator[h5py.File]:
    """Open an HDF5 file at a URL for reading, fetching only what is read.

    Parameters
    ----------
    url : path
        ``s3://bucket/key``, read by nwbpipe's own connection; or any URL that fsspec knows (``gs://``, ``az://``).
    keep : bool
        Whether to keep what is read of an object in S3 in the cache on this disk, since it will be read again.

    Yields
    ------
    h5py.File

    Raises
    ------
    FileAccessError
        If it is missing or can't be read, or the package for that kind of URL is not installed.
    UnsupportedFileError, DamagedFileError
        If it is not HDF5, or damaged.
    ConflictError
        If it was changed meanwhile.
    """
    if str(url).startswith("s3:"):
        with s3_open(url, keep=keep) as file:
            yield file
        return
    store, name = open_location(url)
    before = store.stat(name)
    where = public_url(url)
    with store.open(name) as raw, open_external_links_as_files():
        if find_superblock(raw.read(SEARCHED)) is None:
            raise UnsupportedFileError("not an HDF5 file", where=where, expected="an NWB 2 file (HDF5)")
        raw.seek(0)
        try:
            file = h5py.File(where, "r", driver="fileobj", fileobj=raw)
        except OSError as error:
            msg = "the file is damaged or truncated"
            raise DamagedFileError(msg, where=where, found=str(error), hint="restore it from a copy") from error
        with file:
            yield file
    if store.stat(name).tag != before.tag:
        msg = "another writer changed the file while it was read"
        raise ConflictError(msg, where=where, hint="do it again, on the new state")
