"""Session files in S3: read by ranges, changed by sending what is new (``docs/design/007-s3.md``)."""

from nwbpipe.files.s3._commit import ObjectCommit
from nwbpipe.files.s3._conditions import is_conditional
from nwbpipe.files.s3._orphans import UnfinishedUpload, abort_s3_orphans, s3_orphans
from nwbpipe.files.s3._state import FollowingObject, RemoteState, read_state, s3_state
from nwbpipe.files.s3._upload import s3_upload
from nwbpipe.stores.s3 import is_remote, parse_address

__all__ = [
    "FollowingObject",
    "ObjectCommit",
    "RemoteState",
    "UnfinishedUpload",
    "abort_s3_orphans",
    "is_conditional",
    "is_remote",
    "parse_address",
    "read_state",
    "s3_orphans",
    "s3_state",
    "s3_upload",
]
