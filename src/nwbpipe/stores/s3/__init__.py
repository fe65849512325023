"""What is the same for all that we do with S3: addresses, the connection and its errors, an object read by ranges."""

from nwbpipe.stores.s3._address import Address, canonical, is_remote, parse, public
from nwbpipe.stores.s3._client import (
    THREADS,
    code_of,
    conflict,
    connect,
    explained,
    is_conflict,
    is_s3_error,
    scrubbed,
)
from nwbpipe.stores.s3._object import BLOCK, Reader, RemoteObject

__all__ = [
    "BLOCK",
    "THREADS",
    "Address",
    "Reader",
    "RemoteObject",
    "canonical",
    "code_of",
    "conflict",
    "connect",
    "explained",
    "is_conflict",
    "is_remote",
    "is_s3_error",
    "parse",
    "public",
    "scrubbed",
]
