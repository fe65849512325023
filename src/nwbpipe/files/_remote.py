"""Reading HDF5 files in stores, wherever they are; uploading and caching them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from traceback import clear_frames
from typing import IO

import h5py

from nwbpipe.errors import ConflictError, DamagedFileError, RequestError, UnsupportedFileError
from nwbpipe.files._change_in_place import open_external_links_as_files
from nwbpipe.files._commit import SEARCHED
from nwbpipe.files._journal import find_superblock
from nwbpipe.files._screening import require_safe_remote
from nwbpipe.files._view import View
from nwbpipe.files.s3 import FollowingObject, RemoteState, read_state, s3_state, s3_upload
from nwbpipe.stores import EXTRAS, CachedFile, RangedFile, RangeReader, Store, open_location
from nwbpipe.stores.s3 import connect, parse_address, public_url

_PAGE_BUFFER = 4 * 2**20


@contextmanager
def open_remote(url: Path | str, *, keep: bool = False) -> Iterator[h5py.File]:
    """Open an HDF5 file at a URL for reading; see `open_remote_state`."""
    with open_remote_state(url, keep=keep) as (file, _):
        yield file


@contextmanager
def open_remote_state(url: Path | str, *, keep: bool = False) -> Iterator[tuple[h5py.File, RemoteState]]:
    """Open an HDF5 file at a URL for reading, fetching only what is read.

    Where the store has conditional writes (S3, for one), all that is read is one version of the file, whoever commits
    meanwhile.

    Parameters
    ----------
    url : path
        ``s3://bucket/key``, or another URL that `nwbpipe.stores.open_store` knows.
    keep : bool
        Keep the bytes that are read in the cache on this disk, since they will be read again.

    Yields
    ------
    h5py.File
    RemoteState
        The version that is read.

    Raises
    ------
    FileAccessError
        If it is missing or can't be read, or the package for that kind of URL is not installed.
    UnsupportedFileError, DamagedFileError
        If it is not HDF5, or damaged.
    ConflictError
        If it was changed, and the version that is read is gone.
    """
    store, name = open_location(url)
    with ExitStack() as stack:
        stack.enter_context(closing(store))
        if not store.conditional_writes:
            yield stack.enter_context(_open_unversioned(store, name))
            return
        version = store.open_ranged(name)
        require_hdf5(version)
        source = stack.enter_context(CachedFile(version, version.location)) if keep else version
        stack.enter_context(raise_read_failure(version))
        stack.enter_context(open_external_links_as_files())
        file = stack.enter_context(_open_for_reading(version, source))
        require_safe_remote(file, version.location, version.tag)
        yield file, read_state(version)


@contextmanager
def _open_unversioned(store: Store, name: str) -> Iterator[tuple[h5py.File, RemoteState]]:
    """Open a file where ranges can't be asked of one version: the version is looked at before and after."""
    entry = store.stat(name)
    url = public_url(store.location(name))
    with store.open(name) as raw, open_external_links_as_files():
        start = raw.read(SEARCHED)
        if find_superblock(start) is None:
            raise _foreign_error(url, start)
        raw.seek(0)
        try:
            file = _open_file(url, "r", raw)
        except OSError as error:
            raise _damaged_error(url, error) from error
        with file:
            require_safe_remote(file, url, entry.tag)
            yield file, RemoteState(entry.tag, entry.size, ())
    if store.stat(name).tag != entry.tag:
        msg = "another writer changed the file while it was read"
        raise ConflictError(msg, where=url, hint="do it again, on the new state")


def require_changeable(url: Path | str) -> None:
    """Refuse a file in a store where a writer can't tell that another one came first.

    Raises
    ------
    RequestError
        If so.
    """
    store, _ = open_location(url)
    if not store.conditional_writes:
        msg = "a session file there can be read, but not changed or written: not supported"
        raise RequestError(
            msg,
            where=public_url(url),
            expected="a local file, s3://bucket/key, or another store with conditional writes",
            hint=f'pip install "nwbpipe[{EXTRAS[scheme]}]"'
            if (scheme := str(url).partition(":")[0]) in EXTRAS
            else "download it, change it, and upload it as a whole",
        )


