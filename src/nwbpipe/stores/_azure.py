"""A store in Azure Blob Storage."""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC
from functools import cached_property, lru_cache
from importlib import import_module
from importlib.util import find_spec
from itertools import accumulate
from typing import IO, Any
from urllib.parse import urlsplit

from nwbpipe.errors import FileAccessError
from nwbpipe.stores._objects import ObjectStore
from nwbpipe.stores._parts import FileChanges, plan_blocks
from nwbpipe.stores._paths import normalize_path
from nwbpipe.stores._store import StoreEntry
from nwbpipe.stores._urls import public_url

logger = logging.getLogger("nwbpipe")
_WRITE = "nwbpipe_write"  # in a blob's metadata: which write made it
_BLOCK = 8 * 2**20
_MOST_BLOCKS = 50_000
_OUR_BLOCK = re.compile(r"[0-9a-f]{32}-\d{8}")
_RETRIES = 3
_NO_ETAG = '"0x0000000000000000"'
_REAL = ".blob.core.windows.net"


def has_azure() -> bool:
    """Return True if the package of Azure's client is installed."""
    with suppress(ModuleNotFoundError):  # another package of Azure may be there
        return find_spec("azure.storage.blob") is not None
    return False


class AzureStore(ObjectStore):
    """A container of Azure Blob Storage, or what is below a prefix in it; conditions are ``If-Match`` of Azure's.

    The account is that of ``AZURE_STORAGE_CONNECTION_STRING``, or of ``AZURE_STORAGE_ACCOUNT_NAME`` with
    ``AZURE_STORAGE_ACCOUNT_KEY`` or ``AZURE_STORAGE_SAS_TOKEN``, or what azure-identity finds.

    Parameters
    ----------
    root : str
        ``az://container/prefix``.
    """

    conditional_writes = True  # `_require_conditions` asks a server other than Azure's own before the first

    def __init__(self, root: str) -> None:
        super().__init__(root)
        address = urlsplit(self.root)
        self.container, self.prefix = address.netloc, address.path.strip("/")

    @cached_property
    def _client(self) -> Any:
        blob = import_module("azure.storage.blob")
        text = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
        name = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
        retries = blob.ExponentialRetry(
            initial_backoff=1, increment_base=2, retry_total=_RETRIES, random_jitter_range=1
        )
        options = {"retry_policy": retries, "connection_timeout": 15, "read_timeout": 60}
        with self._translate_errors("", "connecting"):
            if text:
                return blob.ContainerClient.from_connection_string(text, self.container, **options)
            if not name:
                msg = "the account of Azure is not named"
                hint = "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and a key"
                raise FileAccessError(msg, where=public_url(self.root), hint=hint)
            key = os.environ.get("AZURE_STORAGE_ACCOUNT_KEY") or os.environ.get("AZURE_STORAGE_SAS_TOKEN")
            credential = key or import_module("azure.identity").DefaultAzureCredential()
            return blob.ContainerClient(f"https://{name}{_REAL}", self.container, credential=credential, **options)

    def stat(self, path: str) -> StoreEntry:
        """See `Store.stat`."""
        with self._translate_errors(path, "looking"):
            properties = self._blob(path).get_blob_properties()
        return _make_entry(normalize_path(path), properties)

    def list(self, prefix: str = "", *, deep: bool = True) -> Iterator[StoreEntry]:
        """See `Store.list`."""
        start = self._make_folder_key(prefix)
        with self._translate_errors(prefix, "listing"):
            walk = self._client.list_blobs if deep else self._client.walk_blobs
            for item in walk(name_starts_with=start or None):
                # A folder that `walk_blobs` yields has no version.
                if item.get("etag") and (path := self._find_path(item.name)):
                    yield _make_entry(path, item)

    def read_range(self, path: str, start: int, stop: int, *, if_tag: str | None = None) -> bytes:
        """See `Store.read_range`."""
        if stop <= start:
            return b""
        with self._translate_errors(path, "reading"):
            try:
                stream = self._blob(path).download_blob(offset=start, length=stop - start, **_require_tag(if_tag))
                data: bytes = stream.readall()
            except Exception as error:
                if getattr(error, "status_code", None) == 416:  # it begins where the blob ends
                    return b""
                raise
            return data

    def put_changes(self, path: str, changes: FileChanges, *, if_tag: str) -> str:
        """See `Store.put_changes`: blocks of the old version that did not change are named, and not sent.

        Blocks that another program uploaded have ids of its own making, and are sent anew.
        """
        self._require_conditions(path)
        write, client = secrets.token_hex(16), self._blob(path)
        with self._translate_errors(path, "writing"):
            try:
                properties = client.get_blob_properties(**_require_tag(if_tag))
                old = [block for block in client.get_block_list("committed")[0] if block.size]
                if not all(_OUR_BLOCK.fullmatch(block.id) for block in old) or _sum_sizes(old) != changes.old_size:
                    old = []
                blocks = _stage_changes(client, old, changes, write)
            except Exception as error:
                if getattr(error, "status_code", None) == 404:
                    raise self.conflict_error(normalize_path(path)) from None
                raise
            properties.content_settings.content_md5 = None  # of the old bytes; the service does not check it
            kept = {
                "metadata": {**(properties.metadata or {}), _WRITE: write},
                "content_settings": properties.content_settings,
                "standard_blob_tier": None if properties.blob_tier_inferred else properties.blob_tier,
            }
            return self._commit(path, client, blocks, write, _require_tag(if_tag), kept)

    def remove(self, path: str, *, if_tag: str | None = None) -> None:
        """See `Store.remove`."""
        if if_tag is not None:
            self._require_conditions(path)
        with self._translate_errors(path, "removing"):
            blob = self._blob(path)
            try:
                blob.delete_blob(**_require_tag(if_tag))
            except Exception as error:
                code = getattr(error, "status_code", None)
                if code != 404 and (code != 412 or blob.exists()):
                    raise

    # ------------------------------------------------------------------------------------------------------

    def _blob(self, path: str) -> Any:
        return self._client.get_blob_client(self._make_key(path))

    def _put(self, path: str, source: IO[bytes], size: int, if_absent: bool, if_tag: str | None) -> str:
        self.check_condition(path, if_absent, if_tag)
        if if_absent or if_tag is not None:
            self._require_conditions(path)
        condition = _require_absent() if if_absent else _require_tag(if_tag)
        write, client = secrets.token_hex(16), self._blob(path)
        with self._translate_errors(path, "writing"):
            blocks = _stage_blocks(client, source, size, write)
            return self._commit(path, client, blocks, write, condition, {"metadata": {_WRITE: write}})

    def _commit(
        self,
        path: str,
        client: Any,
        blocks: Sequence[Any],
        write: str,
        condition: Mapping[str, Any],
        kept: Mapping[str, Any],
    ) -> str:
        """Put blocks together under a condition; return the tag. `kept` is what the blob has beside its bytes."""
        try:
            return str(client.commit_block_list(blocks, **kept, **condition)["etag"])
        except Exception as error:
            # The client tries again if an answer is lost: what stands in the way may come from our own first try.
            with suppress(Exception):
                properties = client.get_blob_properties()
                if (properties.metadata or {}).get(_WRITE) == write:
                    return str(properties.etag)
            code = getattr(error, "error_code", None)
            is_refused = getattr(error, "status_code", None) in (409, 412) or code == "InvalidBlockList"
            if not is_refused or not condition:
                raise
        raise self.conflict_error(normalize_path(path), if_absent="etag" not in condition)

    def _require_conditions(self, path: str) -> None:
        """Refuse a server that does not check conditions; try it once in a process."""
        _warn_of_untested(self._client.primary_hostname)
        if self._client.primary_hostname.endswith(_REAL):
            return
        with self._translate_errors(path, "asking whether the server checks conditions"):
            self._require_checks(
                self._client.url,
                lambda: _ask_conditions(self._make_probe()),
                "a server that knows If-Match and If-None-Match",
            )

    def _make_probe(self) -> Any:
        return self._blob(self._make_probe_path())

    @contextmanager
    def _translate_errors(self, path: str, doing: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            core = import_module("azure.core.exceptions")
            if not isinstance(error, core.AzureError | ImportError | ValueError):
                raise
            if getattr(error, "status_code", None) == 404 and path:
                raise self.missing_error(path) from None
            if getattr(error, "status_code", None) == 412:
                raise self.conflict_error(path) from None
            found = str(getattr(error, "error_code", None) or type(error).__name__)
            where = public_url(f"{self.root}/{path}")
            raise FileAccessError(f"{doing} in Azure failed", where=where, found=found, hint="try again") from None


def _make_entry(path: str, properties: Any) -> StoreEntry:
    tag = str(properties.etag)
    return StoreEntry(
        path, properties.size, properties.last_modified.astimezone(UTC), tag if tag.startswith('"') else f'"{tag}"'
    )


def _require_tag(tag: str | None) -> dict[str, Any]:
    if tag is None:
        return {}
    return {"etag": tag, "match_condition": import_module("azure.core").MatchConditions.IfNotModified}


def _require_absent() -> dict[str, Any]:
    return {"match_condition": import_module("azure.core").MatchConditions.IfMissing}


def _stage_blocks(client: Any, source: IO[bytes], size: int, write: str) -> Sequence[Any]:
    """Upload the blocks of a new version, which nobody sees yet; return their list.

    Their ids are of this write alone: blocks of one id that two writers upload would replace each other, and the
    first commit would put a mixture together.
    """
    kind = import_module("azure.storage.blob").BlobBlock
    length = max(_BLOCK, -(-size // _MOST_BLOCKS))
    blocks: list[Any] = []
    while data := source.read(length):
        identity = f"{write}-{len(blocks):08}"
        client.stage_block(identity, data, length=len(data))
        blocks.append(kind(identity))
    return blocks


def _stage_changes(client: Any, old: Sequence[Any], changes: FileChanges, write: str) -> Sequence[Any]:
    """Upload the blocks of a new version that differ from the old one's; return the list of all.

    None is named as committed or uncommitted: the client would send all of one state before those of the other, and
    the file would be in disorder. An id tells which is meant, as no other write has it.
    """
    kind = import_module("azure.storage.blob").BlobBlock
    parts = plan_blocks([block.size for block in old], changes, _BLOCK)
    if len(parts) > _MOST_BLOCKS:
        parts = plan_blocks([], changes, max(_BLOCK, -(-changes.size // (_MOST_BLOCKS - 1))))
    starts = dict(zip(accumulate((block.size for block in old), initial=0), old, strict=False))
    blocks: list[Any] = []
    for number, part in enumerate(parts):
        if part.copied:
            blocks.append(kind(starts[part.start].id))
            continue
        identity = f"{write}-{number:08}"
        client.stage_block(identity, changes.read(part.start, part.size), length=part.size)
        blocks.append(kind(identity))
    return blocks


def _sum_sizes(blocks: Sequence[Any]) -> int:
    return sum(block.size for block in blocks)


def _ask_conditions(probe: Any) -> bool:
    """Try to replace a blob that is missing, and to make one twice; return True if the server refuses both."""
    try:
        return all(
            _is_refused(probe, condition, expected)
            for condition, expected in (
                (_require_tag(_NO_ETAG), True), (_require_absent(), False), (_require_absent(), True),
            )
        )  # fmt: skip
    finally:
        with suppress(Exception):
            probe.delete_blob()


def _is_refused(probe: Any, condition: dict[str, Any], expected: bool) -> bool:
    """Return True if the server refuses a write under a condition as is `expected`."""
    try:
        probe.commit_block_list([], **condition)
    except Exception as error:
        if getattr(error, "status_code", None) not in (404, 409, 412):
            raise
        return expected
    return not expected


@lru_cache(maxsize=8)
def _warn_of_untested(host: str) -> None:
    if host.endswith(_REAL):
        logger.warning("writing to Azure was tested with the emulator Azurite alone: keep a copy of your files")
