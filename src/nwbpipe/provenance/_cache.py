"""Cache identities, so that an unchanged file costs one stat.

The cache holds one small JSON file per data file, replaced atomically. Any number of processes may use the
folder: if two write at once, one entry may be lost and is computed again. A cache file that can't be read counts
as empty; a cache that can't be written is not used.

A file counts as unchanged if its device, inode, size and times of change (mtime, ctime) are the same. As in git, a
file that changed just before it was read is *racily clean*: a further change within the resolution of the file
system's clock would leave the same times. So an identity is cached only if the file had been at rest for
`settle_s` seconds when reading began, and its stat is the same when reading has ended. We wait until a large file
is at rest; a small file is hashed again next time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py

from nwbpipe.errors import FileAccessError, LockedFileError, UnsupportedFileError
from nwbpipe.files import hold_off_writers, open_remote_state, open_safe, read_settled
from nwbpipe.machine import make_cache_folder
from nwbpipe.provenance._cache_entries import CacheEntries, make_entry, overlap
from nwbpipe.provenance._files import (
    AnyStat,
    FileIdentity,
    FileStat,
    RawIdentity,
    RemoteStat,
    compute_file_identity,
    compute_remote_identity,
    hash_file,
    stat_file,
)
from nwbpipe.provenance._identity import IdentityResult, find_identity
from nwbpipe.provenance._own_identity import OWN, find_own_identity
from nwbpipe.provenance._pace import ReadingPace
from nwbpipe.stores import is_remote

_LARGE, _ATTEMPTS = 256 * 2**20, 3


@dataclass(frozen=True)
class Identity:
    """Identity of an object in a session file.

    Attributes
    ----------
    identity : str
        64 hexadecimal digits (see `identify_object`).
    path, object_id, neurodata_type : str
        HDF5 path, NWB object id and NWB type of the object.
    cached : bool
        True if it came from the cache.
    """

    identity: str
    path: str
    object_id: str
    neurodata_type: str
    cached: bool


def default_cache_folder() -> Path:
    """Return the folder of the cache: NWBPIPE_CACHE, or the user's cache folder."""
    return make_cache_folder()


