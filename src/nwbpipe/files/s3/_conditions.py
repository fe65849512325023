"""Does the server check conditions? Without, two writers would lose one's work in silence."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from nwbpipe.errors import FileAccessError
from nwbpipe.stores.s3 import Address, code_of, explained, is_conflict, is_s3_error

_CHECKING: tuple[str, ...] = (".amazonaws.com", ".amazonaws.com.cn")
_known: dict[tuple[str, str], bool] = {}  # (endpoint, bucket)


def unsafe_allowed(asked: bool) -> bool:
    """Whether the user gave up the protection, in the call or by ``NWBPIPE_UNSAFE_NO_CAS``."""
    return asked or os.environ.get("NWBPIPE_UNSAFE_NO_CAS", "").lower() in ("1", "true", "yes")


def completes_in_one_step(client: Any) -> bool:
    """Whether the server is known to check the condition of a completion and to carry it out in one step."""
    return (urlsplit(str(client.meta.endpoint_url)).hostname or "").endswith(_CHECKING)


def require_conditions(client: Any, address: Address) -> None:
    """Refuse a server that completes an upload, or stores an object, although its condition does not hold.

    It is tried, once in a process for each bucket, with a key beside the object's: an upload of one byte under the
    condition that it replaces an object which is not there, and two objects that must not be there. Amazon's own is
    known to check. Whether it does so in one step can't be tried with certainty: see `_lock`.

    Raises
    ------
    FileAccessError
        If it does not check, or can't be asked.
    """
    if completes_in_one_step(client):
        return
    place = (str(client.meta.endpoint_url), address.bucket)
    if place not in _known:
        try:
            _known[place] = _checks(client, address)
        except Exception as error:
            if not is_s3_error(error):
                raise
            raise explained(error, address, "asking whether the server checks conditions", client) from None
    if not _known[place]:
        msg = "this server does not check the condition of a commit: of two writers, one would be lost in silence"
        raise FileAccessError(
            msg,
            where=str(address),
            expected="a server that knows If-Match when an upload is completed",
            hint="if nobody else writes this object: unsafe_no_cas=True, or NWBPIPE_UNSAFE_NO_CAS=1",
        )


def _checks(client: Any, address: Address) -> bool:
    beside = {"Bucket": address.bucket, "Key": f"{address.key}.nwbpipe-probe-{secrets.token_hex(8)}"}
    try:
        return _checks_completions(client, beside) and _checks_objects(client, beside)
    finally:
        with suppress(Exception):
            client.delete_object(**beside)


def _checks_completions(client: Any, beside: dict[str, str]) -> bool:
    upload = {**beside, "UploadId": client.create_multipart_upload(**beside)["UploadId"]}
    try:
        part = client.upload_part(**upload, PartNumber=1, Body=b"?")
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        client.complete_multipart_upload(
            **upload, MultipartUpload=parts, IfMatch='"00000000000000000000000000000000"'
        )
    except Exception as error:
        with suppress(Exception):
            client.abort_multipart_upload(**upload)
        return _refused(error)
    return False


def _checks_objects(client: Any, beside: dict[str, str]) -> bool:
    try:
        client.put_object(**beside, Body=b"1", IfNoneMatch="*")
        client.put_object(**beside, Body=b"2", IfNoneMatch="*")
    except Exception as error:
        return _refused(error)
    return False


def _refused(error: Exception) -> bool:
    """Whether a request was refused for its condition (True), or since the server does not know such (False)."""
    if is_conflict(error) or code_of(error) in ("NoSuchKey", "404"):
        return True
    if code_of(error) in ("NotImplemented", "501", "InvalidArgument"):
        return False
    raise error
