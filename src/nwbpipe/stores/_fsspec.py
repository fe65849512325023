"""A store on any other file system that fsspec knows: ``memory://``, ``gs://``, ``az://`` and more."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import fsspec

from nwbpipe.errors import FileAccessError, NwbpipeError, RequestError
from nwbpipe.stores._paths import OURS, normalize_path
from nwbpipe.stores._store import Store, StoreEntry, as_reader, check_condition, require_unchanged
from nwbpipe.stores.s3 import public_url

_BLOCK = 2**20
# File systems whose fsspec backend makes a file only if it is not there when asked to (mode="create").
_CREATE = {"memory", "gs", "gcs", "az", "abfs", "abfss", "adl"}
_memory = threading.RLock()


class FsspecStore(Store):
    """A URL of fsspec's as a store.

    ``if_absent`` works where the service has such a request (GCS, Azure), ``if_tag`` in memory only: fsspec has no
    common way to ask for it, and to look first and write then would lose updates.

    Parameters
    ----------
    root : str
        The URL.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self.scheme = root.partition(":")[0]
        try:
            self._fs, self._base = fsspec.core.url_to_fs(root)
        except ImportError as error:
            msg = f"{self.scheme}:// needs a package that is not installed"
            raise FileAccessError(msg, where=public_url(root), found=str(error), hint="install it") from None
        except Exception as error:
            msg = f"{self.scheme}:// can't be used"
            raise FileAccessError(msg, where=public_url(root), found=type(error).__name__) from None

    def exists(self, path: str) -> bool:
        """See `Store.exists`."""
        with self._translate_errors(path, "looking"):
            return bool(self._fs.exists(self._path(path)))

    def stat(self, path: str) -> StoreEntry:
        """See `Store.stat`."""
        with self._translate_errors(path, "looking"):
            info = self._info(path)
            if info["type"] != "file":
                raise FileNotFoundError(path)
            return self._entry(normalize_path(path), info)

    def list(self, prefix: str = "", *, deep: bool = True) -> Iterator[StoreEntry]:
        """See `Store.list`."""
        below = normalize_path(prefix, empty=True)
        start = f"{self._base}/{below}".rstrip("/")
        with self._translate_errors(prefix, "listing"):
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(start, maxdepth=None if deep else 1, detail=True)
            except FileNotFoundError:
                return
            own = len(self._base.rstrip("/")) + 1
            entries = [self._entry(name[own:], info) for name, info in found.items() if name != start]
        yield from sorted(
            (one for one in entries if not one.path.rpartition("/")[2].startswith(OURS)), key=lambda one: one.path
        )

    def read_bytes(self, path: str) -> bytes:
        """See `Store.read_bytes`."""
        with self._translate_errors(path, "reading"):
            data: bytes = self._fs.cat_file(self._path(path))
            return data

    def open(self, path: str) -> IO[bytes]:
        """See `Store.open`."""
        with self._translate_errors(path, "reading"):
            return as_reader(self._fs.open(self._path(path), "rb", block_size=_BLOCK, cache_type="readahead"))

    def open_ranged(self, path: str) -> FsspecRanges:
        """See `Store.ranged`."""
        return FsspecRanges(self, path)

    def fetch(self, path: str, start: int, stop: int) -> bytes:
        """Return the bytes of a file from `start` to `stop`."""
        with self._translate_errors(path, "reading"):
            data: bytes = self._fs.cat_file(self._path(path), start=start, end=stop)
            return data

    def write_bytes(self, path: str, data: bytes, *, if_absent: bool = False, if_tag: str | None = None) -> str:
        """See `Store.write_bytes`."""
        check_condition(if_absent, if_tag)
        self._check_conditions(if_absent, if_tag, path)
        with self._translate_errors(path, "writing"), self._exclude_writers():
            if if_tag is not None and (not self._fs.exists(self._path(path)) or self.stat(path).tag != if_tag):
                raise self._conflict_error(path, False)
            self._make_parent(path)
            try:
                self._fs.pipe_file(self._path(path), data, mode="create" if if_absent else "overwrite")
            except FileExistsError:
                raise self._conflict_error(path, True) from None
            return self.stat(path).tag

    def put_file(self, source: Path, path: str, *, if_absent: bool = False, if_tag: str | None = None) -> str:
        """See `Store.put_file`. With a condition the whole file passes through memory."""
        if if_absent or if_tag is not None:
            return self.write_bytes(path, source.read_bytes(), if_absent=if_absent, if_tag=if_tag)
        with self._translate_errors(path, "writing"):
            self._make_parent(path)
            partial = f"{self._path(path).rpartition('/')[0]}/{OURS}{secrets.token_hex(8)}"
            renames = self.scheme in ("file", "local", "sftp", "ssh", "smb", "hdfs")
            target = partial if renames else self._path(path)  # an object store shows an object when it is whole
            self._fs.put_file(str(source), target)
            if renames:
                self._fs.mv(partial, self._path(path))
            return self.stat(path).tag

    def remove(self, path: str, *, if_tag: str | None = None) -> None:
        """See `Store.remove`."""
        self._check_conditions(False, if_tag, path)
        with self._translate_errors(path, "removing"), self._exclude_writers():
            if not self._fs.exists(self._path(path)):
                return
            if if_tag is not None and self.stat(path).tag != if_tag:
                raise self._conflict_error(path, False)
            self._fs.rm_file(self._path(path))

    def local_path(self, path: str) -> None:
        """See `Store.local_path`: it is nowhere on this machine."""
        normalize_path(path)

    # ------------------------------------------------------------------------------------------------------

    def _path(self, path: str) -> str:
        return f"{self._base.rstrip('/')}/{normalize_path(path)}"

    def _info(self, path: str) -> dict[str, Any]:
        self._fs.invalidate_cache()
        info: dict[str, Any] = self._fs.info(self._path(path))
        return info

    def _entry(self, path: str, info: dict[str, Any]) -> StoreEntry:
        modified = next(
            (
                info[name]
                for name in ("mtime", "updated", "last_modified", "LastModified", "created")
                if info.get(name)
            ),
            None,
        )
        if isinstance(modified, int | float):
            modified = datetime.fromtimestamp(modified, UTC)
        if isinstance(modified, str):
            modified = datetime.fromisoformat(modified)
        tag = next((str(info[name]) for name in ("etag", "ETag", "generation", "md5Hash") if info.get(name)), "")
        if self.scheme == "memory":
            tag = hashlib.sha256(self._fs.cat_file(info["name"])).hexdigest()
        return StoreEntry(path, int(info["size"] or 0), modified, tag or f"{info['size']}-{modified}")

    def _check_conditions(self, if_absent: bool, if_tag: str | None, path: str) -> None:
        if (if_absent and self.scheme not in _CREATE) or (if_tag is not None and self.scheme != "memory"):
            msg = f"{self.scheme}:// can't write under that condition: not supported"
            raise RequestError(
                msg,
                where=public_url(f"{self.root}/{path}"),
                expected="a local folder or s3://",
                hint="keep what several writers change (state, session files) in one of those",
            )

    def _make_parent(self, path: str) -> None:
        if self.scheme in ("file", "local", "sftp", "ssh", "smb", "hdfs"):
            self._fs.makedirs(self._path(path).rpartition("/")[0], exist_ok=True)

    @contextmanager
    def _exclude_writers(self) -> Iterator[None]:
        """Keep this process's other writers out, where it is all there is."""
        if self.scheme != "memory":
            yield
            return
        with _memory:
            yield

    @contextmanager
    def _translate_errors(self, path: str, doing: str) -> Iterator[None]:
        try:
            yield
        except NwbpipeError:
            raise
        except FileNotFoundError:
            raise self._missing_error(path) from None
        except Exception as error:  # each backend has its own; what they say may hold a token
            msg = f"{self.scheme}:// failed while {doing}"
            raise FileAccessError(msg, where=public_url(f"{self.root}/{path}"), found=type(error).__name__) from None


class FsspecRanges:
    """A file of fsspec's read by ranges: see `nwbpipe.stores.RangedFile`.

    fsspec can't ask for a range under the condition that the file is still the same: it is looked at afterwards.
    """

    def __init__(self, store: FsspecStore, path: str) -> None:
        self._store, self._path = store, path
        entry = store.stat(path)
        self.size, self.tag = entry.size, entry.tag

    def fetch(self, start: int, stop: int) -> bytes:
        """See `Ranged.fetch`."""
        data = self._store.fetch(self._path, start, stop)
        return require_unchanged(data, stop - start, self._store, self._path, self.tag)
