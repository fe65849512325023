"""Does a server check conditions? Without, two writers would lose one's work in silence."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from nwbpipe.errors import FileAccessError
from nwbpipe.stores._paths import OURS
from nwbpipe.stores.s3._address import Address
from nwbpipe.stores.s3._client import code_of, explain_error, is_conflict, is_missing, is_s3_error

_CHECKING: tuple[str, ...] = (".amazonaws.com", ".amazonaws.com.cn")
_NO_ETAG = '"00000000000000000000000000000000"'
_answers: dict[tuple[str, str, str], bool] = {}  # by endpoint, bucket, and what was tried


def checks_in_one_step(client: Any) -> bool:
    """Return True if the server is known to check a completion's condition and carry it out in one atomic step."""
    return (urlsplit(str(client.meta.endpoint_url)).hostname or "").endswith(_CHECKING)


def require_conditions(client: Any, address: Address, *, completing: bool = False, hint: str | None = None) -> None:
    """Refuse a server that stores an object although its condition does not hold.

    It is tried, once in a process for each bucket, with a key of our own in the object's folder. Amazon's own is
    known to check. Whether a server does so in one step can't be tried with certainty.

    Parameters
    ----------
    client : boto3 client
    address : Address
        An object that is to be written.
    completing : bool
        Whether an upload in parts may be completed under a condition, too.
    hint : str, optional
        What the user may do.

    Raises
    ------
    FileAccessError
        If it does not check, or can't be asked.
    """
    if checks_in_one_step(client):
        return
    for kind, checks in _PROBES.items():
        if (completing or kind != "a completed upload") and not _server_checks(client, address, kind, checks):
            msg = f"this server does not check the condition of {kind}: of two writers, one would be lost in silence"
            expected = "a server that knows If-Match and If-None-Match"
            raise FileAccessError(msg, where=str(address), expected=expected, hint=hint)


def _server_checks(client: Any, address: Address, what: str, checks: Callable[[Any, dict[str, str]], bool]) -> bool:
    key = (str(client.meta.endpoint_url), address.bucket, what)
    if key not in _answers:
        folder = address.key.rpartition("/")[0]
        beside = {"Bucket": address.bucket, "Key": f"{folder}/{OURS}{secrets.token_hex(8)}".lstrip("/")}
        try:
            _answers[key] = checks(client, beside)
        except Exception as error:
            if not is_s3_error(error):
                raise
            raise explain_error(error, address, "asking whether the server checks conditions", client) from None
        finally:
            with suppress(Exception):
                client.delete_object(**beside)
    return _answers[key]


def _checks_objects(client: Any, beside: dict[str, str]) -> bool:
    """Try to replace an object that is not there, and to store one twice that must not be there."""
    try:
        client.put_object(**beside, Body=b"?", IfMatch=_NO_ETAG)
    except Exception as error:
        if not _is_condition_refused(error):
            return False
    else:
        return False
    try:
        client.put_object(**beside, Body=b"1", IfNoneMatch="*")
        client.put_object(**beside, Body=b"2", IfNoneMatch="*")
    except Exception as error:
        return _is_condition_refused(error)
    return False


def _checks_completions(client: Any, beside: dict[str, str]) -> bool:
    """Try to complete an upload of one byte in the place of an object that is not there."""
    upload = {**beside, "UploadId": client.create_multipart_upload(**beside)["UploadId"]}
    try:
        part = client.upload_part(**upload, PartNumber=1, Body=b"?")
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        client.complete_multipart_upload(**upload, MultipartUpload=parts, IfMatch=_NO_ETAG)
    except Exception as error:
        with suppress(Exception):
            client.abort_multipart_upload(**upload)
        return _is_condition_refused(error)
    return False


_PROBES = {"an object": _checks_objects, "a completed upload": _checks_completions}


def _is_condition_refused(error: Exception) -> bool:
    """Return True if the condition failed, False if the server does not support conditions."""
    if is_conflict(error) or is_missing(error):
        return True
    if code_of(error) in ("NotImplemented", "501", "InvalidArgument"):
        return False
    raise error
