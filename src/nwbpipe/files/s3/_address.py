"""Addresses of remote files: see `nwbpipe.stores.s3`."""

from nwbpipe.stores.s3 import Address, is_remote, parse

__all__ = ["Address", "is_remote", "parse"]
