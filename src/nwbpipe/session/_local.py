"""Session files on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import h5py

from nwbpipe import files
from nwbpipe.errors import DamagedFileError, FileAccessError, LockedFileError, UnsupportedFileError
from nwbpipe.provenance import LOCATION, FileStat, IdentityCache, IdentityResult
from nwbpipe.session._outside_media import locate_external_file
from nwbpipe.session._reader import SessionReader, read_nwb_version
from nwbpipe.session._session_file import ServedFile, SessionChange, SessionFile

T = TypeVar("T")


class LocalSessionFile(SessionFile):
    """A session file on this machine; see `SessionFile`.

    Parameters
    ----------
    path : Path
        The file; links are followed.
    """

    def __init__(self, path: Path) -> None:
        self.location = self._path = Path(os.path.realpath(path))  # `resolve` fails at links in a circle

    def __str__(self) -> str:
        return str(self._path)

    @property
    def folder(self) -> Path:
        """See `SessionFile.folder`."""
        return self._path.parent

    def version(self) -> FileStat:
        """See `SessionFile.version`."""
        self._require_file()
        return FileStat.of(self._path)

    @contextmanager
    def open(self, *, locked: bool = False) -> Iterator[SessionReader]:
        """See `SessionFile.open`."""
        self._require_file()
        with files.translate_damage(self._path):
            reader = files.read_settled(self._path, lambda: self._open_reader(locked))
            with reader.file, reader:
                yield reader

    def read(self, function: Callable[[SessionReader], T], *, locked: bool = False) -> T:
        """See `SessionFile.read`."""

        def once() -> T:
            reader = self._open_reader(locked)
            with reader.file, reader:
                return function(reader)

        self._require_file()
        with files.translate_damage(self._path):
            return files.read_settled(self._path, once)

    def keep_identities(
        self, change: SessionChange, changed: list[str], written: Mapping[str, IdentityResult]
    ) -> None:
        """See `SessionFile.keep_identities`; the writers' lock is still held."""
        IdentityCache().carry_over(self._path, change.version, changed, written=written)

    def require_changeable(self) -> None:
        """See `SessionFile.require_changeable`: each local file can be changed."""

    @contextmanager
    def change(
        self,
        *,
        lock_timeout: float = 60.0,
        check: Callable[[h5py.File], None] | None = None,
        committed: Callable[[], None] | None = None,
        unsafe_no_cas: bool = False,
        unlinks: bool = True,
    ) -> Iterator[SessionChange]:
        """See `SessionFile.change`."""
        self._require_file()
        files.read_settled(self._path, self._require_hdf5)
        left_alone = [LOCATION if unlinks else "/"]
        with (
            files.translate_damage(self._path),
            files.transaction(
                self._path, lock_timeout=lock_timeout, check=check, committed=committed, left_alone=left_alone
            ) as file,
        ):
            read_nwb_version(file)
            yield SessionChange(file, FileStat.of(self._path))

    def repack(self, *, lock_timeout: float = 60.0) -> tuple[int, int]:
        """See `SessionFile.repack`."""
        return files.repack(self._path, lock_timeout=lock_timeout)

    def repair(
        self, *, lock_timeout: float = 60.0, abandoned_after: timedelta = timedelta(days=1)
    ) -> tuple[str, ...]:
        """See `SessionFile.repair`."""
        return files.repair_file(self._path, lock_timeout=lock_timeout)

    def list_uploads(self) -> list[files.UnfinishedUpload]:
        """See `SessionFile.list_uploads`: a local file has none."""
        return []

    @contextmanager
    def local_copy(self) -> Iterator[Path]:
        """See `SessionFile.local_copy`."""
        yield self._path

    @contextmanager
    def external_files(self) -> Iterator[Callable[[str, str], Path]]:
        """See `SessionFile.external_files`."""
        yield lambda name, where: locate_external_file(self.folder, name, where)

    @contextmanager
    def serve(self, scratch: Path, media: Collection[str] = ()) -> Iterator[ServedFile]:
        """See `SessionFile.serve`: the tool reads the file where it is."""
        yield ServedFile(str(self._path))

    def _require_file(self) -> None:
        if not self._path.is_file():
            msg = "no such file"
            raise FileAccessError(msg, where=str(self._path), hint="check the path")

    def _require_hdf5(self) -> None:
        try:
            with self._path.open("rb") as raw:
                start = raw.read(files.SEARCHED_BYTES)
        except OSError as error:
            msg = f"the file can't be read: {error.strerror}"
            raise FileAccessError(msg, where=str(self._path), hint="check its permissions") from error
        if files.find_superblock(start) is None:
            msg = "not an HDF5 file"
            raise UnsupportedFileError(
                msg,
                where=str(self._path),
                expected="an NWB 2 file (HDF5)",
                found=f"a file that starts with {start[:8]!r}",
                hint="this is a Git LFS pointer: run `git lfs pull` in its repository"
                if start.startswith(b"version https://git-lfs")
                else None,
            )

    def _open_reader(self, locked: bool) -> SessionReader:
        version = FileStat.of(self._path)  # before it is read: what is changed meanwhile counts as changed since
        file = self._open_file(locked)
        try:
            return SessionReader(file, version)
        except BaseException:
            file.close()
            raise

    def _open_file(self, locked: bool) -> h5py.File:
        try:
            return files.open_safe(self._path, locking=locked)
        except BlockingIOError as error:
            msg = "another program has the file open for writing"
            raise LockedFileError(msg, where=str(self._path), hint="close it there, then try again") from error
        except OSError as error:
            if "locking flag" in str(error):  # HDF5 allows one way of locking a file within a process
                msg = "this process has the file open already"
                raise LockedFileError(msg, where=str(self._path), hint="close it first") from error
            self._require_hdf5()
            msg = "the file is damaged or truncated"
            raise DamagedFileError(
                msg, where=str(self._path), found=str(error), hint="restore it from a copy"
            ) from error
