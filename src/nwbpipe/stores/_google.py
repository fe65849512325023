"""A store in Google Cloud Storage."""

from __future__ import annotations

import io
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from functools import cached_property, lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import IO, Any
from urllib.parse import urlsplit

from nwbpipe.errors import FileAccessError, NwbpipeError
from nwbpipe.stores._objects import ObjectStore
from nwbpipe.stores._parts import FileChanges
from nwbpipe.stores._paths import normalize_path
from nwbpipe.stores._ranged import RangeReader
from nwbpipe.stores._store import StoreEntry
from nwbpipe.stores._urls import public_url

logger = logging.getLogger("nwbpipe")
_WRITE = "nwbpipe-write"  # in an object's metadata: which write made it
_DEADLINE_S = 60.0  # for the client to try a request again
_TIMEOUT_S = (15.0, 60.0)  # to connect, and between bytes
_REAL = "https://storage.googleapis.com"
_ABSENT = 0  # the generation of an object that does not exist
_KEPT = (
    "content_type", "cache_control", "content_disposition", "content_encoding", "content_language", "custom_time",
)  # fmt: skip


def has_google() -> bool:
    """Return True if the package of Google's client is installed."""
    with suppress(ModuleNotFoundError):  # another package of Google may be there
        return find_spec("google.cloud.storage") is not None
    return False


class GoogleStore(ObjectStore):
    """A bucket of Google Cloud Storage, or what is below a prefix in it; conditions are generations.

    The account is what Google's client finds: ``GOOGLE_APPLICATION_CREDENTIALS``, or that of ``gcloud auth
    application-default login``, or the machine's own.

    Parameters
    ----------
    root : str
        ``gs://bucket/prefix``.
    """

    conditional_writes = True  # `_require_conditions` asks a server other than Google's own before the first

    def __init__(self, root: str) -> None:
        super().__init__(root)
        address = urlsplit(self.root)
        self.bucket, self.prefix = address.netloc, address.path.strip("/")

    @cached_property
    def _client(self) -> Any:
        kind = import_module("google.cloud.storage").Client
        with self._translate_errors("", "connecting"):
            try:
                return kind(project=None)  # an object has no project
            except import_module("google.auth.exceptions").DefaultCredentialsError:
                return kind.create_anonymous_client()  # for buckets that all the world may read

    def stat(self, path: str) -> StoreEntry:
        """See `Store.stat`."""
        blob = self._blob(path)
        with self._translate_errors(path, "looking"):
            blob.reload(**_limit())
        return _make_entry(normalize_path(path), blob)

    def list(self, prefix: str = "", *, deep: bool = True) -> Iterator[StoreEntry]:
        """See `Store.list`."""
        start = self._make_folder_key(prefix)
        with self._translate_errors("", "listing"):
            pages = self._client.list_blobs(
                self.bucket, prefix=start or None, delimiter=None if deep else "/", **_limit()
            )
            for blob in pages:
                if path := self._find_path(blob.name):
                    yield _make_entry(path, blob)

    def read_range(self, path: str, start: int, stop: int, *, if_tag: str | None = None) -> bytes:
        """See `Store.read_range`."""
        if stop <= start:
            return b""
        condition = {} if if_tag is None else {"if_generation_match": int(if_tag)}
        with self._translate_errors(path, "reading"):
            try:
                data: bytes = self._blob(path).download_as_bytes(
                    start=start, end=stop - 1, raw_download=True, checksum=None, **condition, **_limit()
                )
            except Exception as error:
                if _find_status(error) == 416:  # it begins where the object ends
                    return b""
                raise
            return data

    def put_changes(self, path: str, changes: FileChanges, *, if_tag: str) -> str:
        """See `Store.put_changes`: Google has no parts of an old object to name, so all of the new one is sent."""
        old = self._blob(path)
        with self._translate_errors(path, "looking"):
            try:
                old.reload(if_generation_match=int(if_tag), **_limit())
            except Exception as error:
                if _find_status(error) in (404, 412):
                    raise self.conflict_error(normalize_path(path)) from None
                raise
        source = io.BufferedReader(RangeReader(changes), buffer_size=2**20)
        return self._put(path, source, changes.size, False, if_tag, old)

    def remove(self, path: str, *, if_tag: str | None = None) -> None:
        """See `Store.remove`."""
        condition = {} if if_tag is None else {"if_generation_match": int(if_tag)}
        if condition:
            self._require_conditions(path)
        blob = self._blob(path)
        with self._translate_errors(path, "removing"):
            try:
                blob.delete(**condition, **_limit())
            except Exception as error:
                code = _find_status(error)
                if code != 404 and (code != 412 or blob.exists(**_limit())):
                    raise

    # ------------------------------------------------------------------------------------------------------

    def _blob(self, path: str) -> Any:
        return self._client.bucket(self.bucket).blob(self._make_key(path))

    def _put(
        self, path: str, source: IO[bytes], size: int, if_absent: bool, if_tag: str | None, old: Any = None
    ) -> str:
        """Write an object under a condition; `old` is the one whose properties it keeps."""
        self.check_condition(path, if_absent, if_tag)
        condition: dict[str, int] = {}
        if if_absent or if_tag is not None:
            self._require_conditions(path)
            condition = {"if_generation_match": _ABSENT if if_tag is None else int(if_tag)}
        write, blob = secrets.token_hex(16), self._blob(path)
        blob.content_type = "application/octet-stream"
        if old is not None:
            for name in _KEPT:
                setattr(blob, name, getattr(old, name))
            blob.storage_class = old.storage_class
        blob.metadata = {**((old is not None and old.metadata) or {}), _WRITE: write}
        with self._translate_errors(path, "writing"):
            try:
                blob.upload_from_file(
                    source, size=size, content_type=blob.content_type, checksum="crc32c", **condition, **_limit()
                )
                return str(blob.generation)
            except Exception as error:
                # The client tries again if an answer is lost: what stands in the way may come from our own first try.
                with suppress(Exception):
                    present = self._blob(path)
                    present.reload(**_limit())
                    if (present.metadata or {}).get(_WRITE) == write:
                        return str(present.generation)
                if not condition or _find_status(error) not in (404, 409, 412):
                    raise
            raise self.conflict_error(normalize_path(path), if_absent=if_absent)

    def _require_conditions(self, path: str) -> None:
        """Refuse a server that does not check conditions; try it once in a process."""
        server = self._client._connection.API_BASE_URL
        _warn_of_untested(server)
        if server == _REAL:
            return
        with self._translate_errors(path, "asking whether the server checks conditions"):
            self._require_checks(
                f"{server}/{self.bucket}",
                lambda: _ask_conditions(self._blob(self._make_probe_path())),
                "a server that checks ifGenerationMatch of uploads and of removals",
            )

    @contextmanager
    def _translate_errors(self, path: str, doing: str) -> Iterator[None]:
        try:
            yield
        except NwbpipeError:
            raise
        except Exception as error:
            if _find_status(error) == 404 and path:
                raise self.missing_error(path) from None
            if _find_status(error) == 412:
                raise self.conflict_error(path) from None
            hint = "try again"
            if type(error).__name__ in ("DefaultCredentialsError", "RefreshError", "Unauthorized", "Forbidden"):
                hint = "log in (gcloud auth application-default login), or set GOOGLE_APPLICATION_CREDENTIALS"
            where = public_url(f"{self.root}/{path}")
            found = type(getattr(error, "cause", None) or error).__name__  # its text may hold what nobody should see
            raise FileAccessError(f"{doing} at Google failed", where=where, found=found, hint=hint) from None


