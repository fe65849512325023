"""The contract of a store: one root, and the files below it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import IO

from nwbpipe.errors import ConflictError, FileAccessError, RequestError
from nwbpipe.stores._parts import FileChanges
from nwbpipe.stores._paths import literal_folder, match_path, normalize_path
from nwbpipe.stores._ranged import RangedFile, RangeReader
from nwbpipe.stores._urls import public_url


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
        Version of the file: another one after each write. An ETag, a generation, a hash.
    """

    path: str
    size: int
    modified: datetime | None
    tag: str


class Store(ABC):
    """One root and the files below it: a local folder, ``s3://bucket/prefix``, or the URL of another service.

    `open_store` makes them. Paths are relative, with ``/`` between their parts; one that leads outside the root is a
    `RequestError` (`normalize_path` checks that). A class of your own has five methods: `stat`, `list`, `read_range`,
    `write_bytes` and `remove`. Override others where your service does them better. `nwbpipe.testing.StoreTests`
    holds it to this contract.

    Parameters
    ----------
    root : str
        The folder or URL.

    Attributes
    ----------
    root : str
        The same, without a slash at the end.
    conditional_writes : bool
        True if `write_bytes` and `remove` keep `if_absent` and `if_tag` against every other writer, in any process.
        Session files in such a store can be changed. False (the default): these arguments are a `RequestError`.
    """

    root: str
    conditional_writes: bool = False

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")

    @abstractmethod
    def stat(self, path: str) -> StoreEntry:
        """Return size and version of a file.

        Raises
        ------
        FileAccessError
            If it does not exist (`missing_error`), or the service does not answer.
        """

    @abstractmethod
    def list(self, prefix: str = "", *, deep: bool = True) -> Iterator[StoreEntry]:
        """Yield the files below a folder, sorted by path; none if the folder does not exist.

        With `deep` false, yield only those right in the folder. The root is the empty prefix:
        ``normalize_path(prefix, empty=True)``.
        """

    @abstractmethod
    def read_range(self, path: str, start: int, stop: int, *, if_tag: str | None = None) -> bytes:
        """Return the bytes from `start` to `stop`; fewer only where the file ends.

        Any number of threads may call it at once.

        Raises
        ------
        ConflictError
            If `if_tag` is given and the file has another version (`conflict_error`).
        FileAccessError
            If it does not exist, or can't be read.
        """

    @abstractmethod
    def write_bytes(self, path: str, data: bytes, *, if_absent: bool = False, if_tag: str | None = None) -> str:
        """Write a whole file in one step: others see the old content, or the new; return its tag.

        Parameters
        ----------
        path : str
            The file; folders are made as needed.
        data : bytes
            The content.
        if_absent : bool
            Write only if the file does not exist. Of several writers at once, one succeeds.
        if_tag : str, optional
            Write only if the file still has this version. Of several writers at once, one succeeds.

        Raises
        ------
        ConflictError
            If the condition does not hold. Nothing was written.
        FileAccessError
            If it can't be written.
        RequestError
            If the store can't write under that condition, or both are given (`check_condition`).
        """

    @abstractmethod
    def remove(self, path: str, *, if_tag: str | None = None) -> None:
        """Remove a file; do nothing if it does not exist.

        Raises
        ------
        ConflictError
            If it exists, but no longer has the version `if_tag`.
        RequestError
            If the store can't remove under that condition.
        """

    # What follows is made of the above -----------------------------------------------------------------

    def exists(self, path: str) -> bool:
        """Return True if a file of that path exists, or files below it."""
        folder = normalize_path(path)
        try:
            self.stat(path)
        except FileAccessError:
            return next(iter(self.list(folder)), None) is not None
        return True

    def glob(self, text: str) -> Iterator[StoreEntry]:
        """Yield the files whose paths match a pattern: ``*``, ``?``, ``[abc]``, and ``**`` for any folders."""
        return (entry for entry in self.list(literal_folder(text)) if match_path(entry.path, text))

    def read_bytes(self, path: str) -> bytes:
        """Return a file's content; errors are those of `read_range`."""
        file = self.open_ranged(path)
        return file.fetch(0, file.size) if file.size else b""

    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading: a file object with `seek`, which fetches only what is read (h5py, PyAV).

        All of it is one version of the file, or reading it is a `ConflictError`.
        """
        return BufferedReader(RangeReader(self.open_ranged(path)))

    def open_ranged(self, path: str) -> RangedFile:
        """Return the present version of a file, to be read by ranges."""
        return RangedFile(self, path)

    def put_file(self, source: Path, path: str, *, if_absent: bool = False, if_tag: str | None = None) -> str:
        """Write a local file's content as `write_bytes` does. Override it if large files should not pass memory."""
        return self.write_bytes(path, source.read_bytes(), if_absent=if_absent, if_tag=if_tag)

    def put_changes(self, path: str, changes: FileChanges, *, if_tag: str) -> str | None:
        """Write a new version of a file whose store keeps what did not change; return its tag.

        The default returns None and does nothing: the whole file is written instead (`put_file`). Override it if your
        service makes a file of parts of the old one; conditions and errors are those of `write_bytes`.
        """
        normalize_path(path)
        return None

    def local_path(self, path: str) -> Path | None:
        """Return the path of a file on this machine; None if the store is elsewhere."""
        normalize_path(path)
        return None

    def location(self, path: str) -> str:
        """Return the absolute path or URL of a file or folder."""
        return f"{self.root}/{normalize_path(path)}"

    def close(self) -> None:  # noqa: B027 (most stores have nothing to close)
        """Close connections; a store that is used again opens new ones."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({public_url(self.root)!r})"

    # Errors ---------------------------------------------------------------------------------------------

    def missing_error(self, path: str) -> FileAccessError:
        """Return the error for a file that does not exist."""
        url = public_url(f"{self.root}/{path}")
        return FileAccessError("no such file", where=url, hint="check the path and the store's root")

    def conflict_error(self, path: str, *, if_absent: bool = False) -> ConflictError:
        """Return the error for a condition that does not hold."""
        msg = "the file exists already" if if_absent else "another writer changed or removed the file"
        url = public_url(f"{self.root}/{path}")
        return ConflictError(msg, where=url, hint="nothing was done: look at the file's new state, and try again")

    def check_condition(self, path: str, if_absent: bool, if_tag: str | None) -> None:
        """Refuse two conditions at once, and any where the store has no conditional writes.

        Raises
        ------
        RequestError
            If so.
        """
        if if_absent and if_tag is not None:
            msg = "a file can't be absent and have a version"
            raise RequestError(msg, expected="one of if_absent and if_tag")
        if (if_absent or if_tag is not None) and not self.conditional_writes:
            raise unconditional_error(self, path)


def unconditional_error(store: Store, path: str) -> RequestError:
    """Return the error for a condition on a store that has no conditional writes."""
    scheme = store.root.partition(":")[0]
    return RequestError(
        f"{scheme}:// can't write under that condition: not supported",
        where=public_url(f"{store.root}/{path}"),
        expected="a local folder, s3://, or another store with conditional writes",
        hint="keep what several writers change (state, session files) in one of those",
    )
