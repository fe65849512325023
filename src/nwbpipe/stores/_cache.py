"""Blocks of remote files on this disk, shared by all runs and processes of a user.

One folder for each state of a remote file (its URL, size and tag). ``data/<name>`` is a sparse file of the file's
size; ``blocks`` holds 16 bytes for each block of 1 MiB: its BLAKE2b digest, or zeros while it is missing. A block is
written first, its digest then, and what is read is held to the digest: a block that a killed process or a full disk
left torn, or that anybody changed, is fetched again. So any number of processes fill one file without a lock.

A user of a file holds a shared lock on it. When the cache outgrows its limit, the files that nobody holds go, those
that were used longest ago first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from nwbpipe.disk import remove_folder
from nwbpipe.errors import ConflictError, FileAccessError, RequestError
from nwbpipe.machine import make_cache_folder
from nwbpipe.stores._ranged import RangedFile

if sys.platform != "win32":
    import fcntl

BLOCK = 2**20
_DIGEST = 16
_AT_ONCE = 16  # blocks that one request may fetch
_THREADS = 6
_LOOK = 256 * 2**20  # bytes fetched between two looks at the limit
LIMIT_VARIABLE = "NWBPIPE_CACHE_GB"


def cache_folder() -> Path:
    """Folder of cached blocks: below ``NWBPIPE_CACHE``, or the user's cache folder."""
    return make_cache_folder() / "blocks"


def cache_limit() -> int:
    """Bytes that the cache may take: ``NWBPIPE_CACHE_GB`` (default 50) times 1e9.

    Raises
    ------
    RequestError
        If it is not a number.
    """
    text = os.environ.get(LIMIT_VARIABLE, "50")
    try:
        return int(float(text) * 1e9)
    except (ValueError, OverflowError):
        msg = f"{LIMIT_VARIABLE} is not a number"
        raise RequestError(msg, expected="gigabytes, such as 50", found=text) from None


