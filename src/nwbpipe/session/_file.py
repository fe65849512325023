"""Session files as NWB: is it one, read it, change it. Everything above comes to a session file through here."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import h5py

from nwbpipe import files
from nwbpipe.errors import (
    ConflictError,
    DamagedFileError,
    FileAccessError,
    LockedFileError,
    RequestError,
    UnsupportedFileError,
)
from nwbpipe.stores.s3 import canonical_url, public_url

if TYPE_CHECKING:
    from pynwb import NWBFile

T = TypeVar("T")
_TRIES = 20  # of a change that others forestall


def read_nwb_version(file: h5py.File) -> tuple[int, ...]:
    """Version of NWB that an open file declares, e.g. ``(2, 8, 0)``.

    Raises
    ------
    UnsupportedFileError
        If it declares none, or one of NWB 1.
    """
    declared = file.attrs.get("nwb_version")
    if declared is None and "nwb_version" in file:  # NWB 1 kept it in a dataset
        declared = file["nwb_version"][()]
    if declared is None:
        msg = "an HDF5 file, but not NWB"
        raise UnsupportedFileError(
            msg, where=file.filename, expected="the attribute nwb_version", hint="give an NWB 2 file"
        )
    text = declared.decode() if isinstance(declared, bytes) else str(declared)
    numbers = tuple(int(part) for part in text.removeprefix("NWB-").split("-")[0].split(".") if part.isdigit())
    if not numbers or numbers[0] != 2:
        msg = f"NWB version {text} is not supported"
        raise UnsupportedFileError(
            msg, where=file.filename, expected="NWB 2", found=text, hint="convert the raw data to NWB 2"
        )
    return numbers


def check_changeable(path: Path | str) -> None:
    """Refuse what can be read, but not changed as a whole or not at all: before hours are spent on it.

    Raises
    ------
    RequestError
        If it is neither a local file nor an object in S3.
    """
    if files.is_remote(path) and not str(path).startswith("s3:"):
        msg = "a session file there can be read, but not changed: not supported"
        raise RequestError(
            msg,
            where=public_url(path),
            expected="a local file, or s3://bucket/key",
            hint="download it, change it, and upload it as a whole",
        )


@overload
def check_readable(path: Path) -> Path: ...
@overload
def check_readable(path: Path | str) -> Path | str: ...
def check_readable(path: Path | str) -> Path | str:
    """Refuse what is not a whole NWB 2 file; return its resolved path (an address in S3 as it is).

    A commit that was interrupted is finished or taken back first, one that is under way is waited for.

    Raises
    ------
    FileAccessError
        If it is missing or can't be read, or has an interrupted commit and can't be written.
    UnsupportedFileError
        If it is not HDF5, not NWB, or of NWB 1.
    DamagedFileError
        If it is HDF5 but truncated or damaged.
    LockedFileError
        If this process has it open in another way.
    """
    if files.is_remote(path):
        with files.open_remote(path) as file:
            read_nwb_version(file)
        return canonical_url(path)
    resolved = Path(path).resolve()
    if not resolved.is_file():
        msg = "no such file"
        raise FileAccessError(msg, where=str(path), hint="check the path")
    files.read_settled(resolved, lambda: _check_local(resolved))
    return resolved


def _check_local(resolved: Path) -> None:
    try:
        with resolved.open("rb") as raw:
            start = raw.read(8)
    except OSError as error:
        msg = f"the file can't be read: {error.strerror}"
        raise FileAccessError(msg, where=str(resolved), hint="check its permissions") from error
    if not h5py.is_hdf5(resolved) and not start.startswith(b"\x89HDF"):
        msg = "not an HDF5 file"
        raise UnsupportedFileError(
            msg,
            where=str(resolved),
            expected="an NWB 2 file (HDF5)",
            found=f"a file that starts with {start!r}",
        )
    try:
        with h5py.File(resolved, "r", locking=False) as file:
            read_nwb_version(file)
    except OSError as error:
        if "locking flag" in str(error):  # HDF5 allows one way of locking a file within a process
            msg = "this process has the file open already"
            raise LockedFileError(msg, where=str(resolved), hint="close it first") from error
        msg = "the file is damaged or truncated"
        raise DamagedFileError(msg, where=str(resolved), found=str(error), hint="restore it from a copy") from error


@contextmanager
def open_hdf5(path: Path | str, *, locking: bool = False) -> Iterator[h5py.File]:
    """Open a session file for reading as HDF5, between commits of other processes.

    Parameters
    ----------
    path : path
        The file.
    locking : bool
        Whether to hold HDF5's shared lock, which a commit waits for. Without it, what one sees of objects that a
        commit changes meanwhile is undefined; the bytes of all other datasets stay as they are. In S3 there is
        none: what is read is one state of the object.
    """
    if files.is_remote(path):
        with files.open_remote(path) as file:
            yield file
        return
    with _open_local(Path(path).resolve(), locking) as file:
        yield file


def read_between_commits(path: Path | str, read: Callable[[h5py.File], T]) -> T:
    """Return ``read(file)``; again if it fails as a commit of another process changed what it was reading.

    For reading without a lock, of what a commit may change: groups, records.
    """

    def once() -> T:
        with open_hdf5(path) as file:
            return read(file)

    if files.is_remote(path):
        return retry_after_conflicts(once)
    return files.read_settled(Path(path).resolve(), once)


def _open_local(resolved: Path, locking: bool) -> h5py.File:
    try:
        return files.read_settled(resolved, lambda: h5py.File(resolved, "r", locking=locking))
    except BlockingIOError as error:
        msg = "another program has the file open for writing"
        raise LockedFileError(msg, where=str(resolved), hint="close it there, then try again") from error


@contextmanager
def read(path: Path | str) -> Iterator[NWBFile]:
    """Open a session file for reading; yields the `pynwb.NWBFile`, whose data are read on access.

    Parameters
    ----------
    path : path
        An NWB 2 file, or its address in S3 (``s3://bucket/key``).
    """
    from pynwb import NWBHDF5IO

    import nwbpipe.extensions  # noqa: F401  (registers our types)

    if files.is_remote(path):
        with files.open_remote(path) as file:
            read_nwb_version(file)
            with _suppress_warnings(), NWBHDF5IO(file=file, mode="r") as io:
                yield io.read()
        return
    resolved = check_readable(Path(path))
    file = _open_local(resolved, locking=True)  # a program in the middle of writing is not read over
    with file, _suppress_warnings(), NWBHDF5IO(file=file, mode="r") as io:
        yield io.read()


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
    ConflictError
        In S3, if another writer committed since the block began. Nothing is written.

    Examples
    --------
    >>> with transaction("session.nwb") as nwbfile:  # doctest: +SKIP
    ...     nwbfile.create_processing_module("ophys", "calcium imaging")
    """
    from pynwb import NWBHDF5IO

    import nwbpipe.extensions  # noqa: F401  (registers our types)
    from nwbpipe.session._large_data import fill_large, take_large

    target = path if files.is_remote(path) else check_readable(Path(path))
    with files.transaction(
        target, lock_timeout=lock_timeout, check=check, committed=committed, unsafe_no_cas=unsafe_no_cas
    ) as file:
        read_nwb_version(file)
        if before is not None:
            before(file)
        with _suppress_warnings(), NWBHDF5IO(file=file, mode="a") as io:
            nwbfile = io.read()
            there = {id(one) for one in nwbfile.all_children()}
            yield nwbfile
            late = take_large(one for one in nwbfile.all_children() if id(one) not in there)
            io.write(nwbfile, cache_spec=_lacks_schemas(file, io.manager.namespace_catalog))
            fill_large(file, late, io.manager.get_builder)


def _lacks_schemas(file: h5py.File, catalog: Any) -> bool:
    """Whether hdmf would add a schema to the file: it takes as long to find out as to add them."""
    place = file.attrs.get(".specloc")
    return place is None or any(
        f"{name}/{catalog.get_namespace(name=name).version}" not in file[place] for name in catalog.namespaces
    )


def update(
    path: Path | str,
    change: Callable[[NWBFile], T],
    *,
    lock_timeout: float = 60.0,
    unsafe_no_cas: bool = False,
) -> T:
    """Call ``change(nwbfile)`` within a transaction, and return what it returns.

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
        What the last call of `change` returned.

    Raises
    ------
    ConflictError
        In S3, if another writer came first 20 times.
    """

    def once() -> T:
        with transaction(path, lock_timeout=lock_timeout, unsafe_no_cas=unsafe_no_cas) as nwbfile:
            return change(nwbfile)

    return retry_after_conflicts(once)


def retry_after_conflicts(work: Callable[[], T]) -> T:
    """Do work that ends with a commit; again, on the newer state, after each `ConflictError`, up to 20 times."""
    for attempt in range(_TRIES):
        try:
            return work()
        except ConflictError:
            if attempt == _TRIES - 1:
                raise
            time.sleep(random.uniform(0.02, 0.1) * min(2**attempt, 20))  # noqa: S311  (no secret)
    raise AssertionError("unreachable")


@contextmanager
def _suppress_warnings() -> Iterator[None]:
    """Keep quiet what a user can do nothing about: hdmf's and pynwb's notes on the file's older types."""
    with warnings.catch_warnings():
        for module in ("hdmf", "pynwb"):
            warnings.filterwarnings("ignore", module=rf"{module}\..*")
        yield
