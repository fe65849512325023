"""`SessionFile`: one session file, wherever it is. Everything above comes to a session file through here."""

from __future__ import annotations

import random
import sys
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import h5py

from nwbpipe.errors import ConflictError
from nwbpipe.files import Inspection, UnfinishedUpload, inspect_file
from nwbpipe.nwb_zarr import is_zarr_folder
from nwbpipe.provenance import Identity, IdentityCache, IdentityResult
from nwbpipe.session._content import count_stored_bytes
from nwbpipe.session._notebook import render_html
from nwbpipe.session._reader import SessionReader, Snapshot, Version, open_nwb
from nwbpipe.stores import is_remote

if TYPE_CHECKING:
    from pynwb import NWBFile

T = TypeVar("T")
_TRIES = 20  # of a change that others forestall
_SMALL = 256 * 2**20  # stored bytes of an input that may be hashed while others wait for the file's lock


@dataclass(frozen=True)
class SessionChange:
    """A transaction on a session file that is under way.

    Attributes
    ----------
    file : h5py.File
        Open for reading and writing.
    version : FileStat or RemoteStat
        Token of the state that is changed: nobody can change it before the commit, or the commit fails.
    writes : tuple of str
        In S3, the last writes of nwbpipe that this state holds.
    """

    file: h5py.File
    version: Version
    writes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServedFile:
    """A session file within reach of a tool's process, which holds no credentials.

    Attributes
    ----------
    path : str
        Path that the tool opens.
    access : dict or None
        Server of its ranges (see `nwbpipe.environments.run`); None if the file is on this machine.
    media : mapping of str to str
        Path that the tool opens for each external file that is served, too, by its name.
    """

    path: str
    access: dict[str, Any] | None = None
    media: Mapping[str, str] = field(default_factory=dict)


