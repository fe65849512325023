"""What happens to bytes: files are created whole, changed whole, or not at all. Knows HDF5, not neuroscience."""

from nwbpipe.files._atomic import create_atomically, locked
from nwbpipe.files._carry import carry_over, outside_targets
from nwbpipe.files._check import Inspection, State, inspect_file, repair_file
from nwbpipe.files._chunks import decodes, read_chunked, write_chunked
from nwbpipe.files._codec import Codec
from nwbpipe.files._layout import Access, Layout, chunk_shape
from nwbpipe.files._links import below, dangling, objects, soft_links, users
from nwbpipe.files._recover import read_settled, recover
from nwbpipe.files._remote import remote_read
from nwbpipe.files._repack import repack
from nwbpipe.files._texts import read_texts, texts_below
from nwbpipe.files._transaction import transaction
from nwbpipe.files.s3 import (
    FollowingObject,
    RemoteState,
    UnfinishedUpload,
    abort_s3_orphans,
    is_remote,
    s3_orphans,
    s3_read,
    s3_state,
    s3_upload,
)

__all__ = [
    "Access",
    "Codec",
    "FollowingObject",
    "Inspection",
    "Layout",
    "RemoteState",
    "State",
    "UnfinishedUpload",
    "abort_s3_orphans",
    "below",
    "carry_over",
    "chunk_shape",
    "create_atomically",
    "dangling",
    "decodes",
    "inspect_file",
    "is_remote",
    "locked",
    "objects",
    "outside_targets",
    "read_chunked",
    "read_settled",
    "read_texts",
    "recover",
    "remote_read",
    "repack",
    "repair_file",
    "s3_orphans",
    "s3_read",
    "s3_state",
    "s3_upload",
    "soft_links",
    "texts_below",
    "transaction",
    "users",
    "write_chunked",
]
