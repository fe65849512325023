"""Addresses of remote files: which are S3's, and which are not supported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from nwbpipe.errors import RequestError

# `Path("s3://bucket/key")` drops a slash: what was meant is still seen.
_SCHEMES = re.compile(r"(s3|s3a|gs|gcs|az|abfs|abfss|adl|https?|ftp|file|memory):/{1,2}(.*)", re.DOTALL)
_OTHER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class Address:
    """An object in S3.

    Attributes
    ----------
    bucket, key : str
        Its names there.
    """

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def is_remote(path: object) -> bool:
    """Whether a path is a URL, of whatever kind; an open file is not."""
    if not isinstance(path, str | Path):
        return False
    return bool(_SCHEMES.match(str(path)) or _OTHER.match(str(path)))


def parse_address(url: Path | str, *, folder: bool = False) -> Address:
    """Take an address apart.

    Parameters
    ----------
    url : path
        ``s3://bucket/key``.
    folder : bool
        Whether the key may be empty, or end with a slash.

    Raises
    ------
    RequestError
        If it is none of S3's.
    """
    found = _SCHEMES.match(str(url))
    scheme, rest = (found[1], found[2]) if found else (str(url).partition(":")[0], "")
    if scheme != "s3":
        msg = f"addresses of {scheme}:// are not supported"
        hint = "download the file first"
        raise RequestError(msg, where=public_url(url), expected="a local file, or s3://bucket/key", hint=hint)
    bucket, _, key = rest.partition("/")
    if not bucket or "@" in bucket or (not folder and (not key or key.endswith("/"))):
        msg = "no address of an object in S3"
        raise RequestError(
            msg, where=public_url(url), expected="s3://bucket/key", hint="name the bucket and the object"
        )
    return Address(bucket, key)


def canonical_url(url: Path | str) -> str:
    """Return a URL in its usual form: `Path` takes one of two slashes."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+):/+", r"\1://", str(url))


def public_url(url: Path | str) -> str:
    """Return an address without a user name, a password or a signature in it."""
    return re.sub(r"//[^/@]*@", "//…@", str(url).partition("?")[0])
