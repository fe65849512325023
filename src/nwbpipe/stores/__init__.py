"""Roots and the relative paths below them: local folders, S3, and what else fsspec knows; staging of their files."""

from nwbpipe.stores._cache import CachedFile, cache_folder, cache_limit, trim_cache
from nwbpipe.stores._fsspec import FsspecStore
from nwbpipe.stores._local import LocalStore
from nwbpipe.stores._ranges import RangeServer
from nwbpipe.stores._s3 import S3Store
from nwbpipe.stores._staging import Stage, remove_leftovers, scratch_folder
from nwbpipe.stores._store import RangedFile, Store, StoreEntry
from nwbpipe.stores._stores import (
    STORE_VARIABLE,
    Stores,
    environment_roots,
    open_location,
    open_store,
    split_address,
)
from nwbpipe.stores.s3 import is_remote

__all__ = [
    "STORE_VARIABLE",
    "CachedFile",
    "FsspecStore",
    "LocalStore",
    "RangeServer",
    "RangedFile",
    "S3Store",
    "Stage",
    "Store",
    "StoreEntry",
    "Stores",
    "cache_folder",
    "cache_limit",
    "environment_roots",
    "is_remote",
    "open_location",
    "open_store",
    "remove_leftovers",
    "scratch_folder",
    "split_address",
    "trim_cache",
]
