"""What all that we do with S3 shares: addresses, the connection and its errors, conditions, reading by ranges."""

from nwbpipe.stores.s3._address import Address, canonical, is_remote, parse, public
from nwbpipe.stores.s3._client import (
    THREADS,
    code_of,
    conflict,
    connect,
    explained,
    is_conflict,
    is_missing,
    is_s3_error,
    scrubbed,
)
from nwbpipe.stores.s3._conditions import checks_in_one_step, require_conditions
from nwbpipe.stores.s3._object import BLOCK, Reader, RemoteObject

__all__ = [
    "BLOCK",
    "THREADS",
    "Address",
    "Reader",
    "RemoteObject",
    "canonical",
    "checks_in_one_step",
    "code_of",
    "conflict",
    "connect",
    "explained",
    "is_conflict",
    "is_missing",
    "is_remote",
    "is_s3_error",
    "parse",
    "public",
    "require_conditions",
    "scrubbed",
]
