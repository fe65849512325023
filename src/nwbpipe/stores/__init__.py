"""Roots and the relative paths below them: local folders, S3, and what else fsspec knows."""

from nwbpipe.stores._fsspec import FsspecStore
from nwbpipe.stores._local import LocalStore
from nwbpipe.stores._s3 import S3Store
from nwbpipe.stores._store import Entry, Store
from nwbpipe.stores._stores import STORE_VARIABLE, Stores, open_store, split_address

__all__ = [
    "STORE_VARIABLE",
    "Entry",
    "FsspecStore",
    "LocalStore",
    "S3Store",
    "Store",
    "Stores",
    "open_store",
    "split_address",
]
