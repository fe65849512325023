"""What all that we do with S3 shares: addresses, the connection and its errors, conditions, reading by ranges."""

from nwbpipe.stores.s3._address import Address, canonical_url, is_remote, parse_address, public_url
from nwbpipe.stores.s3._client import (
    THREADS,
    code_of,
    conflict_error,
    connect,
    explain_error,
    is_conflict,
    is_missing,
    is_s3_error,
    scrub_secrets,
)
from nwbpipe.stores.s3._conditions import checks_in_one_step, require_conditions
from nwbpipe.stores.s3._object import BLOCK, ObjectReader, RemoteObject

__all__ = [
    "BLOCK",
    "THREADS",
    "Address",
    "ObjectReader",
    "RemoteObject",
    "canonical_url",
    "checks_in_one_step",
    "code_of",
    "conflict_error",
    "connect",
    "explain_error",
    "is_conflict",
    "is_missing",
    "is_remote",
    "is_s3_error",
    "parse_address",
    "public_url",
    "require_conditions",
    "scrub_secrets",
]
