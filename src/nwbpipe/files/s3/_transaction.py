"""A change to an HDF5 file in S3 that happens as a whole or not at all, and reading one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import h5py

from nwbpipe.errors import DamagedFileError, UnsupportedFileError
from nwbpipe.files._change_in_place import open_external_links_as_files
from nwbpipe.files._commit import SEARCHED
from nwbpipe.files._journal import find_superblock
from nwbpipe.files._view import View
from nwbpipe.files.s3._commit import ObjectCommit
from nwbpipe.files.s3._conditions import is_conditional
from nwbpipe.stores import CachedFile
from nwbpipe.stores.s3 import Address, ObjectReader, RemoteObject, connect, parse_address

_PAGE_BUFFER = 4 * 2**20


@contextmanager
def s3_transaction(
    url: Path | str,
    *,
    check: Callable[[h5py.File], None] | None = None,
    unsafe_no_cas: bool = False,
) -> Iterator[h5py.File]:
    """Change an HDF5 file in S3; see `nwbpipe.files.transaction`.

    Raises
    ------
    ConflictError
        If another writer committed since the block began. Nothing is written.
    """
    address = parse_address(url)
    with closing(connect()) as client:
        old = RemoteObject(client, address)
        _require_hdf5(old)
        checked = is_conditional(client, address, unsafe_no_cas=unsafe_no_cas)
        view = View(old, Path(os.environ.get("NWBPIPE_SCRATCH") or tempfile.gettempdir()))
        try:
            with _raise_read_failure(old), open_external_links_as_files():
                file = _open(view, old, "r+")
                try:
                    _refuse_virtual(file, address)
                    yield file
                except BaseException:
                    view.frozen = True
                    raise
                finally:
                    _close(file, view)
                view.frozen = True
                if check is not None and view.failure is None and old.failure is None:
                    with _open(view, old, "r") as finished:
                        check(finished)
            if view.failure is not None:
                raise view.failure
            with _raise_read_failure(old):
                ObjectCommit(old, view, conditional=checked).run()
        finally:
            view.close()


@contextmanager
def s3_open(url: Path | str, *, keep: bool = False) -> Iterator[h5py.File]:
    """Open an HDF5 file in S3 for reading: one state of it, whoever commits meanwhile.

    Parameters
    ----------
    url : path
        ``s3://bucket/key``.
    keep : bool
        Whether to keep what is read in the cache on this disk, since it will be read again.

    Yields
    ------
    h5py.File

    Raises
    ------
    FileAccessError
        If it can't be read.
    ConflictError
        If it was changed, and what is read now is no longer there.
    """
    address = parse_address(url)
    with closing(connect()) as client:
        old = RemoteObject(client, address)
        _require_hdf5(old)
        with ExitStack() as stack:
            source = stack.enter_context(CachedFile(old, str(address))) if keep else old
            with _raise_read_failure(old), open_external_links_as_files(), _open_for_reading(old, source) as file:
                yield file


def _open_for_reading(old: RemoteObject, source: RemoteObject | CachedFile) -> h5py.File:
    """Open, with HDF5's buffer of pages where the file has some."""
    file = _open(ObjectReader(source), old, "r")
    properties = file.id.get_create_plist()
    strategy, _, _ = properties.get_file_space_strategy()
    if strategy != h5py.h5f.FSPACE_STRATEGY_PAGE:
        return file
    page = properties.get_file_space_page_size()
    file.close()
    return _open(ObjectReader(source), old, "r", page_buf_size=max(_PAGE_BUFFER // page, 1) * page)


def _require_hdf5(old: RemoteObject) -> None:
    start = old.read_at(SEARCHED, 0)
    if find_superblock(start) is None:
        raise UnsupportedFileError(
            "not an HDF5 file",
            where=str(old.address),
            expected="an NWB 2 file (HDF5)",
            found=f"an object that starts with {start[:8]!r}",
        )


def _open(view: View | ObjectReader, old: RemoteObject, mode: str, page_buf_size: int | None = None) -> h5py.File:
    view.seek(0)
    try:
        return h5py.File(str(old.address), mode, driver="fileobj", fileobj=view, page_buf_size=page_buf_size)
    except OSError as error:
        if old.failure is not None:
            raise old.failure from None
        msg = "the file is damaged or truncated"
        where = str(old.address)
        raise DamagedFileError(msg, where=where, found=str(error), hint="restore it from a copy") from error


@contextmanager
def _raise_read_failure(old: RemoteObject) -> Iterator[None]:
    """Raise what went wrong in reading, which HDF5 may have put in other words, or hidden."""
    try:
        yield
    except BaseException as error:
        if old.failure is not None and error is not old.failure and isinstance(error, Exception):
            raise old.failure from None
        raise
    if old.failure is not None:
        raise old.failure


def _close(file: h5py.File, view: View) -> None:
    try:
        if file:
            file.close()
    except Exception:
        unfinished = not view.frozen and view.failure is None
        view.frozen = True  # it takes anything from now on, and keeps nothing
        with suppress(Exception):
            file.close()
        if unfinished:
            raise


def _refuse_virtual(file: h5py.File, address: Address) -> None:
    """Refuse what HDF5 would look for in the view: the sources of virtual datasets."""

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and item.is_virtual:
            msg = "a virtual dataset, whose sources lie in other files, can't be used in S3"
            raise UnsupportedFileError(msg, where=f"{address}:/{name}", hint="download the files")

    file.visititems(visit)
