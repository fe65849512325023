"""Identity of files: stat, and SHA-256 of the bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal, NamedTuple

from nwbpipe.disk import open_regular
from nwbpipe.errors import SourceError
from nwbpipe.files import read_stat
from nwbpipe.provenance._pace import ReadingPace
from nwbpipe.stores import RangeReader, is_junk, is_remote, open_location

RawIdentity = Literal["full", "stat"]


class FileStat(NamedTuple):
    """Stat of a local file: equal means unchanged, unless the file is "racily clean" (see the cache)."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path | str) -> FileStat:
        """Return the stat of a file; symbolic links are followed."""
        stat = read_stat(path)
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


class RemoteStat(NamedTuple):
    """ETag and size of a file in a remote store."""

    tag: str
    size: int


AnyStat = FileStat | RemoteStat


def stat_file(path: Path | str) -> AnyStat:
    """Return the stat of a local file, or of one at a URL.

    Raises
    ------
    OSError, FileAccessError
        The file is missing, or the store can't be reached.
    """
    if not is_remote(path):
        return FileStat.of(path)
    store, name = open_location(path)
    entry = store.stat(name)
    return RemoteStat(entry.tag, entry.size)


@dataclass(frozen=True)
class FileIdentity:
    """Identity of a raw source file, or of a folder as a tree of files.

    Attributes
    ----------
    size : int
        Bytes; for a folder the sum over its files.
    sha256 : str
        SHA-256 of a file's bytes; for a folder of the sorted relative names, sizes and SHA-256 of its files. In
        mode "stat" it is empty for a file, and covers the names, sizes and times of a folder.
    mtime_ns : int or None
        Time of the last change, which is part of the identity in mode "stat" only.
    """

    size: int
    sha256: str
    mtime_ns: int | None = None

    @property
    def identity(self) -> str:
        """One text that names the content."""
        if self.mtime_ns is None:
            return f"sha256:{self.sha256}:{self.size}"
        return f"stat:{self.sha256}:{self.size}:{self.mtime_ns}"


def leads_outside(folder: Path | str, name: str) -> bool:
    """Return True if a file's name, relative to a folder or its URL, leads out of that folder."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or PureWindowsPath(name).is_absolute():
        return True
    if is_remote(folder):
        return ".." in relative.parts
    return not (Path(folder) / relative).resolve().is_relative_to(Path(folder).resolve())


def hash_file(path: Path | str, pace: ReadingPace | None = None) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits; of a remote file nothing is kept on this disk.

    With `pace`, a local file is read beside a conversion.
    """
    if is_remote(path):
        store, name = open_location(path)
        remote = store.open_ranged(name)
        remote.reads_ahead = True
        return hashlib.file_digest(RangeReader(remote), "sha256").hexdigest()
    with open_regular(path) as file:
        if pace is None:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()
        for block in pace.iter_blocks(file):
            digest.update(block)
        return digest.hexdigest()


def _iter_files(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder once, without junk of systems and editors; linked folders are followed."""
    visited: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        stat = Path(root).stat()
        if (stat.st_dev, stat.st_ino) in visited:
            folders.clear()
            continue
        visited.add((stat.st_dev, stat.st_ino))
        folders[:] = [name for name in folders if not is_junk(name)]
        yield from (Path(root) / name for name in names if not is_junk(name))


def compute_file_identity(
    path: Path, mode: RawIdentity = "full", sha256: Callable[[Path], str] = hash_file
) -> FileIdentity:
    """Return the identity of a file or folder; `sha256` hashes one file (a cache may replace it)."""
    try:
        if not path.is_dir():
            stat = path.stat()
            if mode == "stat":
                return FileIdentity(stat.st_size, "", stat.st_mtime_ns)
            return FileIdentity(stat.st_size, sha256(path))
        files = sorted((file.relative_to(path).as_posix(), file) for file in _iter_files(path))
        return _combine_identities(((name, compute_file_identity(file, mode, sha256)) for name, file in files), mode)
    except OSError as error:
        raise SourceError(
            "a source file can't be read",
            where=str(path),
            expected="a file, or a folder of files",
            found=str(error),
            hint="correct the path, or give the permission to read it",
        ) from error


def compute_remote_identity(
    files: Mapping[str, tuple[str, RemoteStat]], sha256: Callable[[str], str]
) -> FileIdentity:
    """Return the identity that `compute_file_identity` would give for copies of remote files.

    Parameters
    ----------
    files : mapping
        URL and stat by the path below a folder ("" for a single file).
    sha256 : callable
        Hashes the file at a URL.
    """
    if "" in files:
        url, stat = files[""]
        return FileIdentity(stat.size, sha256(url))
    return _combine_identities(
        (name, FileIdentity(files[name][1].size, sha256(files[name][0]))) for name in sorted(files)
    )


def _combine_identities(files: Iterable[tuple[str, FileIdentity]], mode: RawIdentity = "full") -> FileIdentity:
    tree = hashlib.sha256()
    size, newest = 0, 0
    for name, file in files:
        size += file.size
        newest = max(newest, file.mtime_ns or 0)
        for part in (name, file.identity):
            data = part.encode("utf-8", "surrogateescape")
            tree.update(len(data).to_bytes(8, "little") + data)
    return FileIdentity(size, tree.hexdigest(), newest if mode == "stat" else None)
