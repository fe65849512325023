"""The connection to S3, and what its errors mean. Credentials are boto3's affair, and appear in no message."""

from __future__ import annotations

import os
import re
import threading
from contextlib import suppress
from typing import Any

from nwbpipe.errors import ConflictError, FileAccessError, NwbpipeError
from nwbpipe.stores.s3._address import Address

THREADS = 6
_sessions: dict[tuple[tuple[str, str], ...], Any] = {}  # the last, by its settings: it keeps what takes long to load
_making = threading.Lock()

_CHANGED = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "InvalidToken"}
_REFUSED = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidClientTokenId", "AuthFailure"}
_DENIED = {"AccessDenied", "403", "Forbidden", "AllAccessDisabled", "AccountProblem"}
_MISSING = {"NoSuchKey", "404", "NotFound"}


def connect() -> Any:
    """Return a client, from boto3's own chain of settings (environment, ~/.aws, roles; AWS_ENDPOINT_URL).

    Raises
    ------
    FileAccessError
        If boto3 is missing, or its settings contradict themselves.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        msg = "S3 needs the package boto3"
        raise FileAccessError(msg, hint='pip install "nwbpipe[s3]"') from None
    config = Config(
        retries={"mode": "standard", "max_attempts": 4},
        connect_timeout=10,
        read_timeout=120,
        max_pool_connections=THREADS + 2,
        # MD5 goes with each part instead, which every server knows.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    settings = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    try:
        with _making:  # a session may make one client at a time
            if settings not in _sessions:
                _sessions.clear()
                _sessions[settings] = boto3.session.Session()
            return _sessions[settings].client("s3", config=config)
    except (BotoCoreError, ValueError) as error:
        raise explain_error(error, None, "connecting") from None


def code_of(error: BaseException) -> str:
    """Return S3's name of an error; '' if it is not S3's."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def is_conflict(error: BaseException) -> bool:
    """Return True if a condition on the object's ETag did not hold."""
    return code_of(error) in _CHANGED


def is_missing(error: BaseException) -> bool:
    """Return True if the error says that the object does not exist."""
    return code_of(error) in _MISSING


def is_s3_error(error: BaseException) -> bool:
    """Return True if the error comes from boto3."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
    except ImportError:
        return False
    return isinstance(error, BotoCoreError | ClientError | HTTPClientError)


def explain_error(error: BaseException, address: Address | None, doing: str, client: Any = None) -> NwbpipeError:
    """Make our error of one of boto3's.

    Raise it ``from None``: boto3's own text may hold what nobody should see.
    """
    url = None if address is None else str(address)
    if isinstance(error, NwbpipeError):
        return error
    if is_conflict(error):
        return conflict_error(address)
    name, code = type(error).__name__, code_of(error)
    if name in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "NoAuthTokenError"):
        msg = "there are no credentials for S3"
        hint = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in with your tool"
        return FileAccessError(msg, where=url, hint=hint)
    if code in _EXPIRED or "SSO" in name or "Token" in name or name == "LoginRefreshRequired":
        return FileAccessError("the credentials for S3 have expired", where=url, hint="log in again")
    if code in _REFUSED:
        msg = "S3 does not know these credentials"
        return FileAccessError(msg, where=url, found=code, hint="check AWS_PROFILE, or the keys in the environment")
    if code == "NoSuchBucket":
        return FileAccessError("no such bucket", where=url, hint="check the address, and AWS_ENDPOINT_URL")
    if is_missing(error):
        return FileAccessError("no such object", where=url, hint="check the address")
    if code in _DENIED:
        hint = "ask for the permission; a missing object looks the same where you may not list the bucket"
        return FileAccessError(f"access denied while {doing}", where=url, found=code, hint=hint)
    if code == "InvalidObjectState":
        return FileAccessError("the object is archived", where=url, hint="restore it first")
    if name == "ParamValidationError":
        return FileAccessError("no address that S3 can have", where=url, hint="check the bucket's name")
    if name in ("ProfileNotFound", "NoRegionError", "ConfigParseError"):
        return FileAccessError("boto3's settings can't be used", where=url, found=scrub_secrets(str(error), client))
    if not code:
        msg = f"S3 can't be reached (while {doing})"
        return FileAccessError(
            msg,
            where=url,
            found=scrub_secrets(f"{name}: {error}", client),
            hint="check the network, and AWS_ENDPOINT_URL",
        )
    return FileAccessError(f"S3 refused {doing}", where=url, found=scrub_secrets(str(error), client))


def conflict_error(address: Address | None) -> ConflictError:
    """Make the error for an object that is no longer what it was."""
    msg = "another writer changed the object meanwhile"
    hint = "nothing was written: do it again, on the new state (nwbpipe.update does so by itself)"
    return ConflictError(msg, where=None if address is None else str(address), hint=hint)


_PARAMETERS = re.compile(
    r"((?:AWSAccessKeyId|Signature|Credential|X-Amz-[\w-]+|x-amz-security-token|Authorization)\s*[=:]\s*)[^&\s,]+",
    re.I,
)


def scrub_secrets(text: str, client: Any = None) -> str:
    """Return a text without keys, tokens, signatures, or passwords in URLs."""
    with suppress(Exception):  # whatever the credentials are: a message must not fail for them
        credentials = client._request_signer._credentials
        for secret in (credentials.secret_key, credentials.token, credentials.access_key):
            if secret:
                text = text.replace(secret, "…")
    text = _PARAMETERS.sub(r"\1…", text)
    text = re.sub(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}", "…", text)
    return re.sub(r"//[^/@\s]*@", "//…@", text)