class SessionFile(ABC):
    """One session file (NWB 2), on this machine or at a URL.

    It holds no open file. Each method opens the file, reads what it is asked for, and closes it, so that a commit
    never waits for a handle that somebody forgot; a `Snapshot` of values is what stays.

    Attributes
    ----------
    location : Path or str
        The resolved path, or the URL.

    Examples
    --------
    >>> session = SessionFile.at("session.nwb")  # doctest: +SKIP
    >>> [record.step for record in session.snapshot().records]  # doctest: +SKIP
    ['convert', 'suite2p']
    >>> with session.nwb() as nwbfile:  # doctest: +SKIP
    ...     nwbfile.acquisition["lever"].data[:10]
    """

    location: Path | str

    @staticmethod
    def at(location: Path | str | SessionFile) -> SessionFile:
        """Return the session file at a path or URL (``s3://bucket/key``, ``gs://…``); it is not read yet."""
        from nwbpipe.session._local import LocalSessionFile
        from nwbpipe.session._remote import RemoteSessionFile

        if isinstance(location, SessionFile):
            return location
        if is_remote(location):
            return RemoteSessionFile(str(location))
        if is_zarr_folder(Path(location)):
            from nwbpipe.session._zarr import ZarrSessionFile

            return ZarrSessionFile(Path(location))
        return LocalSessionFile(Path(location))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SessionFile) and self.location == other.location

    def __hash__(self) -> int:
        return hash(self.location)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @property
    def name(self) -> str:
        """File name, with its suffix."""
        return str(self).replace("\\", "/").rpartition("/")[2]

    @property
    def is_local(self) -> bool:
        """True if the file is on this machine."""
        return isinstance(self.location, Path)

    @property
    @abstractmethod
    def folder(self) -> Path | str:
        """Folder of the file, that paths of external files are relative to."""

    # Reading --------------------------------------------------------------------------------------------------

    @abstractmethod
    def version(self) -> Version:
        """Return the token of the file's present state, without opening it.

        Raises
        ------
        FileAccessError
            If the file is missing, or can't be asked for.
        """

    @abstractmethod
    def open(self, *, locked: bool = False) -> AbstractContextManager[SessionReader]:
        """Open the file for reading, between commits of other processes.

        Parameters
        ----------
        locked : bool
            Whether to hold HDF5's shared lock, which a commit waits for, and which a program that writes refuses.
            Without it, what one sees of objects that a commit changes meanwhile is undefined; the bytes of all other
            datasets stay as they are. In S3 there is no lock: what is read is one state of the object.

        Raises
        ------
        FileAccessError
            If the file is missing or can't be read, or has an interrupted commit and can't be written.
        UnsupportedFileError
            If it is not HDF5, not NWB, or of NWB 1.
        DamagedFileError
            If it is HDF5 but truncated or damaged.
        LockedFileError
            If another program writes it, or this process has it open in another way.
        """

    @abstractmethod
    def read(self, function: Callable[[SessionReader], T], *, locked: bool = False) -> T:
        """Return ``function(reader)``; call it again if it fails as a commit changed what it was reading.

        Parameters
        ----------
        function : callable
            Reads from a `SessionReader`, and returns values: the file is closed afterwards.
        locked : bool
            See `open`.
        """

    def inspect(self, *, timeout: float = 120.0) -> Inspection:
        """Return the file's condition, and what lies beside it; see `nwbpipe.files.inspect_file`."""
        return inspect_file(self.location, timeout=timeout)

    def snapshot(self) -> Snapshot:
        """Return the file's records and objects, read in one open."""
        return self.read(SessionReader.take_snapshot)

    @contextmanager
    def nwb(self) -> Iterator[NWBFile]:
        """Open the file for reading; yields the `pynwb.NWBFile`, whose data are read on access."""
        from nwbpipe.session._large_data import decode_in_threads

        with self.open(locked=True) as reader, open_nwb(reader.file, "r") as nwbfile:
            decode_in_threads(nwbfile)
            nwbfile._repr_html_ = partial(render_html, weakref.proxy(nwbfile))  # for notebooks
            yield nwbfile  # with HDF5's lock: a program in the middle of writing is not read over

    # Identities -----------------------------------------------------------------------------------------------

    def identify(self, paths: Sequence[str], *, version: Version | None = None) -> list[Identity]:
        """Return the identities of objects by path; those that the cache lacks are hashed in one open.

        Parameters
        ----------
        paths : sequence of str
            HDF5 paths.
        version : FileStat or RemoteStat, optional
            The state that the caller has just seen the file in; else it is asked for.
        """
        return IdentityCache().identify_all(self.location, paths, stat=version)

    def identity(self, path: str) -> Identity:
        """Return the identity of an object; an unchanged file is not opened (see `nwbpipe.provenance`)."""
        (identity,) = self.identify([path])
        return identity

    def look_up_identity(self, path: str, *, version: Version | None = None) -> Identity | None:
        """Return the identity of an object of an unchanged file; None if the cache lacks it."""
        return IdentityCache().look_up(self.location, path, stat=version)

    def identify_in_change(self, change: SessionChange, path: str, *, however_large: bool = False) -> str | None:
        """Return the identity of an object as a transaction found it; None if it takes long to hash.

        Others wait for the lock meanwhile, so that a large input is to be hashed before the transaction, unless
        `however_large`: for one that never gets to it, as others keep committing.
        """
        cached = self.look_up_identity(path, version=change.version)
        if cached is not None:
            return cached.identity
        limit = sys.maxsize if however_large else _SMALL
        if change.version.size > limit and path in change.file and count_stored_bytes(change.file[path]) > limit:
            return None
        return IdentityCache().identify_open(change.file, path, folder=self.folder, limit=limit)

    @abstractmethod
    def keep_identities(
        self, change: SessionChange, changed: list[str], written: Mapping[str, IdentityResult]
    ) -> None:
        """Carry cached identities across our own commit, but for those of the objects that it changed.

        Those of what it wrote, by name, are added.
        """

    # Changing -------------------------------------------------------------------------------------------------

    @abstractmethod
    def require_changeable(self) -> None:
        """Refuse a file that can be read, but not changed: before hours are spent on it.

        Raises
        ------
        RequestError
            If its store has no conditional writes.
        """

    @abstractmethod
    def change(
        self,
        *,
        lock_timeout: float = 60.0,
        check: Callable[[h5py.File], None] | None = None,
        committed: Callable[[], None] | None = None,
        unsafe_no_cas: bool = False,
        unlinks: bool = True,
    ) -> AbstractContextManager[SessionChange]:
        """Change the file through h5py, as a whole or not at all; see `transaction`.

        With `unlinks` false, the block removes objects by `nwbpipe.files.unlink` alone, and begins sooner.
        """

    @contextmanager
    def transaction(
        self,
        *,
        lock_timeout: float = 60.0,
        before: Callable[[h5py.File], None] | None = None,
        check: Callable[[h5py.File], None] | None = None,
        committed: Callable[[], None] | None = None,
        unsafe_no_cas: bool = False,
    ) -> Iterator[NWBFile]:
        """Change the file as a whole or not at all; see `nwbpipe.transaction`."""
        with self.change(
            lock_timeout=lock_timeout, check=check, committed=committed, unsafe_no_cas=unsafe_no_cas
        ) as change:
            if before is not None:
                before(change.file)
            with open_nwb(change.file, "a") as nwbfile:
                yield nwbfile

    def update(self, change: Callable[[NWBFile], T], *, lock_timeout: float = 60.0, unsafe_no_cas: bool = False) -> T:
        """Call ``change(nwbfile)`` within a transaction, and return its result; see `nwbpipe.update`."""

        def once() -> T:
            with self.transaction(lock_timeout=lock_timeout, unsafe_no_cas=unsafe_no_cas) as nwbfile:
                return change(nwbfile)

        return retry_after_conflicts(once)

    @abstractmethod
    def repack(self, *, lock_timeout: float = 60.0) -> tuple[int, int]:
        """Write the file anew; return its size before and after. See `nwbpipe.repack`."""

    @abstractmethod
    def repair(
        self, *, lock_timeout: float = 60.0, abandoned_after: timedelta = timedelta(days=1)
    ) -> tuple[str, ...]:
        """Finish or take back what killed writers left; return what was done. See `nwbpipe.check`."""

    @abstractmethod
    def list_uploads(self) -> list[UnfinishedUpload]:
        """Return the unfinished uploads of nwbpipe to this object in S3."""

    # Files on this machine ------------------------------------------------------------------------------------

    @abstractmethod
    def local_copy(self) -> AbstractContextManager[Path]:
        """Yield a path of the file on this machine, for reading: its own, or that of a download."""

    @abstractmethod
    def external_files(self) -> AbstractContextManager[Callable[[str, str], Path]]:
        """Yield a function that returns the path of an external file, on this machine.

        It takes the file's name, relative to the session file, and the HDF5 path of the object that names it, and
        raises an `InputError` if the file is missing or lies outside the folder of the session file.
        """

    @abstractmethod
    def serve(self, scratch: Path, media: Collection[str] = ()) -> AbstractContextManager[ServedFile]:
        """Bring the file within reach of a tool's process while the block lasts.

        Parameters
        ----------
        scratch : Path
            Folder of the run, for a file that stands for one at a URL.
        media : collection of str
            Names of external files that are served, too, if the file is at a URL.

        Raises
        ------
        FileAccessError, ConflictError
            At the end, if something could not be read: what was computed is not to be believed then.
        """


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
