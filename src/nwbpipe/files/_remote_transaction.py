"""A change to an HDF5 file in a store that happens as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Protocol

import h5py

from nwbpipe.errors import UnsupportedFileError
from nwbpipe.files._change_in_place import open_external_links_as_files
from nwbpipe.files._remote import open_view, raise_read_failure, require_changeable, require_hdf5
from nwbpipe.files._replace import FileReplacement
from nwbpipe.files._screening import require_safe_remote
from nwbpipe.files._view import View
from nwbpipe.files.s3 import ObjectCommit, RemoteState, is_conditional, read_state
from nwbpipe.stores import CachedFile, RangedFile, Store, open_location, scratch_folder
from nwbpipe.stores.s3 import RemoteObject


class _Commit(Protocol):
    def run(self, view: View) -> None:
        """Put the new file that a view holds in place of the old one."""


@contextmanager
def remote_transaction(
    url: Path | str,
    *,
    check: Callable[[h5py.File], None] | None = None,
    unsafe_no_cas: bool = False,
) -> Iterator[tuple[h5py.File, RemoteState]]:
    """Change an HDF5 file in a store; see `nwbpipe.files.transaction`.

    Yields
    ------
    h5py.File
    RemoteState
        The version that is changed.

    Raises
    ------
    ConflictError
        If another writer committed since the block began. Nothing is written.
    RequestError
        If the store has no conditional writes.
    """
    store, name = open_location(url)
    with ExitStack() as stack:
        stack.enter_context(closing(store))
        require_changeable(url)
        old = store.open_ranged(name)
        require_hdf5(old)
        commit = _choose_commit(store, name, old, unsafe_no_cas)
        # A commit that reads all of the old file keeps it in the cache on disk.
        source = old if isinstance(old, RemoteObject) else stack.enter_context(CachedFile(old, old.location))
        view = View(source, scratch_folder())
        stack.callback(view.close)
        with raise_read_failure(old), open_external_links_as_files():
            file = open_view(view, old, "r+")
            try:
                require_safe_remote(file, old.location, old.tag)
                _refuse_virtual(file, old)
                yield file, read_state(old)
            except BaseException:
                view.frozen = True
                raise
            finally:
                _close(file, view)
            view.frozen = True
            if check is not None and view.failure is None and old.failure is None:
                with open_view(view, old, "r") as finished:
                    check(finished)
        if view.failure is not None:
            raise view.failure
        with raise_read_failure(old):
            commit.run(view)


def _choose_commit(store: Store, name: str, old: RangedFile, unsafe_no_cas: bool) -> _Commit:
    """Choose how the new file gets there: what changed, where the server copies the rest, or all of it."""
    if isinstance(old, RemoteObject):
        conditional = is_conditional(old.client, old.address, unsafe_no_cas=unsafe_no_cas)
        return ObjectCommit(old, conditional=conditional)
    return FileReplacement(store, name, old)


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


def _refuse_virtual(file: h5py.File, old: RangedFile) -> None:
    """Refuse virtual datasets: HDF5 would look for their sources in the view."""

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and item.is_virtual:
            msg = "a virtual dataset, whose sources lie in other files, can't be changed in a store"
            raise UnsupportedFileError(msg, where=f"{old.location}:/{name}", hint="download the files")

    file.visititems(visit)