def _limit() -> dict[str, Any]:
    """Return how long a request is tried; writes without a condition are tried again, too: they store the same."""
    retry = import_module("google.cloud.storage.retry").DEFAULT_RETRY
    return {"timeout": _TIMEOUT_S, "retry": retry.with_timeout(_DEADLINE_S)}


def _find_status(error: BaseException) -> int:
    """Return the HTTP status of an error of Google's client; 0 if it has none."""
    code = getattr(error, "code", None)
    return int(code) if isinstance(code, int) else 0


def _make_entry(path: str, blob: Any) -> StoreEntry:
    return StoreEntry(path, int(blob.size or 0), blob.updated.astimezone(UTC), str(blob.generation))


def _ask_conditions(probe: Any) -> bool:
    """Write and remove an object under conditions that hold and that don't; return True if all are checked."""
    limit = _limit()
    again = probe.bucket.blob(probe.name)  # without the generation, which would be asked for as well

    def put(generation: int) -> None:
        probe.upload_from_string(b"?", if_generation_match=generation, **limit)

    try:
        return (
            _is_refused(lambda: put(1))
            and not _is_refused(lambda: put(_ABSENT))
            and _is_refused(lambda: put(_ABSENT))
            and _is_refused(lambda: put(1))
            and _is_refused(lambda: again.delete(if_generation_match=1, **limit))
        )
    finally:
        with suppress(Exception):
            again.delete(**limit)


def _is_refused(act: Callable[[], None]) -> bool:
    try:
        act()
    except Exception as error:
        if _find_status(error) not in (404, 409, 412):
            raise
        return True
    return False


@lru_cache(maxsize=8)
def _warn_of_untested(server: str) -> None:
    if server == _REAL:
        logger.warning("writing to Google's storage was never tried on the real service: keep a copy of your files")
