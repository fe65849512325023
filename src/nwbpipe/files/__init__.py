"""Create and change files atomically. Knows HDF5, not neuroscience."""

from nwbpipe.files._atomic import create_atomically
from nwbpipe.files._carry import carry_over, outside_targets
from nwbpipe.files._check import FileCondition, Inspection, inspect_file, repair_file
from nwbpipe.files._chunks import can_decode_chunks, read_chunked, write_chunked
from nwbpipe.files._codec import Codec
from nwbpipe.files._damage import translate_damage
from nwbpipe.files._fresh_stat import exists_now, read_stat
from nwbpipe.files._journal import SEARCHED_BYTES, find_superblock
from nwbpipe.files._layout import Access, Layout, chunk_shape
from nwbpipe.files._links import (
    find_dangling,
    find_users,
    is_below,
    iter_references,
    soft_links,
    unlink,
    walk_objects,
)
from nwbpipe.files._order import make_contiguous
from nwbpipe.files._recover import hold_off_writers, read_settled, recover
from nwbpipe.files._remote import (
    cache_for_tool,
    open_remote,
    open_remote_state,
    read_remote_state,
    require_changeable,
    upload_file,
)
from nwbpipe.files._remote_transaction import remote_transaction
from nwbpipe.files._repack import repack
from nwbpipe.files._screening import open_safe, require_safe, require_safe_remote, screen
from nwbpipe.files._sink import open_for_writing
from nwbpipe.files._texts import iter_texts, read_texts
from nwbpipe.files._transaction import transaction
from nwbpipe.files._windows import ThreadedDataset, WindowReader
from nwbpipe.files._write_lock import hold_lock, is_time_past
from nwbpipe.files.s3 import (
    FollowingObject,
    RemoteState,
    UnfinishedUpload,
    abort_s3_orphans,
    is_remote,
    s3_orphans,
    s3_state,
    s3_upload,
)

__all__ = [
    "SEARCHED_BYTES",
    "Access",
    "Codec",
    "FileCondition",
    "FollowingObject",
    "Inspection",
    "Layout",
    "RemoteState",
    "ThreadedDataset",
    "UnfinishedUpload",
    "WindowReader",
    "abort_s3_orphans",
    "cache_for_tool",
    "can_decode_chunks",
    "carry_over",
    "chunk_shape",
    "create_atomically",
    "exists_now",
    "find_dangling",
    "find_superblock",
    "find_users",
    "hold_lock",
    "hold_off_writers",
    "inspect_file",
    "is_below",
    "is_remote",
    "is_time_past",
    "iter_references",
    "iter_texts",
    "make_contiguous",
    "open_for_writing",
    "open_remote",
    "open_remote_state",
    "open_safe",
    "outside_targets",
    "read_chunked",
    "read_remote_state",
    "read_settled",
    "read_stat",
    "read_texts",
    "recover",
    "remote_transaction",
    "repack",
    "repair_file",
    "require_changeable",
    "require_safe",
    "require_safe_remote",
    "s3_orphans",
    "s3_state",
    "s3_upload",
    "screen",
    "soft_links",
    "transaction",
    "translate_damage",
    "unlink",
    "upload_file",
    "walk_objects",
    "write_chunked",
]