def upload_file(source: Path, url: Path | str, *, replaces: str | None = None) -> str:
    """Store a local file under a URL, whole or not at all; return its tag.

    Parameters
    ----------
    source : Path
        The file.
    url : path
        Its address in a store with conditional writes.
    replaces : str, optional
        Tag of the version that may be replaced; by default there must be no file.

    Raises
    ------
    ConflictError
        If the file exists, or has another version. It is left alone.
    FileAccessError
        If it can't be stored.
    """
    if str(url).startswith("s3:"):
        return s3_upload(source, url, replaces=replaces)
    store, name = open_location(url)
    with closing(store):
        return store.put_file(source, name, if_absent=replaces is None, if_tag=replaces)


def read_remote_state(url: Path | str) -> RemoteState:
    """Return the present version of a file in a store.

    Raises
    ------
    FileAccessError
        If it is missing, or the store can't be asked.
    """
    if str(url).startswith("s3:"):
        return s3_state(url)
    store, name = open_location(url)
    with closing(store):
        entry = store.stat(name)
    return RemoteState(entry.tag, entry.size, ())


@contextmanager
def cache_for_tool(url: Path | str) -> Iterator[CachedFile]:
    """Open a file in a store for a tool that reads it for hours while nwbpipe commits to it.

    In S3 the reader goes on with the next version where only such commits lie between. Elsewhere versions don't tell
    that, and the file is downloaded first.

    Raises
    ------
    FileAccessError, ConflictError
        If it can't be read; from the reading, too.
    """
    with ExitStack() as stack:
        if str(url).startswith("s3:"):
            version: RangedFile = FollowingObject(stack.enter_context(closing(connect())), parse_address(url))
            yield stack.enter_context(CachedFile(version, str(url)))
            return
        store, name = open_location(url)
        stack.enter_context(closing(store))
        cached = stack.enter_context(CachedFile(store.open_ranged(name), str(url)))
        cached.fetch_whole()
        yield cached


# HDF5 over a version ------------------------------------------------------------------------------------------


def _open_for_reading(version: RangedFile, source: RangedFile | CachedFile) -> h5py.File:
    """Open, with HDF5's buffer of pages where the file has some."""
    file = open_view(RangeReader(source), version, "r")
    properties = file.id.get_create_plist()
    strategy, _, _ = properties.get_file_space_strategy()
    if strategy != h5py.h5f.FSPACE_STRATEGY_PAGE:
        return file
    page = properties.get_file_space_page_size()
    file.close()
    return open_view(RangeReader(source), version, "r", page_buf_size=max(_PAGE_BUFFER // page, 1) * page)


def require_hdf5(version: RangedFile) -> None:
    """Refuse a file that is not HDF5."""
    start = version.read_at(SEARCHED, 0)
    if find_superblock(start) is None:
        raise _foreign_error(version.location, start)


def open_view(
    view: View | RangeReader, version: RangedFile, mode: str, page_buf_size: int | None = None
) -> h5py.File:
    """Open HDF5 over a view of a version.

    Raises
    ------
    DamagedFileError
        If HDF5 can't open it.
    """
    view.seek(0)
    try:
        return _open_file(version.location, mode, view, page_buf_size)
    except OSError as error:
        if version.failure is not None:
            raise version.failure from None
        raise _damaged_error(version.location, error) from error


def _open_file(
    location: str, mode: str, source: View | RangeReader | IO[bytes], page_buf_size: int | None = None
) -> h5py.File:
    try:
        return h5py.File(location, mode, driver="fileobj", fileobj=source, page_buf_size=page_buf_size)
    except Exception as error:
        # h5py's frames hold HDF5's list of properties, and that the source, where Python's collector does not see it.
        # The source keeps the error: a ring, which HDF5 frees after Python's end, and crashes.
        clear_frames(error.__traceback__)
        raise


@contextmanager
def raise_read_failure(version: RangedFile) -> Iterator[None]:
    """Raise the first error of reading, which HDF5 may have put in other words, or hidden."""
    try:
        yield
    except BaseException as error:
        if version.failure is not None and error is not version.failure and isinstance(error, Exception):
            raise version.failure from None
        raise
    if version.failure is not None:
        raise version.failure


def _foreign_error(where: str, start: bytes) -> UnsupportedFileError:
    description = f"a file that starts with {start[:8]!r}"
    return UnsupportedFileError("not an HDF5 file", where=where, expected="an NWB 2 file (HDF5)", found=description)


def _damaged_error(where: str, error: OSError) -> DamagedFileError:
    msg = "the file is damaged or truncated"
    return DamagedFileError(msg, where=where, found=str(error), hint="restore it from a copy")
