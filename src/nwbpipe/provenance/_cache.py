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

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import platformdirs

from nwbpipe.errors import FileAccessError, LockedFileError, UnsupportedFileError
from nwbpipe.files import open_remote, read_settled
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
from nwbpipe.provenance._hashing import FORMAT
from nwbpipe.provenance._identity import IdentityResult, find_identity
from nwbpipe.stores import is_remote

_LARGE = 256 * 2**20
_ATTEMPTS = 3


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
    chosen = os.environ.get("NWBPIPE_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("nwbpipe"))


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
        self.settle_s = settle_s

    # Objects ------------------------------------------------------------------------------------------

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
        object_path = "/" + object_path.strip("/")
        stat = _read_stat(file)
        if (cached := self.look_up(file, object_path)) is not None:
            return cached
        for _ in range(_ATTEMPTS):
            began = self._wait_until_settled(stat)
            result = self._compute_identity(file, object_path)
            previous, stat = stat, _read_stat(file)
            if stat == previous and _are_unchanged(result.files):
                break
        else:
            raise LockedFileError(
                "the file changes while it is being read",
                where=str(file),
                hint="another program writes to it: try again when it has ended",
            )
        if all(self._is_settled(file_stat, began) for file_stat in (stat, *result.files.values())):
            entry = self._load(file, stat)
            entry["objects"][object_path] = {
                "identity": result.identity,
                "object_id": result.object_id,
                "neurodata_type": result.neurodata_type,
                "files": {name: list(file_stat) for name, file_stat in result.files.items()},
                "reads": result.objects,
            }
            self._store(file, entry)
        return Identity(result.identity, object_path, result.object_id, result.neurodata_type, False)

    def look_up(self, file: Path | str, object_path: str) -> Identity | None:
        """Return the cached identity of an object of an unchanged file, without reading it; else None."""
        object_path = "/" + object_path.strip("/")
        entry = self._load(file, _read_stat(file))["objects"].get(object_path)
        if entry is None or not _are_unchanged(entry["files"]):
            return None
        return Identity(entry["identity"], object_path, entry["object_id"], entry["neurodata_type"], True)

    def list_dependencies(self, file: Path | str, object_path: str) -> set[str]:
        """Return the other files that the cached identity of an object depends on."""
        entry = self._load(file, _read_stat(file))["objects"].get("/" + object_path.strip("/"))
        return set(entry["files"]) if entry else set()

    def _compute_identity(self, file: Path | str, object_path: str) -> IdentityResult:
        if is_remote(file):
            folder = str(file).rpartition("/")[0]
            with open_remote(file, keep=True) as h5file:  # its reader comes next
                return find_identity(h5file, object_path, folder=folder, sha256=self._hash_file)
        local = Path(file)

        def read() -> IdentityResult:
            try:
                h5file = h5py.File(local, "r", locking=False)
            except OSError as error:
                msg, expected = "the file can't be opened as HDF5", "an NWB file (HDF5)"
                raise UnsupportedFileError(msg, where=str(local), expected=expected, found=str(error)) from error
            with h5file:
                return find_identity(h5file, object_path, folder=local.resolve().parent, sha256=self._hash_file)

        return read_settled(local, read)

    def stat(self, file: Path | str) -> AnyStat:
        """Return a file's stat, to be given to `carry_over` after a commit of our own."""
        return _read_stat(file)

    def carry_over(
        self,
        file: Path | str,
        old_stat: AnyStat,
        changed_paths: Iterable[str],
        new_stat: AnyStat | None = None,
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

        Returns
        -------
        int
            Number of identities carried over.
        """
        entry = self._load(file, old_stat)
        objects: Mapping[str, Any] = entry["objects"]
        changed = ["/" + path.strip("/") for path in changed_paths]
        remaining = {
            name: cached
            for name, cached in objects.items()
            if cached["reads"] is not None and not any(_overlap(a, b) for a in changed for b in cached["reads"])
        }
        if remaining and new_stat is not None:
            self._store(file, {"stat": list(new_stat), "objects": remaining, "sha256": None})
        elif remaining:
            stat = _read_stat(file)
            time.sleep(0.02)
            if _read_stat(file) != stat:  # someone else writes
                return 0
            self._store(file, {"stat": list(stat), "objects": remaining, "sha256": None})
        return len(remaining)

    # Whole files --------------------------------------------------------------------------------------

    def identify_file(
        self,
        path: Path | str,
        *,
        mode: RawIdentity = "full",
        origins: Mapping[Path, tuple[str, str, int]] | None = None,
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

        Raises
        ------
        SourceError
            The file can't be read.
        """
        copies = origins or {}

        def sha256(file: Path | str) -> str:
            if Path(file) not in copies:
                return self._hash_file(file)
            url, tag, size = copies[Path(file)]
            entry = self._load(url, RemoteStat(tag, size))
            if entry["sha256"] is None:
                entry["sha256"] = hash_file(file)
                self._store(url, entry)
            return str(entry["sha256"])

        return compute_file_identity(Path(path), mode, sha256)

    def identify_file_within(
        self, path: Path | str, *, mode: RawIdentity = "full", limit: int = 0
    ) -> FileIdentity | None:
        """Return the identity of a raw file or folder; None if a file of more than `limit` bytes would be hashed."""

        def sha256(file: Path | str) -> str:
            stat = stat_file(file)
            if stat.size > limit and self._load(file, stat)["sha256"] is None:
                raise _HashLimitError
            return self._hash_file(file)

        try:
            return compute_file_identity(Path(path), mode, sha256)
        except _HashLimitError:
            return None

    def identify_remote_within(
        self, files: Mapping[str, tuple[str, RemoteStat]], *, limit: int = 0
    ) -> FileIdentity | None:
        """Do the same for remote files: URL and stat by the path below the folder ("" for a single file)."""
        stats = dict(files.values())

        def sha256(url: str) -> str:
            digest = self._load(url, stats[url])["sha256"]
            if digest is None and stats[url].size > limit:
                raise _HashLimitError
            return self._hash_file(url) if digest is None else str(digest)

        try:
            return compute_remote_identity(files, sha256)
        except _HashLimitError:
            return None

    def _hash_file(self, path: Path | str) -> str:
        stat = stat_file(path)
        cached = self._load(path, stat)["sha256"]
        if cached is not None:
            return str(cached)
        for _ in range(_ATTEMPTS):
            began = self._wait_until_settled(stat)
            value = hash_file(path)
            previous, stat = stat, stat_file(path)
            if stat == previous:
                if self._is_settled(stat, began):
                    self._store(path, self._load(path, stat) | {"sha256": value})
                return value
        raise LockedFileError(
            "the file changes while it is being read",
            where=str(path),
            hint="it is still being recorded or copied: try again when that has ended",
        )

    # Entries ------------------------------------------------------------------------------------------

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

    def _path(self, file: Path | str) -> Path:
        location = str(file) if is_remote(file) else os.path.realpath(file)
        name = hashlib.sha256(os.fsencode(location)).hexdigest()
        return self.folder / f"{name[:40]}.json"

    def _load(self, file: Path | str, stat: AnyStat) -> dict[str, Any]:
        """Return the cached entry of a file with that stat, or an empty one."""
        empty: dict[str, Any] = {"stat": list(stat), "objects": {}, "sha256": None}
        try:
            entry = json.loads(self._path(file).read_bytes())
            good = (
                entry["format"] == FORMAT
                and entry["stat"] == list(stat)
                and (entry["sha256"] is None or isinstance(entry["sha256"], str))
                and all(map(_is_entry, entry["objects"].values()))
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return empty
        return {name: entry[name] for name in empty} if good else empty

    def _store(self, file: Path | str, entry: dict[str, Any]) -> None:
        path = self._path(file)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
            try:
                with os.fdopen(handle, "w") as stream:
                    json.dump({"format": FORMAT} | entry, stream)
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise


class _HashLimitError(Exception):
    """A file is larger than may be hashed now."""


def identify_file(
    path: Path | str, *, mode: RawIdentity = "full", cache: IdentityCache | None = None
) -> FileIdentity:
    """Return the identity of a raw source file or folder; see `IdentityCache.identify_file`."""
    return (cache or IdentityCache()).identify_file(path, mode=mode)


def _is_entry(entry: Any) -> bool:
    return (
        all(isinstance(entry[name], str) for name in ("identity", "object_id", "neurodata_type"))
        and isinstance(entry["files"], dict)
        and (entry["reads"] is None or all(isinstance(name, str) for name in entry["reads"]))
    )


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


def _overlap(first: str, second: str) -> bool:
    """Return True if two HDF5 paths are the same, or one lies below the other."""
    first, second = first.rstrip("/") + "/", second.rstrip("/") + "/"
    return first.startswith(second) or second.startswith(first)
