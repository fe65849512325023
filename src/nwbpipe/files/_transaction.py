"""A change to one HDF5 file that happens as a whole or not at all.

On this machine there are two mechanisms: `_change_in_place` writes new bytes past the old end, and a journal of the
few pages that change (``docs/design/005-transactions.md``); `_change_copy` serves where that can't.
`_remote_transaction` changes files in stores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import h5py

from nwbpipe.errors import FileAccessError
from nwbpipe.files._change_copy import open_copy
from nwbpipe.files._change_in_place import NotJournaledError, open_journaled, why_not_in_place
from nwbpipe.files._recover import recover_locked
from nwbpipe.files._remote_transaction import remote_transaction
from nwbpipe.files._screening import is_self_contained, keep_screened, require_safe, state_of
from nwbpipe.files._write_lock import hold_lock, translate_access_errors
from nwbpipe.stores import is_remote


@contextmanager
def transaction(
    path: Path | str,
    *,
    lock_timeout: float = 60.0,
    check: Callable[[h5py.File], None] | None = None,
    committed: Callable[[], None] | None = None,
    unsafe_no_cas: bool = False,
    left_alone: Collection[str] = (),
) -> Iterator[h5py.File]:
    """Change an HDF5 file as a whole or not at all.

    Leaving the block commits; an exception in it, or a kill at any moment, leaves the old file byte for byte (a kill
    during the commit: the old or the new one, once `recover` or the next transaction has had its turn).

    Parameters
    ----------
    path : path
        An HDF5 file, or its URL in S3 (``s3://bucket/key``) or another store with conditional writes.
    lock_timeout : float
        Seconds to wait for another writer of the same file, and then for programs that read it. On a network disk
        the default is 120 s: see `hold_lock`.
    check : callable, optional
        Called with the finished file, open for reading, before it takes the file's place: raising refuses it. The
        `h5py.File` bears the file's name, but the file of that name is still the old one.
    committed : callable, optional
        Called once the new file is in place, while the writers' lock is still held.
    unsafe_no_cas : bool
        Go on where an S3 server can't tell that another writer came first, whose work would then be lost.
    left_alone : collection of str
        Paths of groups from which the block removes nothing but by `unlink`: with many datasets in them it begins
        sooner.

    Yields
    ------
    h5py.File
        Open for reading and writing.

    Raises
    ------
    LockedFileError
        If another process is writing the file, or has it open when the change is to be committed.
    FileAccessError
        If there is no space, no permission, or the file changed meanwhile.
    DamagedFileError
        If it is no HDF5 file that can be opened.
    ConflictError
        If another writer committed meanwhile (in a store, where nobody waits for a lock).
    RequestError
        If it lies in a store that has no conditional writes.

    Examples
    --------
    >>> import h5py, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.h5"
    >>> h5py.File(path, "w").close()
    >>> with transaction(path) as file:
    ...     file["x"] = 1
    >>> h5py.File(path)["x"][()].item()
    1
    """
    if is_remote(path):
        with remote_transaction(path, check=check, unsafe_no_cas=unsafe_no_cas) as (file, _):
            yield file
        if committed is not None:
            committed()
        return
    target = Path(path).resolve()
    if not target.is_file():
        msg = "no such file"
        raise FileAccessError(msg, where=str(target), hint="check the path")
    with hold_lock(target, lock_timeout), translate_access_errors(target, "changing the file"):
        recover_locked(target, lock_timeout)
        require_safe(target)
        old_state = state_of(target)
        if not is_self_contained(target):
            left_alone = ()  # each dataset is looked at: virtual ones can't be changed in place
        with ExitStack() as stack:
            yield _open_transaction(stack, target, lock_timeout, check, left_alone)
        keep_screened(target, old_state, state_of(target))
        if committed is not None:
            committed()


def _open_transaction(
    stack: ExitStack,
    target: Path,
    lock_timeout: float,
    check: Callable[[h5py.File], None] | None,
    left_alone: Collection[str],
) -> h5py.File:
    """Choose the mechanism."""
    if os.environ.get("NWBPIPE_TRANSACTION") != "copy" and why_not_in_place(target) is None:
        try:
            return stack.enter_context(
                open_journaled(target, lock_timeout=lock_timeout, check=check, left_alone=left_alone)
            )
        except NotJournaledError:
            pass
    return stack.enter_context(open_copy(target, check=check))
