"""A change to one HDF5 file through a copy-on-write view and a journal: the old bytes are not copied."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from nwbpipe.errors import DamagedFileError, FileAccessError
from nwbpipe.files._commit import SEARCHED, FileCommit, InterruptedCommitError
from nwbpipe.files._hdf5_lock import acquire_hdf5_lock
from nwbpipe.files._network_disk import read_mount
from nwbpipe.files._os import SYSTEM, System
from nwbpipe.files._view import View


class NotJournaledError(Exception):
    """A file that can't be changed in this way: the copy serves."""


@contextmanager
def open_journaled(
    target: Path,
    *,
    lock_timeout: float,
    check: Callable[[h5py.File], None] | None = None,
    left_alone: Collection[str] = (),
    system: System = SYSTEM,
    commit: type[FileCommit] = FileCommit,
) -> Iterator[h5py.File]:
    """Change `target`, whose writers' lock the caller holds, and which has no unfinished journal.

    Raises
    ------
    NotJournaledError
        Before the block runs: see `_refuse_unsuited`.
    """
    descriptor = system.open(target)
    try:
        # Held from here on: no program that obeys HDF5's lock writes meanwhile. Readers come and go.
        _allow_readers(system, descriptor, target)
        initial_state = _stat_state(descriptor)
        view = View(descriptor, target.parent)
        try:
            with open_external_links_as_files():
                file = _open(view, target, "r+")
                datasets: list[h5py.h5d.DatasetID] = []
                try:
                    datasets += _open_all_datasets(file, left_alone)
                    yield file
                except BaseException:
                    view.frozen = True
                    raise
                finally:
                    datasets = []
                    _close(file, view)
                view.frozen = True
                if view.failure is not None:
                    raise view.failure
                if check is not None:
                    with _open(view, target, "r") as finished:
                        check(finished)
            _require_space(target, view)
            acquire_hdf5_lock(system, descriptor, target, exclusive=True, timeout=lock_timeout)
            if _stat_state(descriptor) != initial_state or target.stat().st_ino != initial_state[0]:
                msg = "another program changed the file meanwhile"
                raise FileAccessError(msg, where=str(target), hint="nothing was written: run the command again")
            try:
                commit(target, descriptor, view, system).run()
            except InterruptedCommitError as error:
                raise _interrupted_error(target, error) from error
        finally:
            view.close()
    finally:
        system.close(descriptor)  # HDF5's lock goes with it


def _allow_readers(system: System, descriptor: int, target: Path) -> None:
    try:
        acquire_hdf5_lock(system, descriptor, target, exclusive=False, timeout=0)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL):
            raise NotJournaledError("the file system has no flock") from error
        raise


def _stat_state(descriptor: int) -> tuple[int, int, int]:
    stat = os.fstat(descriptor)
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _open(view: View, target: Path, mode: str) -> h5py.File:
    """Open the view under the file's own name, from which HDF5 resolves relative paths of external files."""
    view.seek(0)
    try:
        return h5py.File(target, mode, driver="fileobj", fileobj=view)
    except OSError as error:
        msg = "the file can't be opened as HDF5"
        raise DamagedFileError(msg, where=str(target), found=str(error), hint="restore it from a copy") from error


def _open_all_datasets(file: h5py.File, left_alone: Collection[str]) -> list[h5py.h5d.DatasetID]:
    """Hold every dataset open, but for those below groups from which nothing is removed.

    HDF5 frees what is unlinked only when its last handle is closed. So the space of a dataset that is removed in
    the block is not given to another one: a reader that holds no lock goes on reading the old values.
    """
    datasets: list[h5py.h5d.DatasetID] = []
    visited: set[int] = set()
    names = {name.encode() for name in left_alone}

    def visit(group: h5py.h5g.GroupID, path: bytes) -> None:
        for name in group:
            if group.links.get_info(name).type != h5py.h5l.TYPE_HARD or b"/".join((path, name)) in names:
                continue
            item = h5py.h5o.open(group, name)
            address = int(h5py.h5o.get_info(item).addr)
            if address in visited:
                continue
            visited.add(address)
            if isinstance(item, h5py.h5g.GroupID):
                visit(item, b"/".join((path, name)))
            elif isinstance(item, h5py.h5d.DatasetID):
                if item.get_create_plist().get_layout() == h5py.h5d.VIRTUAL:
                    raise NotJournaledError("a virtual dataset: HDF5 would look for its sources in the view")
                datasets.append(item)

    if file.userblock_size > SEARCHED // 2:
        raise NotJournaledError("a user block of a size that is not looked past")
    _, persistent, _ = file.id.get_create_plist().get_file_space_strategy()
    if persistent:
        raise NotJournaledError("HDF5 would use space again that an earlier commit freed")
    if "/" not in left_alone:
        visit(h5py.h5g.open(file.id, b"/"), b"")
    return datasets


def _close(file: h5py.File, view: View) -> None:
    try:
        if file:
            file.close()
    except OSError:
        if view.failure is None:
            raise
        file.close()  # the view takes anything by now, and keeps nothing


def _require_space(target: Path, view: View) -> None:
    free, needed = shutil.disk_usage(target.parent).free, max(view.new_end - view.old_end, 0)
    if free < needed:
        msg = "no space for the results"
        raise FileAccessError(
            msg,
            where=str(target.parent),
            expected=f"{needed / 1e6:.0f} MB free",
            found=f"{free / 1e6:.0f} MB",
            hint="free space on that disk; the file is as it was",
        )


def _interrupted_error(target: Path, error: InterruptedCommitError) -> FileAccessError:
    cause = error.__cause__
    if error.committed:
        msg = "the change is committed, but could not be put in place"
    else:
        msg = "the disk failed at the moment of the commit: it may or may not stand"
    hint = "repair the disk, then open the file with nwbpipe: that finishes or takes back the commit, as a whole"
    return FileAccessError(msg, where=str(target), found=str(cause), hint=hint)


_links = threading.Lock()
_links_users = 0


@contextmanager
def open_external_links_as_files() -> Iterator[None]:
    """Let external links open their files as files.

    HDF5 opens the file that an external link names with the driver of the file that holds it, which here is the
    view: the link would silently lead back into the same file. h5py keeps its link access properties in
    ``h5py._hl.base.dlapl`` (None: HDF5's own) and offers no public way to set them for a file.
    """
    global _links_users
    base = h5py._hl.base
    with _links:
        _links_users += 1
        if _links_users == 1:
            access, links = h5py.h5p.create(h5py.h5p.FILE_ACCESS), h5py.h5p.create(h5py.h5p.LINK_ACCESS)
            access.set_fapl_sec2()
            links.set_elink_fapl(access)
            _links_before.append(base.dlapl)
            base.dlapl = links
    try:
        yield
    finally:
        with _links:
            _links_users -= 1
            if not _links_users:
                base.dlapl = _links_before.pop()


_links_before: list[object] = []


def why_not_in_place(target: Path) -> str | None:
    """Return why a file's location rules out changes in place, or None if it allows them."""
    if os.name != "posix":
        return "no flock on this system"
    if not hasattr(h5py._hl.base, "dlapl"):
        return "this version of h5py is not known"
    if target.stat().st_nlink > 1:
        return "the file has other names (hard links), whose content must stay"
    if read_mount(target).is_network:
        return "on a network file system, locks and syncs are not what they are on a disk"
    return None
