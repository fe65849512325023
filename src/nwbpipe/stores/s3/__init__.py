"""Reach S3: addresses, the connection and its errors, conditions, reading by ranges."""

from nwbpipe.stores._urls import canonical_url, is_remote, public_url
from nwbpipe.stores.s3._address import Address, parse_address
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
from nwbpipe.stores.s3._object import RemoteObject, read_object_range

__all__ = [
    "THREADS",
    "Address",
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
    "read_object_range",
    "require_conditions",
    "scrub_secrets",
]
