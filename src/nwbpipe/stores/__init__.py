"""Open stores: local folders, S3, file systems of fsspec, and those of other packages; stage their files."""

from nwbpipe.stores._cache import CachedFile, cache_folder, cache_limit, trim_cache
from nwbpipe.stores._fsspec import FsspecStore
from nwbpipe.stores._junk import hide_junk, is_junk
from nwbpipe.stores._local import LocalStore
from nwbpipe.stores._parts import FileChanges, UploadPart, divide_part
from nwbpipe.stores._paths import literal_folder, match_path, normalize_path
from nwbpipe.stores._ranged import ByteSource, RangedFile, RangeReader
from nwbpipe.stores._ranges import RangeServer
from nwbpipe.stores._s3 import S3Store
from nwbpipe.stores._staging import Stage, remove_leftovers, scratch_folder
from nwbpipe.stores._store import Store, StoreEntry
from nwbpipe.stores._stores import (
    STORE_VARIABLE,
    Stores,
    environment_roots,
    open_location,
    open_store,
    split_address,
)
from nwbpipe.stores._urls import EXTRAS, is_remote

__all__ = [
    "EXTRAS",
    "STORE_VARIABLE",
    "ByteSource",
    "CachedFile",
    "FileChanges",
    "FsspecStore",
    "LocalStore",
    "RangeReader",
    "RangeServer",
    "RangedFile",
    "S3Store",
    "Stage",
    "Store",
    "StoreEntry",
    "Stores",
    "UploadPart",
    "cache_folder",
    "cache_limit",
    "divide_part",
    "environment_roots",
    "hide_junk",
    "is_junk",
    "is_remote",
    "literal_folder",
    "match_path",
    "normalize_path",
    "open_location",
    "open_store",
    "remove_leftovers",
    "scratch_folder",
    "split_address",
    "trim_cache",
]