class IdentityCache:
    """Identities of files and of objects in session files, kept while the files are unchanged.

    Parameters
    ----------
    folder : Path, optional
        Folder of the cache; default `default_cache_folder()`.
    settle_s : float
        Seconds that a file must have been at rest before its identity is cached: more than the resolution of the
        file system's clock (2 s on FAT, 1 s on some network file systems).
    """

    def __init__(self, folder: Path | str | None = None, *, settle_s: float = 2.0) -> None:
        self.folder = (Path(folder) if folder is not None else default_cache_folder()) / "identities"
        self._entries = CacheEntries(self.folder)
        self.settle_s = settle_s

    def identify(self, file: Path | str, object_path: str) -> Identity:
        """Return the identity of an object; an unchanged file is not opened.

        Parameters
        ----------
        file : Path or str
            The session file, or its URL (its version is then the ETag).
        object_path : str
            HDF5 path in it.

        Raises
        ------
        InputError
            The object, or something that it links to, is missing.
        FileAccessError, UnsupportedFileError, DamagedFileError, LockedFileError
            The file can't be read, is not HDF5, is damaged, or keeps changing.
        """
        (identity,) = self.identify_all(file, [object_path])
        return identity

    def identify_all(
        self, file: Path | str, object_paths: Sequence[str], *, stat: AnyStat | None = None
    ) -> list[Identity]:
        """Return the identities of several objects: those that the cache lacks are hashed in one open.

        Parameters
        ----------
        file : Path or str
            The session file, or its URL.
        object_paths : sequence of str
            HDF5 paths in it.
        stat : FileStat or RemoteStat, optional
            The state that the caller has just seen the file in; else it is asked for.
        """
        paths = [_normalize(path) for path in object_paths]
        stat = stat or _read_stat(file)
        identities = {path: entry for path in paths if (entry := self.look_up(file, path, stat=stat)) is not None}
        if missing := [path for path in paths if path not in identities]:
            identities |= self._hash_objects(file, missing, stat)
        return [identities[path] for path in paths]

    def _hash_objects(self, file: Path | str, paths: list[str], stat: AnyStat) -> dict[str, Identity]:
        attempts = _ATTEMPTS if stat.size < _LARGE else 2 * _ATTEMPTS
        for attempt in range(attempts):
            began = self._wait_until_settled(stat)
            with hold_off_writers(file, attempt >= attempts - 2):
                stat = _read_stat(file) if attempt else stat
                results, old_stat, new_stat = self._compute_identities(file, paths, stat)
            if old_stat == new_stat and all(_are_unchanged(result.files) for result in results.values()):
                break
            stat = new_stat
        else:
            raise LockedFileError(
                "the file changes while it is being read",
                where=str(file),
                hint="another program writes to it: try again when it has ended",
            )
        settled = {
            path: result
            for path, result in results.items()
            if all(self._is_settled(state, began) for state in (new_stat, *result.files.values()))
        }
        if settled:
            entry = self._entries.load(file, new_stat)
            for path, result in settled.items():
                entry["objects"][path] = make_entry(result)
            self._entries.store(file, entry)
        return {
            path: Identity(result.identity, path, result.object_id, result.neurodata_type, False)
            for path, result in results.items()
        }

    def look_up(self, file: Path | str, object_path: str, *, stat: AnyStat | None = None) -> Identity | None:
        """Return the cached identity of an object of an unchanged file, without reading it; None if there is none."""
        object_path = _normalize(object_path)
        entry = self._entries.load(file, stat or _read_stat(file))["objects"].get(object_path)
        if entry is None or not _are_unchanged(entry["files"]):
            return None
        return Identity(entry["identity"], object_path, entry["object_id"], entry["neurodata_type"], True)

    def identify_open(self, h5file: h5py.File, object_path: str, *, folder: Path | str, limit: int) -> str | None:
        """Return the identity of an object of an open file; None if an external file above `limit` needs hashing."""
        try:
            return find_identity(
                h5file, object_path, folder=folder, sha256=partial(self._hash_within, limit)
            ).identity
        except _HashLimitError:
            return None

    def list_dependencies(self, file: Path | str, object_path: str) -> set[str]:
        """Return the other files that the cached identity of an object depends on."""
        entry = self._entries.load(file, _read_stat(file))["objects"].get(_normalize(object_path))
        return set(entry["files"]) if entry else set()

    def _compute_identities(
        self, file: Path | str, paths: list[str], stat: AnyStat
    ) -> tuple[dict[str, IdentityResult], AnyStat, AnyStat]:
        """Hash objects; return the results, and the file's state before and after it was read."""
        if is_remote(file):
            with open_remote_state(file, keep=True) as (h5file, state):  # its reader comes next
                folder = str(file).rpartition("/")[0]
                opened = RemoteStat(state.etag, state.size)
                return self._find_identities(h5file, paths, folder), opened, opened
        local = Path(file)

        def read() -> dict[str, IdentityResult]:
            try:
                h5file = open_safe(local)
            except OSError as error:
                msg = "the file can't be opened as HDF5"
                raise UnsupportedFileError(msg, where=str(local), found=str(error)) from error
            with h5file:
                return self._find_identities(h5file, paths, local.resolve().parent)

        return read_settled(local, read), stat, _read_stat(file)

    def _find_identities(self, h5file: h5py.File, paths: list[str], folder: Path | str) -> dict[str, IdentityResult]:
        return {
            path: find_own_identity(h5file, path.removeprefix(OWN))
            if path.startswith(OWN)
            else find_identity(h5file, path, folder=folder, sha256=self._hash_file)
            for path in paths
        }

    def stat(self, file: Path | str) -> AnyStat:
        """Return a file's stat, for `carry_over` after a commit of our own."""
        return _read_stat(file)

    def carry_over(
        self,
        file: Path | str,
        old_stat: AnyStat,
        changed_paths: Iterable[str],
        new_stat: AnyStat | None = None,
        written: Mapping[str, IdentityResult] | None = None,
    ) -> int:
        """Carry the cached identities of a file's objects over a commit of our own.

        Call it while the file's lock is still held. It waits for the file system's clock to tick (20 ms), so
        that a later change gives another stat.

        Parameters
        ----------
        file : Path or str
            The file, after the commit.
        old_stat : FileStat
            Its stat before the commit.
        changed_paths : iterable of str
            Objects that were added, changed or removed. The identities of objects that are, contain, lie below
            or depend on one of them are dropped; all others are carried over.
        new_stat : optional
            Its stat after the commit, if the commit returned it: no lock is held in S3.
        written : mapping of str to IdentityResult, optional
            Identities of what the commit wrote, by name.

        Returns
        -------
        int
            Number of identities carried over.
        """
        entry = self._entries.load(file, old_stat)
        objects: Mapping[str, Any] = entry["objects"]
        changed = [_normalize(path) for path in changed_paths]
        remaining = {
            name: cached
            for name, cached in objects.items()
            if cached["reads"] is not None and not any(overlap(a, b) for a in changed for b in cached["reads"])
        }
        remaining |= {name: make_entry(result) for name, result in (written or {}).items()}
        if remaining and new_stat is not None:
            self._entries.store(file, {"stat": list(new_stat), "objects": remaining, "sha256": None})
        elif remaining:
            stat = _read_stat(file)
            time.sleep(0.02)
            if _read_stat(file) != stat:  # someone else writes
                return 0
            self._entries.store(file, {"stat": list(stat), "objects": remaining, "sha256": None})
        return len(remaining)

    def identify_file(
        self,
        path: Path | str,
        *,
        mode: RawIdentity = "full",
        origins: Mapping[Path, tuple[str, str, int]] | None = None,
        pace: ReadingPace | None = None,
    ) -> FileIdentity:
        """Return the identity of a raw source file, or of a folder as a tree of files.

        Parameters
        ----------
        path : Path or str
            File or folder; symbolic links are followed.
        mode : {"full", "stat"}
            Size and SHA-256 of the bytes, or size and time of the last change.
        origins : mapping, optional
            Files that are copies: URL, tag and size of their originals, under which the hash is cached.
        pace : ReadingPace, optional
            That of a conversion which reads the file meanwhile.

        Raises
        ------
        SourceError
            The file can't be read.
        """

        def sha256(file: Path | str) -> str:
            if origins is None or Path(file) not in origins:
                return self._hash_file(file, pace)
            url, tag, size = origins[Path(file)]
            entry = self._entries.load(url, RemoteStat(tag, size))
            if entry["sha256"] is None:
                entry["sha256"] = hash_file(file, pace)
                self._entries.store(url, entry)
            return str(entry["sha256"])

        return compute_file_identity(Path(path), mode, sha256)

    def identify_file_within(
        self, path: Path | str, *, mode: RawIdentity = "full", limit: int = 0
    ) -> FileIdentity | None:
        """Return the identity of a raw file or folder; None if a file of more than `limit` bytes would be hashed."""
        try:
            return compute_file_identity(Path(path), mode, partial(self._hash_within, limit))
        except _HashLimitError:
            return None

    def identify_remote_within(
        self, files: Mapping[str, tuple[str, RemoteStat]], *, limit: int = 0
    ) -> FileIdentity | None:
        """Do the same for remote files: URL and stat by the path below the folder ("" for a single file)."""
        stats = dict(files.values())

        def sha256(url: str) -> str:
            digest = self._entries.load(url, stats[url])["sha256"]
            if digest is None and stats[url].size > limit:
                raise _HashLimitError
            return self._hash_file(url) if digest is None else str(digest)

        try:
            return compute_remote_identity(files, sha256)
        except _HashLimitError:
            return None

    def _hash_within(self, limit: int, path: Path | str) -> str:
        stat = stat_file(path)
        if stat.size > limit and self._entries.load(path, stat)["sha256"] is None:
            raise _HashLimitError
        return self._hash_file(path)

    def _hash_file(self, path: Path | str, pace: ReadingPace | None = None) -> str:
        stat = stat_file(path)
        cached = self._entries.load(path, stat)["sha256"]
        if cached is not None:
            return str(cached)
        for _ in range(_ATTEMPTS):
            began = self._wait_until_settled(stat)
            value = hash_file(path, pace)
            previous, stat = stat, stat_file(path)
            if stat == previous:
                if self._is_settled(stat, began):
                    self._entries.store(path, self._entries.load(path, stat) | {"sha256": value})
                return value
        raise LockedFileError(
            "the file changes while it is being read",
            where=str(path),
            hint="it is still being recorded or copied: try again when that has ended",
        )

    def _is_settled(self, stat: AnyStat, at_ns: int) -> bool:
        if not isinstance(stat, FileStat):  # an ETag changes with the content
            return True
        # POSIX: no program can set ctime back. Windows: ctime is the creation, mtime has to do.
        changed = stat.ctime_ns if os.name == "posix" else max(stat.mtime_ns, stat.ctime_ns)
        return at_ns - changed >= self.settle_s * 1e9

    def _wait_until_settled(self, stat: AnyStat) -> int:
        """Wait until a large file is at rest: cheaper than hashing it twice. Return the time (ns)."""
        if stat.size >= _LARGE and not self._is_settled(stat, time.time_ns()):
            time.sleep(self.settle_s)
        return time.time_ns()


class _HashLimitError(Exception): ...


def identify_file(
    path: Path | str, *, mode: RawIdentity = "full", cache: IdentityCache | None = None
) -> FileIdentity:
    """Return the identity of a raw source file or folder; see `IdentityCache.identify_file`."""
    return (cache or IdentityCache()).identify_file(path, mode=mode)


def _read_stat(file: Path | str) -> AnyStat:
    try:
        return stat_file(file)
    except OSError as error:
        raise FileAccessError("the file can't be read", where=str(file), found=str(error)) from error


def _are_unchanged(files: Mapping[str, Any]) -> bool:
    try:
        return all(list(stat_file(name)) == list(stat) for name, stat in files.items())
    except (OSError, FileAccessError):
        return False


def _normalize(object_path: str) -> str:
    return "/" + object_path.strip("/")
