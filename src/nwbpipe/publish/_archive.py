"""Dandisets and assets of an archive, as its REST API gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from nwbpipe.errors import ArchiveError, RequestError
from nwbpipe.publish._client import ArchiveClient, make_answer_error, read_field

DRAFT = "draft"
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_THREADS = 6


@dataclass(frozen=True)
class RemoteAsset:
    """An asset of a dandiset.

    Attributes
    ----------
    asset_id : str
        Changes with each replacement.
    path : str
    size : int
        In bytes.
    etag : str
        ``dandi:dandi-etag``; "" if the archive has none.
    sha256 : str
        ``dandi:sha2-256``; "" until the archive has computed it.
    is_zarr : bool
        True if it is a Zarr folder.
    """

    asset_id: str
    path: str
    size: int
    etag: str = ""
    sha256: str = ""
    is_zarr: bool = False


@dataclass(frozen=True)
class Dandiset:
    """A version of a dandiset.

    Attributes
    ----------
    identifier : str
        Six digits.
    version : str
        ``draft``, or a published one.
    embargo : str
        ``OPEN``, ``EMBARGOED`` or ``UNEMBARGOING``.
    """

    identifier: str
    version: str = DRAFT
    embargo: str = "OPEN"

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/dandisets/{self.identifier}/versions/{self.version}"


def read_dandiset(client: ArchiveClient, identifier: str, version: str | None = DRAFT) -> Dandiset:
    """Look up a dandiset.

    Parameters
    ----------
    client : ArchiveClient
    identifier : str
        Six digits.
    version : str, optional
        None for the latest published one, or the draft if there is none.

    Raises
    ------
    RequestError
        If there is none of that number, or the user may not see it.
    """
    try:
        values = client.get(f"/dandisets/{identifier}/")
    except ArchiveError as error:
        if error.status not in (401, 403, 404):
            raise
        server = f"{client.instance.name} ({client.instance.api})"
        if error.status == 404:
            msg, hint = f"there is no dandiset {identifier}", "check the number, and the archive (--instance)"
        else:
            msg = f"the dandiset {identifier} is not open to you: it is embargoed"
            hint = "ask one of its owners to add you"
            if not client.has_key:
                hint = f"set {client.instance.key_variables[-1]} to an owner's key"
        raise RequestError(msg, where=server, found=error.problem.found, hint=hint) from None
    if version is None:
        published = values.get("most_recent_published_version")
        version = read_field(published, "version", str) if isinstance(published, Mapping) else DRAFT
    if not re.fullmatch(r"draft|[0-9]+\.[0-9]+\.[0-9]+", version):
        raise make_answer_error(f"/dandisets/{identifier}/", version)
    return Dandiset(identifier, version, str(values.get("embargo_status", "OPEN")))


def list_assets(client: ArchiveClient, dandiset: Dandiset, prefix: str = "") -> list[RemoteAsset]:
    """Return the assets whose paths begin with a prefix; without their digests."""
    parameters = {"path": prefix} if prefix else {}
    try:
        entries = list(client.iter_pages(f"{dandiset.path}/assets/", parameters))
    except ArchiveError as error:
        if error.status != 404:
            raise
        msg = f"the dandiset {dandiset.identifier} has no version {dandiset.version}"
        raise RequestError(msg, where=client.instance.api, hint="leave the version out for the latest") from None
    assets = [_parse_asset(entry) for entry in entries]
    return [asset for asset in assets if asset.path.startswith(prefix)]


def find_remote_assets(client: ArchiveClient, dandiset: Dandiset, paths: Iterable[str]) -> dict[str, RemoteAsset]:
    """Return those assets of a dandiset that have one of the paths, with their digests."""
    path_set = set(paths)
    folders = sorted({path.partition("/")[0] + "/" for path in path_set})
    with ThreadPoolExecutor(_THREADS) as pool:
        listings = pool.map(lambda folder: list_assets(client, dandiset, folder), folders)
        assets = [asset for listing in listings for asset in listing if asset.path in path_set]
        return {asset.path: asset for asset in pool.map(lambda asset: read_asset(client, dandiset, asset), assets)}


def read_asset(client: ArchiveClient, dandiset: Dandiset, asset: RemoteAsset) -> RemoteAsset:
    """Return an asset with its digests."""
    if asset.is_zarr:
        return asset
    path = f"{dandiset.path}/assets/{asset.asset_id}/"
    values = client.get(path)
    digests = values.get("digest")
    if not isinstance(digests, Mapping):
        raise make_answer_error(path, digests)
    etag, sha256 = (str(digests.get(f"dandi:{name}") or "") for name in ("dandi-etag", "sha2-256"))
    size = values.get("contentSize", asset.size)
    if not isinstance(size, int) or values.get("path") != asset.path:
        raise make_answer_error(path, values.get("path"))
    return RemoteAsset(asset.asset_id, asset.path, size, etag, sha256)


def _parse_asset(values: Mapping[str, Any]) -> RemoteAsset:
    return RemoteAsset(
        check_id(read_field(values, "asset_id", str)),
        read_field(values, "path", str),
        read_field(values, "size", int),
        is_zarr=values.get("zarr") is not None,
    )


def check_id(text: str) -> str:
    """Return an id of the archive, which becomes a part of a URL.

    Raises
    ------
    ArchiveError
        If it can't be one.
    """
    if not _ID.fullmatch(text):
        raise make_answer_error("id", text)
    return text
