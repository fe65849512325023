"""A store in a local folder."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from filelock import FileLock

from nwbpipe.disk import open_regular, refuse_special, remove_file
from nwbpipe.errors import FileAccessError
from nwbpipe.stores._paths import OURS, normalize_path, resolve_inside
from nwbpipe.stores._store import Store, StoreEntry

_LOCK = f"{OURS}lock"
_ABANDONED_AFTER = 3600.0  # seconds: then the unfinished file of a killed writer is removed


class LocalStore(Store):
    """A local folder as a store; it is made when something is written.

    Writers of one folder hold a lock of the operating system's for the moment of the change. A tag is made of the
    inode, the size and the time of the last change, which this class lets grow with each change.

    Parameters
    ----------
    root : Path
        An absolute path.
    """

    conditional_writes = True

    def __init__(self, root: Path) -> None:
        self.folder = Path(os.path.normpath(root))
        super().__init__(str(self.folder))

    def exists(self, path: str) -> bool:
        """See `Store.exists`."""
        return self.local_path(path).exists()

    def stat(self, path: str) -> StoreEntry:
        """See `Store.stat`."""
        file = self.local_path(path)
        with self._translate_errors(file, "reading"):
            stat = file.stat()
        if not file.is_file():
            raise FileAccessError("not a file", where=str(file), hint="give the path of a file")
        return _make_entry(normalize_path(path), stat)

    def list(self, prefix: str = "", *, deep: bool = True) -> Iterator[StoreEntry]:
        """See `Store.list`. Folders that links lead to are listed too, unless they lie outside the root."""
        entries = []
        visited: set[tuple[int, int]] = set()
        limit = self.folder.resolve()
        start = resolve_inside(self.folder, normalize_path(prefix, empty=True))
        for root, folders, names in os.walk(start, followlinks=True):
            if _was_visited(Path(root), visited) or not Path(root).resolve().is_relative_to(limit):
                folders.clear()
                continue
            if not deep:
                folders.clear()
            for name in names:
                file = Path(root) / name
                if name.startswith(OURS) or not file.resolve().is_relative_to(limit) or not file.is_file():
                    continue
                entries.append(_make_entry(file.relative_to(self.folder).as_posix(), file.stat()))
        yield from sorted(entries, key=lambda entry: entry.path)

    def read_range(self, path: str, start: int, stop: int, *, if_tag: str | None = None) -> bytes:
        """See `Store.read_range`."""
        with self.open(path) as file:
            file.seek(start)
            data = file.read(stop - start)
            stat = os.fstat(file.fileno())
        if if_tag is not None and _make_entry(path, stat).tag != if_tag:
            raise self.conflict_error(path)
        return data

    def read_bytes(self, path: str) -> bytes:
        """See `Store.read_bytes`."""
        file = self.local_path(path)
        with self._translate_errors(file, "reading"), open_regular(file) as opened:
            return opened.read()

    def open(self, path: str) -> IO[bytes]:
        """See `Store.open`."""
        file = self.local_path(path)
        with self._translate_errors(file, "reading"):
            return open_regular(file)

    def write_bytes(self, path: str, data: bytes, *, if_absent: bool = False, if_tag: str | None = None) -> str:
        """See `Store.write_bytes`."""
        with self._open_partial(path) as partial:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            return self._move_into_place(partial, path, if_absent, if_tag)

    def put_file(self, source: Path, path: str, *, if_absent: bool = False, if_tag: str | None = None) -> str:
        """See `Store.put_file`."""
        with self._open_partial(path) as partial:
            with open_regular(source) as reader, partial.open("xb") as file:
                shutil.copyfileobj(reader, file, 2**22)
                file.flush()
                os.fsync(file.fileno())
            return self._move_into_place(partial, path, if_absent, if_tag)

    def remove(self, path: str, *, if_tag: str | None = None) -> None:
        """See `Store.remove`."""
        file = self.local_path(path)
        if not file.parent.is_dir():
            return
        with self._translate_errors(file, "removing"), self._lock_folder(file):
            if not os.path.lexists(file):
                return
            if if_tag is not None and _make_entry(path, file.stat()).tag != if_tag:
                raise self.conflict_error(path)
            file.unlink(missing_ok=True)  # a link is removed, and not what it leads to

    def local_path(self, path: str) -> Path:
        """Return the path of a file; of one that does not exist, too."""
        return resolve_inside(self.folder, normalize_path(path))

    # Writing ------------------------------------------------------------------------------------------

    @contextmanager
    def _open_partial(self, path: str) -> Iterator[Path]:
        """Yield a name beside the target, for the file that is being written."""
        target = self.local_path(path)
        with self._translate_errors(target, "writing"):
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove_partials(target.parent)
            partial = target.parent / f"{OURS}{secrets.token_hex(8)}.partial"
            try:
                yield partial
            finally:
                remove_file(partial)

    def _move_into_place(self, partial: Path, path: str, if_absent: bool, if_tag: str | None) -> str:
        """Give a finished file its name, under the lock of its folder."""
        self.check_condition(path, if_absent, if_tag)
        target = self.local_path(path)
        with self._lock_folder(target):
            exists = os.path.lexists(target)
            old = target.stat() if exists and target.exists() else None
            if (if_absent and exists) or (
                if_tag is not None and (old is None or _make_entry(path, old).tag != if_tag)
            ):
                raise self.conflict_error(path, if_absent=if_absent)
            now = max(time.time_ns(), old.st_mtime_ns + 1 if old is not None else 0)
            os.utime(partial, ns=(now, now))
            tag = _make_entry(path, partial.stat()).tag
            partial.replace(target)
            if os.name != "nt":
                folder = os.open(target.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
            return tag

    @contextmanager
    def _lock_folder(self, file: Path) -> Iterator[None]:
        lock = file.parent / _LOCK
        refuse_special(lock)
        with FileLock(lock):
            yield

    @contextmanager
    def _translate_errors(self, file: Path, doing: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise self.missing_error(file.relative_to(self.folder).as_posix()) from error
        except OSError as error:
            msg = f"{doing} failed: {error.strerror or error}"
            raise FileAccessError(msg, where=str(file), hint="check permissions and space") from error


def _make_entry(path: str, stat: os.stat_result) -> StoreEntry:
    modified = datetime.fromtimestamp(stat.st_mtime, UTC)
    return StoreEntry(path, stat.st_size, modified, f"{stat.st_ino:x}-{stat.st_size:x}-{stat.st_mtime_ns:x}")


def _was_visited(folder: Path, seen: set[tuple[int, int]]) -> bool:
    """Return True if a walk came to a folder before: links may lead in circles."""
    stat = folder.stat()
    if (stat.st_dev, stat.st_ino) in seen:
        return True
    seen.add((stat.st_dev, stat.st_ino))
    return False


def _remove_partials(folder: Path) -> None:
    """Remove the unfinished files of killed writers: nobody writes one file for an hour without touching it."""
    for partial in folder.glob(f"{OURS}*.partial"):
        try:
            if time.time() - partial.stat().st_mtime > _ABANDONED_AFTER:
                remove_file(partial)
        except FileNotFoundError:
            continue
