"""Marks: on an object, which writes it holds; on an unfinished upload, that it is ours.

S3 does not show the metadata of an unfinished upload. So its last part number, which no plan uses, holds a few known
bytes: parts can be listed. The part is left out when the upload is completed, and vanishes.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nwbpipe.stores.s3 import Address, code_of, connect, explain_error, is_s3_error, parse_address

WRITES = "nwbpipe-writes"  # in the object's metadata: ids of the last writes, the latest last
_REMEMBERED = 8
MARK = b"an unfinished upload of nwbpipe\n"
MARK_NUMBER = 10_000


def new_write_id() -> str:
    """Return an id for a write."""
    return secrets.token_hex(8)


def add_write(metadata: Mapping[str, str], write: str) -> dict[str, str]:
    """Return an object's metadata with one more write."""
    earlier = metadata.get(WRITES, "").split()
    return {**metadata, WRITES: " ".join([*earlier[1 - _REMEMBERED :], write])}


def has_write(metadata: Mapping[str, str], write: str) -> bool:
    """Return True if an object was made by this write, or by later ones on top of it."""
    return write in metadata.get(WRITES, "").split()


def content_md5(data: bytes) -> str:
    """Return what goes with a part, so that S3 refuses it if it was changed on the way."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def mark_upload(client: Any, upload: Mapping[str, Any]) -> None:
    """Mark an upload as ours."""
    client.upload_part(**upload, PartNumber=MARK_NUMBER, Body=MARK, ContentMD5=content_md5(MARK))


@dataclass(frozen=True)
class UnfinishedUpload:
    """An upload of nwbpipe that was not completed: it costs space, and the object knows nothing of it.

    Attributes
    ----------
    url : str
        The object that it was meant for.
    upload_id : str
        S3's name of it.
    started : datetime
        When (UTC).
    """

    url: str
    upload_id: str
    started: datetime


def s3_orphans(url: Path | str) -> list[UnfinishedUpload]:
    """List the unfinished uploads of nwbpipe for an object, or for all below a prefix.

    One that is under way looks the same.

    Parameters
    ----------
    url : path
        ``s3://bucket/key``, or ``s3://bucket/prefix/`` (with a slash at the end).

    Raises
    ------
    FileAccessError
        If the bucket can't be read.
    """
    address = parse_address(url, folder=True)
    with closing(connect()) as client:
        try:
            return list(_iter_orphans(client, address))
        except Exception as error:
            if not is_s3_error(error):
                raise
            raise explain_error(error, address, "listing its unfinished uploads", client) from None


def _iter_orphans(client: Any, address: Address) -> Iterator[UnfinishedUpload]:
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=address.bucket, Prefix=address.key)
    for page in pages:
        for entry in page.get("Uploads", []):
            key = entry["Key"]
            if address.key and not address.key.endswith("/") and key != address.key:
                continue
            upload = {"Bucket": address.bucket, "Key": key, "UploadId": entry["UploadId"]}
            if _is_ours(client, upload):
                location = str(Address(address.bucket, key))
                yield UnfinishedUpload(location, entry["UploadId"], entry["Initiated"].astimezone(UTC))


def _is_ours(client: Any, upload: Mapping[str, Any]) -> bool:
    try:
        answer = client.list_parts(**upload, PartNumberMarker=MARK_NUMBER - 1, MaxParts=1)
    except Exception as error:
        if code_of(error) == "NoSuchUpload":  # it has ended meanwhile
            return False
        raise
    parts = answer.get("Parts", [])
    return any(part["PartNumber"] == MARK_NUMBER and part["Size"] == len(MARK) for part in parts)


def abort_s3_orphans(url: Path | str, *, older_than: timedelta = timedelta(days=1)) -> list[UnfinishedUpload]:
    """Remove what `s3_orphans` lists, if it began long enough ago; return what was removed.

    A commit that is still under way, and loses its upload so, fails, and leaves the object as it was.

    Parameters
    ----------
    url : path
        As for `s3_orphans`.
    older_than : timedelta
        How long ago an upload must have begun.
    """
    cutoff = datetime.now(UTC) - older_than
    uploads = [upload for upload in s3_orphans(url) if upload.started <= cutoff]
    with closing(connect()) as client:
        for upload in uploads:
            _remove(client, upload)
    return uploads


def _remove(client: Any, one: UnfinishedUpload) -> None:
    address = parse_address(one.url)
    try:
        client.abort_multipart_upload(Bucket=address.bucket, Key=address.key, UploadId=one.upload_id)
    except Exception as error:
        if not is_s3_error(error):
            raise
        if code_of(error) != "NoSuchUpload":
            raise explain_error(error, address, "removing an unfinished upload", client) from None
