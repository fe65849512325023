"""A store on any other file system that fsspec knows: ``memory://``, ``gs://``, ``az://`` and more."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from nwbpipe.errors import FileAccessError, NwbpipeError
from nwbpipe.stores._paths import OURS, normalize_path
from nwbpipe.stores._store import Store, StoreEntry
from nwbpipe.stores._urls import EXTRAS, public_url

_BLOCK = 2**20
HTTP_SILENT_S, HTTP_TOTAL_S = 15.0, 120.0  # of one request
# File systems whose fsspec backend makes a file only if it is not there when asked to (mode="create").
_CREATES = {"memory", "gs", "gcs", "az", "abfs", "abfss", "adl"}
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
        super().__init__(root)
        self.scheme = root.partition(":")[0]
        self.conditional_writes = self.scheme == "memory"  # and so within this process

    @cached_property
    def _file_system(self) -> tuple[Any, str]:
        """The file system, and the root's path in it."""
        import fsspec

        url = public_url(self.root)
        try:
            fs, base = fsspec.core.url_to_fs(self.root, **self._options())
        except ImportError as error:
            msg = f"{self.scheme}:// needs a package that is not installed"
            hint = f'pip install "nwbpipe[{EXTRAS[self.scheme]}]"' if self.scheme in EXTRAS else "install it"
            raise FileAccessError(msg, where=url, found=str(error), hint=hint) from None
        except Exception as error:
            raise FileAccessError(f"{self.scheme}:// can't be used", where=url, found=type(error).__name__) from None
        return fs, base.rstrip("/")

    def _options(self) -> dict[str, Any]:
        """Limits of time for a server that is silent, or gives one byte a second; aiohttp waits five minutes."""
        if self.scheme not in ("http", "https"):
            return {}
        from aiohttp import ClientTimeout

        timeout = ClientTimeout(total=HTTP_TOTAL_S, sock_connect=HTTP_SILENT_S, sock_read=HTTP_SILENT_S)
        return {"client_kwargs": {"timeout": timeout}}

    @property
    def _fs(self) -> Any:
        return self._file_system[0]

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
            return self._make_entry(normalize_path(path), info)

    def list(self, prefix: str = "", *, deep: bool = True) -> Iterator[StoreEntry]:
        """See `Store.list`."""
        below = normalize_path(prefix, empty=True)
        with self._translate_errors(prefix, "listing"):
            base = self._file_system[1]
            start = f"{base}/{below}".rstrip("/")
            self._fs.invalidate_cache()
            try:
                files = self._fs.find(start, maxdepth=None if deep else 1, detail=True)
            except FileNotFoundError:
                return
            skipped = len(base) + 1
            entries = [self._make_entry(name[skipped:], info) for name, info in files.items() if name != start]
        visible = (entry for entry in entries if not entry.path.rpartition("/")[2].startswith(OURS))
        yield from sorted(visible, key=lambda entry: entry.path)

    def read_range(self, path: str, start: int, stop: int, *, if_tag: str | None = None) -> bytes:
        """See `Store.read_range`. fsspec has no condition for reading: the version is looked at afterwards."""
        with self._translate_errors(path, "reading"), self._exclude_writers():
            data: bytes = self._fs.cat_file(self._path(path), start=start, end=stop)
            if if_tag is not None and self.stat(path).tag != if_tag:
                raise self.conflict_error(path)
            return data

    def read_bytes(self, path: str) -> bytes:
        """See `Store.read_bytes`."""
        with self._translate_errors(path, "reading"):
            data: bytes = self._fs.cat_file(self._path(path))
            return data

    def open(self, path: str) -> IO[bytes]:
        """See `Store.open`. Without conditional writes, fsspec reads ahead and looks at no versions."""
        if self.conditional_writes:
            return super().open(path)
        with self._translate_errors(path, "reading"):
            file: IO[bytes] = self._fs.open(self._path(path), "rb", block_size=_BLOCK, cache_type="readahead")
            return file

    def write_bytes(self, path: str, data: bytes, *, if_absent: bool = False, if_tag: str | None = None) -> str:
        """See `Store.write_bytes`."""
        self.check_condition(path, if_absent, if_tag)
        with self._translate_errors(path, "writing"), self._exclude_writers():
            if if_tag is not None and (not self._fs.exists(self._path(path)) or self.stat(path).tag != if_tag):
                raise self.conflict_error(path)
            self._make_parent(path)
            try:
                self._fs.pipe_file(self._path(path), data, mode="create" if if_absent else "overwrite")
            except FileExistsError:
                raise self.conflict_error(path, if_absent=True) from None
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
        self.check_condition(path, False, if_tag)
        with self._translate_errors(path, "removing"), self._exclude_writers():
            if not self._fs.exists(self._path(path)):
                return
            if if_tag is not None and self.stat(path).tag != if_tag:
                raise self.conflict_error(path)
            self._fs.rm_file(self._path(path))

    # ------------------------------------------------------------------------------------------------------

    def _path(self, path: str) -> str:
        return f"{self._file_system[1]}/{normalize_path(path)}"

    def _info(self, path: str) -> dict[str, Any]:
        self._fs.invalidate_cache()
        info: dict[str, Any] = self._fs.info(self._path(path))
        return info

    def _make_entry(self, path: str, info: dict[str, Any]) -> StoreEntry:
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

    def check_condition(self, path: str, if_absent: bool, if_tag: str | None) -> None:
        """See `Store.check_condition`: some services make a file only where none is, and have no other condition."""
        if if_absent and if_tag is None and self.scheme in _CREATES:
            return
        super().check_condition(path, if_absent, if_tag)

    def _make_parent(self, path: str) -> None:
        if self.scheme in ("file", "local", "sftp", "ssh", "smb", "hdfs"):
            self._fs.makedirs(self._path(path).rpartition("/")[0], exist_ok=True)

    @contextmanager
    def _exclude_writers(self) -> Iterator[None]:
        """Keep this process's other writers out of the memory file system."""
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
            raise self.missing_error(path) from None
        except Exception as error:  # each backend has its own; their texts may hold a token
            msg = f"{self.scheme}:// failed while {doing}"
            raise FileAccessError(msg, where=public_url(f"{self.root}/{path}"), found=type(error).__name__) from None
