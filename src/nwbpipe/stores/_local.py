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

from nwbpipe.errors import FileAccessError
from nwbpipe.stores._paths import OURS, normalize_path, resolve_inside
from nwbpipe.stores._store import Store, StoreEntry, check_condition, require_unchanged

_LOCK = f"{OURS}lock"
_LEFT = 3600.0  # seconds after which what a killed writer left is removed


class LocalStore(Store):
    """A local folder as a store; it is made when something is written.

    Writers of one folder hold a lock of the operating system's for the moment of the change. A tag is made of the
    inode, the size and the time of the last change, which this class lets grow with each change.

    Parameters
    ----------
    root : Path
        An absolute path.
    """

    def __init__(self, root: Path) -> None:
        self.folder = Path(os.path.normpath(root))
        self.root = str(self.folder)

    def exists(self, path: str) -> bool:
        """See `Store.exists`."""
        return self.local_path(path).exists()

    def stat(self, path: str) -> StoreEntry:
        """See `Store.stat`."""
        place = self.local_path(path)
        with self._translate_errors(place, "reading"):
            stat = place.stat()
        if not place.is_file():
            raise FileAccessError("not a file", where=str(place), hint="give the path of a file")
        return _entry(normalize_path(path), stat)

    def list(self, prefix: str = "", *, deep: bool = True) -> Iterator[StoreEntry]:
        """See `Store.list`. Folders that links lead to are listed too, unless they lie outside the root."""
        found = []
        seen: set[tuple[int, int]] = set()
        limit = self.folder.resolve()
        start = resolve_inside(self.folder, normalize_path(prefix, empty=True))
        for root, folders, names in os.walk(start, followlinks=True):
            if _was_visited(Path(root), seen) or not Path(root).resolve().is_relative_to(limit):
                folders.clear()
                continue
            if not deep:
                folders.clear()
            for name in names:
                place = Path(root) / name
                if name.startswith(OURS) or not place.resolve().is_relative_to(limit) or not place.is_file():
                    continue
                found.append(_entry(place.relative_to(self.folder).as_posix(), place.stat()))
        yield from sorted(found, key=lambda one: one.path)

    def read_bytes(self, path: str) -> bytes:
        """See `Store.read_bytes`."""
        place = self.local_path(path)
        with self._translate_errors(place, "reading"):
            return place.read_bytes()

    def open(self, path: str) -> IO[bytes]:
        """See `Store.open`."""
        place = self.local_path(path)
        with self._translate_errors(place, "reading"):
            return place.open("rb")

    def open_ranged(self, path: str) -> LocalRanges:
        """See `Store.ranged`."""
        return LocalRanges(self, path)

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
            with source.open("rb") as reader, partial.open("xb") as file:
                shutil.copyfileobj(reader, file, 2**22)
                file.flush()
                os.fsync(file.fileno())
            return self._move_into_place(partial, path, if_absent, if_tag)

    def remove(self, path: str, *, if_tag: str | None = None) -> None:
        """See `Store.remove`."""
        place = self.local_path(path)
        if not place.parent.is_dir():
            return
        with self._translate_errors(place, "removing"), self._lock_folder(place):
            if not os.path.lexists(place):
                return
            if if_tag is not None and _entry(path, place.stat()).tag != if_tag:
                raise self._conflict_error(path, False)
            place.unlink(missing_ok=True)

    def local_path(self, path: str) -> Path:
        """See `Store.local_path`; of a file that is not there, too."""
        return resolve_inside(self.folder, normalize_path(path))

    # Writing ------------------------------------------------------------------------------------------

    @contextmanager
    def _open_partial(self, path: str) -> Iterator[Path]:
        """Yield a name beside the target for what is being written."""
        place = self.local_path(path)
        with self._translate_errors(place, "writing"):
            place.parent.mkdir(parents=True, exist_ok=True)
            _remove_partials(place.parent)
            partial = place.parent / f"{OURS}{secrets.token_hex(8)}.partial"
            try:
                yield partial
            finally:
                partial.unlink(missing_ok=True)

    def _move_into_place(self, partial: Path, path: str, if_absent: bool, if_tag: str | None) -> str:
        """Give a finished file its name, under the lock of its folder."""
        check_condition(if_absent, if_tag)
        place = self.local_path(path)
        with self._lock_folder(place):
            there = os.path.lexists(place)
            old = place.stat() if there and place.exists() else None
            if (if_absent and there) or (if_tag is not None and (old is None or _entry(path, old).tag != if_tag)):
                raise self._conflict_error(path, if_absent)
            now = max(time.time_ns(), old.st_mtime_ns + 1 if old is not None else 0)
            os.utime(partial, ns=(now, now))
            tag = _entry(path, partial.stat()).tag
            partial.replace(place)
            if os.name != "nt":
                folder = os.open(place.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
            return tag

    @contextmanager
    def _lock_folder(self, place: Path) -> Iterator[None]:
        with FileLock(place.parent / _LOCK):
            yield

    @contextmanager
    def _translate_errors(self, place: Path, doing: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise self._missing_error(place.relative_to(self.folder).as_posix()) from error
        except OSError as error:
            msg = f"{doing} failed: {error.strerror or error}"
            raise FileAccessError(msg, where=str(place), hint="check permissions and space") from error


class LocalRanges:
    """A local file read by ranges: see `nwbpipe.stores.RangedFile`."""

    def __init__(self, store: LocalStore, path: str) -> None:
        self._store, self._path = store, path
        entry = store.stat(path)
        self.size, self.tag = entry.size, entry.tag

    def fetch(self, start: int, stop: int) -> bytes:
        """See `Ranged.fetch`."""
        with self._store.open(self._path) as file:
            file.seek(start)
            data = file.read(stop - start)
        return require_unchanged(data, stop - start, self._store, self._path, self.tag)


def _entry(path: str, stat: os.stat_result) -> StoreEntry:
    modified = datetime.fromtimestamp(stat.st_mtime, UTC)
    return StoreEntry(path, stat.st_size, modified, f"{stat.st_ino:x}-{stat.st_size:x}-{stat.st_mtime_ns:x}")


def _was_visited(folder: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether a walk came to a folder before: links may lead in circles."""
    stat = folder.stat()
    if (stat.st_dev, stat.st_ino) in seen:
        return True
    seen.add((stat.st_dev, stat.st_ino))
    return False


def _remove_partials(folder: Path) -> None:
    """Remove what killed writers left: nobody writes one file for an hour without touching it."""
    for left in folder.glob(f"{OURS}*.partial"):
        try:
            if time.time() - left.stat().st_mtime > _LEFT:
                left.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
