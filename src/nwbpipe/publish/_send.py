"""Send a file to an archive in parts, and read back what became of it."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from packaging.version import Version

from nwbpipe.disk import open_regular
from nwbpipe.errors import ArchiveError, ConflictError, FileAccessError
from nwbpipe.publish._archive import Dandiset, RemoteAsset, check_id, list_assets, read_asset
from nwbpipe.publish._check import open_asset, silence
from nwbpipe.publish._client import (
    ArchiveClient,
    check_mapping,
    make_answer_error,
    read_answer,
    read_field,
    refusal_error,
)
from nwbpipe.publish._digests import Advance, FileDigest, Part, StopRequest
from nwbpipe.publish._packages import require
from nwbpipe.publish._plan import PlannedAsset, has_content

_TRIES = 3  # of a part that does not arrive as it was sent
_ETAG = re.compile(r"<ETag>(?:&quot;|&#34;|\")?([0-9a-f]{32}-[0-9]+)")
_UPLOAD_ALGORITHM = "dandi:dandi-etag"


class _PartBody:
    """A part of a file as the body of a request: it is read as it is sent, and hashed."""

    def __init__(self, path: Path, part: Part, advance: Advance, stopped: Callable[[], bool]) -> None:
        self._part, self._advance, self._stopped = part, advance, stopped
        self._left, self.sent = part.size, 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._file = open_regular(path)
        self._file.seek(part.offset)

    def __len__(self) -> int:
        return self._part.size

    def read(self, size: int = -1) -> bytes:
        if self._stopped():
            raise StopRequest
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        self.sent += len(data)
        self.md5.update(data)
        self._advance(len(data))
        return data

    def close(self) -> None:
        self._file.close()


class Sender:
    """Sends files to a dandiset; several threads may use it.

    Parameters
    ----------
    client : ArchiveClient
    dandiset : Dandiset
    pool : ThreadPoolExecutor
        Sends parts.
    advance : callable
        Called with the number of bytes that were sent; fewer than none for those that have to be sent again.
    """

    def __init__(self, client: ArchiveClient, dandiset: Dandiset, pool: ThreadPoolExecutor, advance: Advance) -> None:
        self._client, self._dandiset, self._pool = client, dandiset, pool
        self._advance_all, self._lock = advance, threading.Lock()

    def _advance(self, count: int) -> None:
        with self._lock:
            self._advance_all(count)

    def send(self, planned: PlannedAsset, metadata: dict[str, Any]) -> RemoteAsset:
        """Send a file, make it an asset, and read the asset back.

        Returns
        -------
        RemoteAsset
            The asset, which has the file's digest.

        Raises
        ------
        ArchiveError
            If the archive refuses, does not answer, or has other content than was sent.
        ConflictError
            If the file changed since it was read, or someone else changed the dandiset.
        StopRequest
            If the user asked for a stop.
        """
        blob = self._find_or_send_blob(planned)
        if self._client.stopped():
            raise StopRequest
        remote = self._make_asset(planned, blob, metadata)
        if not has_content(remote, planned.digest):
            raise ArchiveError(
                "the archive holds other content than was sent",
                where=planned.asset.path,
                expected=f"{planned.digest.size} bytes, {planned.digest.etag}",
                found=f"{remote.size} bytes, {remote.etag}, SHA-256 {remote.sha256 or 'not known'}",
                hint="upload it again, and tell the archive's help desk",
            )
        return remote

    # The content ----------------------------------------------------------------------------------------

    def _find_or_send_blob(self, planned: PlannedAsset) -> str:
        """Return the id of the file's content at the archive, which is sent unless it is there."""
        digest, file = planned.digest, planned.asset.file
        for _ in range(2):
            blob, begun = self._begin(digest)
            if blob is not None:
                self._advance(digest.size)
                return blob
            upload = check_id(read_field(begun, "upload_id", str))
            parts = self._send_parts(file, digest, read_field(begun, "parts", list))
            self._join_parts(upload, parts, digest)
            path = f"/uploads/{upload}/validate/"
            response = self._client.send("POST", path)
            if response.status_code == 409:  # the same content came from elsewhere meanwhile
                self._advance(-digest.size)
                continue
            if not response.ok:
                raise refusal_error("POST", response)
            values = check_mapping(read_answer(response, path), path)
            if values.get("etag") != digest.etag or values.get("size") != digest.size:
                raise make_answer_error(path, f"{values.get('etag')}, {values.get('size')} bytes")
            return check_id(read_field(values, "blob_id", str))
        msg = "the archive neither takes the content nor has it"
        raise ArchiveError(msg, where=planned.asset.path, hint="try again later")

    def _begin(self, digest: FileDigest) -> tuple[str | None, dict[str, Any]]:
        """Begin an upload; return the id of the content if the archive has it."""
        body = {
            "contentSize": digest.size,
            "digest": {"algorithm": _UPLOAD_ALGORITHM, "value": digest.etag},
            "dandiset": self._dandiset.identifier,
        }
        path = "/uploads/initialize/"
        response = self._client.send("POST", path, body=body)
        if response.status_code == 409 and "Location" in response.headers:
            return check_id(response.headers["Location"].rstrip("/").rpartition("/")[2]), {}
        if not response.ok:
            raise refusal_error("POST", response)
        return None, check_mapping(read_answer(response, path), path)

    def _send_parts(self, file: Path, digest: FileDigest, offered: list[Any]) -> list[dict[str, Any]]:
        """Send all parts side by side; return what the archive wants to know of each."""
        urls: dict[int, str] = {}
        for entry in offered:
            if not isinstance(entry, dict):
                raise make_answer_error("parts", entry)
            urls[read_field(entry, "part_number", int)] = read_field(entry, "upload_url", str)
        sizes = {entry["part_number"]: entry.get("size") for entry in offered}
        if sizes != {part.number: part.size for part in digest.parts}:
            raise make_answer_error("parts", f"{len(offered)} parts, where the file has {len(digest.parts)}")
        futures: list[Future[None]] = [
            self._pool.submit(self._send_part, file, part, urls[part.number]) for part in digest.parts
        ]
        try:
            for future in futures:
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        return [{"part_number": part.number, "size": part.size, "etag": part.md5} for part in digest.parts]

    def _send_part(self, file: Path, part: Part, url: str) -> None:
        bodies: list[_PartBody] = []

        def open_body() -> _PartBody:
            self._close(bodies)
            bodies.append(_PartBody(file, part, self._advance, self._client.stopped))
            return bodies[-1]

        try:
            for _ in range(_TRIES):
                etag = self._client.put_part(url, open_body)
                if bodies[-1].md5.hexdigest() != part.md5:
                    hint = "wait until nothing writes it, and upload it again"
                    raise ConflictError("the file changed while it was sent", where=str(file), hint=hint)
                if etag == part.md5:
                    bodies.pop()._file.close()
                    return
        except OSError as error:
            msg = "the file can't be read"
            raise FileAccessError(msg, where=str(file), found=error.strerror or str(error)) from error
        finally:
            self._close(bodies)
        msg = f"part {part.number} did not arrive as it was sent"
        raise ArchiveError(
            msg, where=str(file), expected=part.md5, found=etag, hint="check the network, and try again"
        )

    def _close(self, bodies: list[_PartBody]) -> None:
        """Close the bodies of requests that failed: their bytes have to be sent again."""
        while bodies:
            body = bodies.pop()
            body.close()
            self._advance(-body.sent)

    def _join_parts(self, upload: str, parts: list[dict[str, Any]], digest: FileDigest) -> None:
        path = f"/uploads/{upload}/complete/"
        values = check_mapping(self._client.call("POST", path, body={"parts": parts}), path)
        response = self._client.post_completion(
            read_field(values, "complete_url", str), read_field(values, "body", str)
        )
        if response.status_code == 404:
            return  # an earlier try, whose answer was lost, may have joined them: validation tells
        match = _ETAG.search(response.text)
        if not response.ok or "<Error>" in response.text:
            raise refusal_error("POST", response)
        if match is not None and match[1] != digest.etag:
            msg = "the archive joined the parts to other content than was sent"
            raise ArchiveError(msg, where=path, expected=digest.etag, found=match[1], hint="upload it again")

    # The asset ------------------------------------------------------------------------------------------

    def _make_asset(self, planned: PlannedAsset, blob: str, metadata: dict[str, Any]) -> RemoteAsset:
        """Give the content its place in the dandiset, and read the asset back."""
        path, current = planned.asset.path, planned.current
        address = f"{self._dandiset.path}/assets/" + (f"{current.asset_id}/" if current is not None else "")
        method = "POST" if current is None else "PUT"
        response = self._client.send(method, address, body={"metadata": metadata, "blob_id": blob})
        if response.status_code in (404, 409):
            # Either an earlier try went through and its answer was lost, or someone else was faster.
            remote = self._find(path)
            if remote is not None and has_content(remote, planned.digest):
                return remote
            if remote is not None or current is not None:
                hint = "upload again: the files are compared with the new state"
                msg = "someone else changed the dandiset meanwhile"
                raise ConflictError(msg, where=path, found=refusal_error("POST", response).problem.found, hint=hint)
        if not response.ok:
            raise refusal_error(method, response)
        values = check_mapping(read_answer(response, address), address)
        asset = RemoteAsset(check_id(read_field(values, "asset_id", str)), path, planned.digest.size)
        return read_asset(self._client, self._dandiset, asset)

    def _find(self, path: str) -> RemoteAsset | None:
        for asset in list_assets(self._client, self._dandiset, path):
            if asset.path == path:
                return read_asset(self._client, self._dandiset, asset)
        return None


def describe_asset(planned: PlannedAsset, server_version: str) -> dict[str, Any]:
    """Return the metadata of an asset, as dandi draws it from the file, in the version of the archive's schema."""
    digest = planned.digest
    misc, consts = require("dandi.misctypes"), require("dandischema.consts")
    with silence():
        metadata = open_asset(planned.asset).get_metadata(
            digest=misc.Digest.dandi_etag(digest.etag), ignore_errors=False
        )
        values: dict[str, Any] = metadata.model_dump(mode="json", exclude_none=True)
        values["schemaKey"] = "Asset"
        is_older = Version(server_version) < Version(values["schemaVersion"])
        if is_older and server_version in consts.ALLOWED_TARGET_SCHEMAS:
            values = require("dandischema.metadata").migrate(values, to_version=server_version, skip_validation=True)
    return values
