"""Receipts: what a project has uploaded, read back from the archive; small files in ``state://uploads``."""

from __future__ import annotations

import json
import re
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter

from nwbpipe import __version__
from nwbpipe.errors import DamagedFileError, NwbpipeError
from nwbpipe.provenance import format_now
from nwbpipe.stores import Store

if TYPE_CHECKING:
    from nwbpipe.project import Project

_FORMAT = 1
_MAX_BYTES = 2**26
_EVERY_S = 10.0  # a receipt is written anew at most as often, and at the end


@dataclass(frozen=True)
class AssetReceipt:
    """An asset that was read back from the archive, and has the file's digest.

    Attributes
    ----------
    path : str
        In the dandiset.
    file, session : str
        Name of the file, and the key of its session.
    state : {"new", "changed", "unchanged"}
        What the upload found.
    asset_id : str
    size : int
        In bytes.
    etag, sha256 : str
        Digests of the file; the archive's etag is the same.
    sha256_confirmed : bool
        True if the archive had computed the SHA-256, and it is the same.
    mtime_ns : int
        Time of the file's last change, by which a status tells that it changed since.
    """

    path: str
    file: str
    session: str
    state: Literal["new", "changed", "unchanged"]
    asset_id: str
    size: int
    etag: str
    sha256: str
    sha256_confirmed: bool
    mtime_ns: int


@dataclass
class UploadReceipt:
    """The outcome of an upload.

    Attributes
    ----------
    instance, api, dandiset, version : str
        Where the assets are.
    started, ended : str
        ISO 8601, UTC.
    outcome : {"done", "failed", "stopped"}
        Stopped: the user or a signal ended it. The assets that are listed are up in any case.
    assets : list of AssetReceipt
    problems : list of str
        Why others are not up.
    created : bool
        True if the upload created the dandiset.
    """

    instance: str
    api: str
    dandiset: str
    version: str = "draft"
    started: str = ""
    ended: str = ""
    outcome: Literal["done", "failed", "stopped"] = "stopped"
    assets: list[AssetReceipt] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    created: bool = False
    upload_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    nwbpipe_version: str = __version__
    format: int = _FORMAT

    @property
    def path(self) -> str:
        """Its path in the store."""
        stamp = "".join(letter for letter in self.started[:19] if letter.isdigit())
        instance = re.sub(r"[^A-Za-z0-9.-]", "_", self.instance)
        return f"uploads/{instance}/{self.dandiset}/{stamp}-{self.upload_id}.json"

    def __str__(self) -> str:
        return f"dandiset {self.dandiset} ({self.version}) at {self.instance}"

    def as_dict(self) -> dict[str, Any]:
        """Return the receipt as JSON values."""
        return asdict(self)


class ReceiptWriter:
    """Writes a receipt as its assets come in.

    Parameters
    ----------
    receipt : UploadReceipt
    store : Store, optional
        ``state://``; without it, nothing is written.
    """

    def __init__(self, receipt: UploadReceipt, store: Store | None) -> None:
        self.receipt, self._store = receipt, store
        self._last = time.monotonic()
        receipt.started = receipt.started or format_now()

    def add(self, asset: AssetReceipt) -> None:
        """Add an asset."""
        self.receipt.assets.append(asset)
        if time.monotonic() - self._last > _EVERY_S:
            self.write()

    def write(self) -> None:
        """Write the receipt as it is."""
        self._last = time.monotonic()
        self.receipt.ended = format_now()
        if self._store is not None:
            self._store.write_bytes(self.receipt.path, json.dumps(self.receipt.as_dict(), indent=1).encode())


def read_receipts(store: Store) -> list[UploadReceipt]:
    """Return all receipts of a project, the oldest first; those that can't be read are left out."""
    receipts = []
    for entry in store.list("uploads"):
        if entry.path.endswith(".json") and entry.size <= _MAX_BYTES:
            with suppress(NwbpipeError):
                receipts.append(_read_receipt(store, entry.path))
    return sorted(receipts, key=lambda receipt: receipt.started)


def _read_receipt(store: Store, path: str) -> UploadReceipt:
    try:
        receipt = TypeAdapter(UploadReceipt).validate_json(store.read_bytes(path), strict=True)
        datetime.fromisoformat(receipt.started)
        if receipt.format > _FORMAT:
            raise ValueError(f"format {receipt.format}: written by a later nwbpipe")
    except (ValueError, RecursionError) as error:
        msg, location = "a receipt can't be read", store.location(path)
        raise DamagedFileError(msg, where=location, found=str(error), hint="remove it") from error
    return receipt


@dataclass(frozen=True)
class SessionUpload:
    """The latest upload of a session file to a dandiset.

    Attributes
    ----------
    session : str
        Key of the session.
    instance, dandiset : str
        Where it is.
    ended : str
        When the upload ended.
    asset : AssetReceipt
        The session file's.
    is_current : bool
        False if the file has changed since, by its size or time; its digest tells at the next upload.
    """

    session: str
    instance: str
    dandiset: str
    ended: str
    asset: AssetReceipt
    is_current: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def list_uploads(project: Project) -> list[SessionUpload]:
    """Return the latest upload of each session of a project to each dandiset."""
    receipts = read_receipts(project.planner.state)
    if not receipts:
        return []
    files = {session.key: session.file for session in project.sessions()[0]}
    latest: dict[tuple[str, str, str], tuple[str, AssetReceipt]] = {}
    for receipt in receipts:
        for asset in receipt.assets:
            if asset.path.endswith(".nwb") and asset.session in files:
                latest[receipt.instance, receipt.dandiset, asset.session] = receipt.ended, asset
    return [
        SessionUpload(session, instance, dandiset, ended, asset, _is_unchanged(files[session], asset))
        for (instance, dandiset, session), (ended, asset) in sorted(latest.items(), key=lambda item: item[0])
    ]


def _is_unchanged(file: Path | str, asset: AssetReceipt) -> bool:
    try:
        stat = Path(file).stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (asset.size, asset.mtime_ns)
