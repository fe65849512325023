"""Addresses of objects in S3."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nwbpipe.errors import RequestError
from nwbpipe.stores._urls import canonical_url, public_url


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


def parse_address(url: Path | str, *, folder: bool = False) -> Address:
    """Take an address apart.

    Parameters
    ----------
    url : path
        ``s3://bucket/key``.
    folder : bool
        Allow an empty key, and one that ends with a slash.

    Raises
    ------
    RequestError
        If it is not one of S3.
    """
    scheme, _, bucket_and_key = canonical_url(url).partition("://")
    if scheme != "s3":
        msg = f"addresses of {scheme}:// are not supported"
        hint = "download the file first"
        raise RequestError(msg, where=public_url(url), expected="a local file, or s3://bucket/key", hint=hint)
    bucket, _, key = bucket_and_key.partition("/")
    nameless = not bucket or str(url).startswith("s3:///")
    if nameless or "@" in bucket or (not folder and (not key or key.endswith("/"))):
        msg = "the address does not name an object in S3"
        raise RequestError(
            msg, where=public_url(url), expected="s3://bucket/key", hint="name the bucket and the object"
        )
    return Address(bucket, key)