class CachedFile:
    """One state of a remote file, whose blocks are kept on this disk once they were read.

    Parameters
    ----------
    source : Ranged
        Where missing blocks come from.
    url : str
        Its address: with size and tag it names the state.
    folder : Path, optional
        The cache; default `cache_folder()`.
    limit : int, optional
        Bytes that the cache may take; default `cache_limit()`. Files in use are kept in any case; what is read of
        a file by ranges is not kept when there is no room.
    """

    def __init__(self, source: RangedFile, url: str, *, folder: Path | None = None, limit: int | None = None) -> None:
        self.source, self.size, self._tag = source, source.size, source.tag
        self._cache = folder or cache_folder()
        self._limit = cache_limit() if limit is None else limit
        state = json.dumps([url, source.size, source.tag]).encode()
        self._folder = self._cache / hashlib.sha256(state).hexdigest()[:40]
        self._name = url.rpartition("/")[2] or "data"
        self._mutex = threading.Lock()
        self._verified: set[int] = set()
        self._keeping = True
        self._since_look = 0
        self._next = -1  # block after the last that was fetched
        with _translate_errors(self._cache, "making the cache"):
            self._lock = self._hold()
            trim_cache(self._cache, self._limit)
            self.path.parent.mkdir(exist_ok=True)
            if self.path.exists():
                self.path.chmod(0o600)
            self._data = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
            os.ftruncate(self._data, self.size)
            index = self._folder / "blocks"
            self._index = os.open(index, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
            os.ftruncate(self._index, self._count * _DIGEST)

    @property
    def path(self) -> Path:
        """The file in the cache: what was not read is missing in it (see `whole`)."""
        return self._folder / "data" / self._name

    @property
    def tag(self) -> str:
        """The tag of the state."""
        return self._tag

    @property
    def _count(self) -> int:
        return -(-self.size // BLOCK)

    def _hold(self) -> int:
        """Take the shared lock of the folder, which says that it is in use."""
        while True:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self._folder / "lock"
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                if sys.platform != "win32":
                    fcntl.flock(descriptor, fcntl.LOCK_SH)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(descriptor), path.stat()):
                        os.utime(path)
                        return descriptor
                os.close(descriptor)  # it went in between

    def close(self) -> None:
        """Let the file go: it may now be removed from the cache."""
        for descriptor in (self._data, self._index, self._lock):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def __enter__(self) -> CachedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Reading ------------------------------------------------------------------------------------------

    def read_at(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset` on; any number of threads may ask at once.

        Raises
        ------
        ConflictError
            If the file is no longer in that state, and a block is missing.
        FileAccessError
            If it can't be read.
        """
        stop = min(offset + size, self.size)
        if offset >= stop:
            return b""
        first, end = offset // BLOCK, -(-stop // BLOCK)
        blocks: list[bytes] = []
        number = first
        while number < end:
            block = self._read_cached(number)
            if block is not None:
                blocks.append(block)
                number += 1
                continue
            ahead = number == self._next and self._keeping  # in order: a few more will be asked for soon
            most = min(self._count if ahead else end, number + _AT_ONCE)
            last = number + 1
            while last < most and not self._has_block(last):
                last += 1
            blocks += self._fetch(number, last)
            number = self._next = last
        return b"".join(blocks)[offset - first * BLOCK : stop - first * BLOCK]

    def fetch_whole(self, progress: Callable[[float], None] | None = None) -> Path:
        """Fetch what is missing, several ranges at once, verify the rest, and return the path of the whole file.

        The file may then be read by anybody, and written by nobody, while this object is open.

        Raises
        ------
        FileAccessError
            If there is no space, or the file can't be read.
        """
        missing = [number for number in range(self._count) if self._read_cached(number, verify=True) is None]
        needed, free = len(missing) * BLOCK, shutil.disk_usage(self._folder).free
        if needed > free:
            msg = "there is no space to download the file"
            raise FileAccessError(
                msg, where=str(self.path), expected=f"{needed / 1e9:.1f} GB free", found=f"{free / 1e9:.1f} GB"
            )
        ranges: list[tuple[int, int]] = []
        for number in missing:
            if ranges and ranges[-1][1] == number and number - ranges[-1][0] < _AT_ONCE:
                ranges[-1] = (ranges[-1][0], number + 1)
            else:
                ranges.append((number, number + 1))
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="nwbpipe-cache") as pool:
            tasks = [pool.submit(self._fetch, *bounds, must_keep=True) for bounds in ranges]
            try:
                for finished, task in enumerate(tasks, 1):
                    task.result()
                    if progress is not None:
                        progress(finished / len(tasks))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        with _translate_errors(self.path, "downloading"):
            os.fsync(self._data)
            self.path.chmod(0o400)
        return self.path

    def _has_block(self, number: int) -> bool:
        return any(_read(self._index, _DIGEST, number * _DIGEST))

    def _read_cached(self, number: int, *, verify: bool = False) -> bytes | None:
        """Return a block from the disk, if it is there and right."""
        digest = _read(self._index, _DIGEST, number * _DIGEST)
        if not any(digest):
            return None
        block = _read(self._data, self._length(number), number * BLOCK)
        if verify or number not in self._verified:
            if _digest(block) != digest:
                return None
            self._verified.add(number)
        return block

    def _length(self, number: int) -> int:
        return min(BLOCK, self.size - number * BLOCK)

    def _fetch(self, first: int, end: int, *, must_keep: bool = False) -> list[bytes]:
        data = self.source.fetch(first * BLOCK, min(end * BLOCK, self.size))
        blocks = [data[(number - first) * BLOCK :][: self._length(number)] for number in range(first, end)]
        if self.source.tag != self._tag:  # it went on with a newer state, which is not this entry's
            self._keeping = False
            if must_keep:
                msg = "another writer changed the file while it was downloaded"
                raise ConflictError(msg, where=self._name, hint="do it again, on the new state")
        if self._has_room(len(data)) or must_keep:
            try:
                for number, block in enumerate(blocks, first):
                    _write(self._data, block, number * BLOCK)
                    _write(self._index, _digest(block), number * _DIGEST)
            except OSError as error:
                if must_keep:
                    msg = f"downloading failed: {error.strerror or error}"
                    raise FileAccessError(msg, where=str(self.path), hint="free space on that disk") from error
                self._keeping = False  # the disk is full, or fails: reading goes on without it
        return blocks

    def _has_room(self, size: int) -> bool:
        """Return True if the cache has room for data read by range. Its size is measured only now and then."""
        with self._mutex:
            self._since_look += size
            if self._keeping and self._since_look >= min(_LOOK, self._limit // 4):
                self._since_look = 0
                self._keeping = trim_cache(self._cache, max(self._limit - size, 0)) + size <= self._limit
            return self._keeping


def trim_cache(folder: Path, limit: int) -> int:
    """Remove files that nobody uses, the longest unused first, until the cache is within its limit.

    Returns
    -------
    int
        Bytes that it takes on the disk afterwards.
    """
    with _translate_errors(folder, "trimming the cache"), FileLock(folder / ".lock"):
        for leftover in folder.glob(".gone-*"):
            remove_folder(leftover)
        entries = sorted(_iter_entries(folder))
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= limit:
                break
            if _remove_unused(path):
                total -= size
        return total


def _iter_entries(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield when each file was last taken into use, what it takes on the disk, and its folder."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            size = sum(_allocated_bytes(file.stat()) for file in path.rglob("*") if file.is_file())
            lock = path / "lock"
            yield (lock.stat().st_mtime if lock.exists() else time.time()), size, path


def _allocated_bytes(stat: os.stat_result) -> int:
    return int(getattr(stat, "st_blocks", -(-stat.st_size // 512))) * 512


def _remove_unused(path: Path) -> bool:
    lock = path / "lock"
    with contextlib.suppress(OSError), lock.open("rb") as lock_file:
        if sys.platform != "win32":
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        trash = path.with_name(f".gone-{secrets.token_hex(8)}")
        path.rename(trash)
        remove_folder(trash)
        return True
    return False


def _digest(block: bytes) -> bytes:
    return hashlib.blake2b(block, digest_size=_DIGEST).digest()


_seeking = threading.Lock()


def _read(descriptor: int, size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    with _seeking:  # Windows
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        if hasattr(os, "pwrite"):
            written = os.pwrite(descriptor, data, offset)
        else:
            with _seeking:
                os.lseek(descriptor, offset, os.SEEK_SET)
                written = os.write(descriptor, data)
        data, offset = data[written:], offset + written


@contextlib.contextmanager
def _translate_errors(path: Path, doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"{doing} failed: {error.strerror or error}"
        raise FileAccessError(
            msg, where=str(path), hint="set NWBPIPE_CACHE to a folder with space and permission"
        ) from error
