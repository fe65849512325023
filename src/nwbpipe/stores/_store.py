"""A store: one root, and the files below it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol

from nwbpipe.errors import ConflictError, FileAccessError, RequestError
from nwbpipe.stores._paths import compile_pattern, literal_folder, normalize_path
from nwbpipe.stores.s3 import public_url


@dataclass(frozen=True)
class StoreEntry:
    """One file of a store.

    Attributes
    ----------
    path : str
        Relative to the root.
    size : int
        In bytes.
    modified : datetime or None
        When it was written (UTC), if the store knows.
    tag : str
        Tells this state of the file from others: an ETag, or what serves as one.
    """

    path: str
    size: int
    modified: datetime | None
    tag: str


class RangedFile(Protocol):
    """One state of a remote file, read by ranges.

    Attributes
    ----------
    size : int
        In bytes.
    """

    size: int

    @property
    def tag(self) -> str:
        """Tells this state from others."""

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`; any number of threads may ask at once.

        Raises
        ------
        ConflictError
            If the file is no longer in that state.
        FileAccessError
            If it can't be read.
        """


class Store(ABC):
    """One root and the files below it: a local folder, ``s3://bucket/prefix``, or any URL that fsspec knows.

    Made by `open_store`. Paths are relative, with ``/`` between their parts; a path that leads outside the root is
    a `RequestError`.

    Attributes
    ----------
    root : str
        The folder or URL, without a slash at the end.
    """

    root: str

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether there is a file of that path, or files below it."""

    @abstractmethod
    def stat(self, path: str) -> StoreEntry:
        """Return what is known of a file.

        Raises
        ------
        FileAccessError
            If there is no such file, or it can't be asked for.
        """

    @abstractmethod
    def list(self, prefix: str = "", *, deep: bool = True) -> Iterator[StoreEntry]:
        """Yield the files below a folder, in the order of their paths. Nothing is there: nothing is yielded.

        With `deep` false, only those right in the folder.
        """

    def glob(self, text: str) -> Iterator[StoreEntry]:
        """Yield the files whose paths match a pattern: ``*``, ``?``, and ``**`` for any number of folders."""
        wanted = compile_pattern(text)
        return (one for one in self.list(literal_folder(text)) if wanted.fullmatch(one.path))

    @abstractmethod
    def read_bytes(self, path: str) -> bytes:
        """Return a file's content.

        Raises
        ------
        FileAccessError
            If there is no such file, or it can't be read.
        """

    @abstractmethod
    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading: a file object with `seek`, which fetches only what is read (h5py, PyAV).

        Raises
        ------
        FileAccessError
            If there is no such file, or it can't be read.
        """

    @abstractmethod
    def open_ranged(self, path: str) -> RangedFile:
        """Return the present state of a file, to be read by ranges.

        Raises
        ------
        FileAccessError
            If there is no such file, or it can't be read.
        """

    @abstractmethod
    def write_bytes(self, path: str, data: bytes, *, if_absent: bool = False, if_tag: str | None = None) -> str:
        """Write a whole file in one step: others see the old content, or the new; return its tag.

        Parameters
        ----------
        path : str
            Where; folders are made as needed.
        data : bytes
            The content.
        if_absent : bool
            Only if there is no such file. Of several writers at once, one succeeds.
        if_tag : str, optional
            Only if the file is still in the state of that tag. Of several writers at once, one succeeds.

        Raises
        ------
        ConflictError
            If the condition does not hold. Nothing was written.
        FileAccessError
            If it can't be written.
        RequestError
            If the store can't do it under that condition.
        """

    @abstractmethod
    def put_file(self, source: Path, path: str, *, if_absent: bool = False, if_tag: str | None = None) -> str:
        """Do the same with a local file as the content, however large."""

    @abstractmethod
    def remove(self, path: str, *, if_tag: str | None = None) -> None:
        """Remove a file; one that is not there is none to remove.

        Raises
        ------
        ConflictError
            If it is there, but no longer in the state of `if_tag`.
        RequestError
            If the store can't do it under that condition.
        """

    @abstractmethod
    def local_path(self, path: str) -> Path | None:
        """Return where a file is on this machine; None if it is not."""

    def location(self, path: str) -> str:
        """Return the absolute path or URL of a file or folder."""
        return f"{self.root}/{normalize_path(path)}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({public_url(self.root)!r})"

    def _missing_error(self, path: str) -> FileAccessError:
        where = public_url(f"{self.root}/{path}")
        return FileAccessError("no such file", where=where, hint="check the path and the store's root")

    def _conflict_error(self, path: str, if_absent: bool) -> ConflictError:
        msg = "the file is there already" if if_absent else "another writer changed the file, or removed it"
        where = public_url(f"{self.root}/{path}")
        return ConflictError(msg, where=where, hint="nothing was written: look at what is there now")


def check_condition(if_absent: bool, if_tag: str | None) -> None:
    """Refuse two conditions at once.

    Raises
    ------
    RequestError
        If both are given.
    """
    if if_absent and if_tag is not None:
        msg = "a file can't be absent and in a given state"
        raise RequestError(msg, expected="one of if_absent and if_tag")


def require_unchanged(data: bytes, size: int, store: Store, path: str, tag: str) -> bytes:
    """Return what was read of a file, if it is whole, and the file still the one that was opened.

    Raises
    ------
    ConflictError
        If it is not.
    """
    if len(data) != size or store.stat(path).tag != tag:
        msg = "another writer changed the file meanwhile"
        raise ConflictError(msg, where=public_url(store.location(path)), hint="do it again, on the new state")
    return data


def as_reader(raw: Any) -> IO[bytes]:
    """Type a file object that reads."""
    reader: IO[bytes] = raw
    return reader
