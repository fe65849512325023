"""The public functions on one session file, by its path or URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import h5py

from nwbpipe import provenance
from nwbpipe.provenance import RunRecord
from nwbpipe.session._session_file import SessionFile

if TYPE_CHECKING:
    from pynwb import NWBFile

T = TypeVar("T")


def read(path: Path | str) -> AbstractContextManager[NWBFile]:
    """Open a session file for reading; yields the `pynwb.NWBFile`, whose data are read on access.

    Parameters
    ----------
    path : path
        An NWB 2 file, or its address in S3 (``s3://bucket/key``).
    """
    return SessionFile.at(path).nwb()


def read_records(source: h5py.File | Path | str) -> list[RunRecord]:
    """Return the run records of a session file, oldest first, superseded ones too.

    Parameters
    ----------
    source : h5py.File, Path or str
        An open file, or the path or S3 address of one (opened read-only, without HDF5's lock). A file without
        records gives an empty list.

    Returns
    -------
    list of RunRecord

    Raises
    ------
    FileAccessError
        If the file is missing or can't be read.
    UnsupportedFileError
        If it is not NWB 2.
    DamagedFileError
        If it is truncated or damaged, or a record can't be read.
    """
    if isinstance(source, h5py.File):
        return provenance.read_records(source)
    return SessionFile.at(source).read(lambda reader: reader.records)


@contextmanager
def transaction(
    path: Path | str,
    *,
    lock_timeout: float = 60.0,
    before: Callable[[h5py.File], None] | None = None,
    check: Callable[[h5py.File], None] | None = None,
    committed: Callable[[], None] | None = None,
    unsafe_no_cas: bool = False,
) -> Iterator[NWBFile]:
    """Change a session file as a whole or not at all.

    Parameters
    ----------
    path : path
        An NWB 2 file, or its address in S3 (``s3://bucket/key``).
    lock_timeout : float
        Seconds to wait for another writer. In S3 nobody waits: see `ConflictError`.
    before : callable, optional
        Called with the `h5py.File` before pynwb reads it: for what pynwb can't do, such as removing objects.
    check : callable, optional
        Called with the finished file, open for reading, before it takes the file's place: raising refuses it.
    committed : callable, optional
        Called once the new file is in place, while the lock is still held.
    unsafe_no_cas : bool
        Whether to go on where an S3 server can't tell that another writer came first, and its work would be lost.

    Yields
    ------
    pynwb.NWBFile
        Open for append. Leaving the block commits; an exception changes nothing.

    Raises
    ------
    RequestError
        If the file is neither local nor in S3.
    ConflictError
        In S3, if another writer committed since the block began. Nothing is written.

    Examples
    --------
    >>> with transaction("session.nwb") as nwbfile:  # doctest: +SKIP
    ...     nwbfile.create_processing_module("ophys", "calcium imaging")
    """
    with SessionFile.at(path).transaction(
        lock_timeout=lock_timeout, before=before, check=check, committed=committed, unsafe_no_cas=unsafe_no_cas
    ) as nwbfile:
        yield nwbfile


def update(
    path: Path | str,
    change: Callable[[NWBFile], T],
    *,
    lock_timeout: float = 60.0,
    unsafe_no_cas: bool = False,
) -> T:
    """Call ``change(nwbfile)`` within a transaction, and return its result.

    Parameters
    ----------
    path : path
        An NWB 2 file, or its address in S3 (``s3://bucket/key``).
    change : callable
        Takes the `pynwb.NWBFile`. Unlike a `transaction` block it is called again, on the newer state, if another
        writer committed first (in S3).
    lock_timeout, unsafe_no_cas
        See `transaction`.

    Returns
    -------
    object
        The result of the last call of `change`.

    Raises
    ------
    ConflictError
        In S3, if another writer came first 20 times.
    """
    return SessionFile.at(path).update(change, lock_timeout=lock_timeout, unsafe_no_cas=unsafe_no_cas)


# Kept for one release, for scripts that import them from `nwbpipe.session_file`: use `SessionFile` instead.


def check_readable(path: Path | str) -> Path | str:
    """Refuse a file that is not a whole NWB 2 file; return its resolved path or URL."""
    session = SessionFile.at(path)
    with session.open():
        return session.location


@contextmanager
def open_hdf5(path: Path | str, *, locking: bool = False) -> Iterator[h5py.File]:
    """Open a session file for reading with h5py; see `SessionFile.open`."""
    with SessionFile.at(path).open(locked=locking) as reader:
        yield reader.file
