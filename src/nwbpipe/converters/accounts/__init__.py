"""Say what the raw files of a source hold, independently of their reader, and hold the reader to it.

`docs/design/020-accounts.md` says what an account is and how to write one.
"""

from nwbpipe.converters.accounts._account import Account, Gap, Spikes, Stream, Times
from nwbpipe.converters.accounts._compare import raise_unaccepted, reconcile
from nwbpipe.converters.accounts._extents import check_extents, measure_extent, series_extent
from nwbpipe.converters.accounts._openephys import list_parts as list_openephys_parts
from nwbpipe.converters.accounts._pose import read_track_name as read_sleap_track
from nwbpipe.converters.accounts._pose import read_video_path as read_sleap_video
from nwbpipe.converters.accounts._pose_table import PoseTable, read_pose_table
from nwbpipe.converters.accounts._registry import account, has_account, read_account
from nwbpipe.converters.accounts._scanimage import list_channels as list_scanimage_channels
from nwbpipe.converters.accounts._spikeglx import list_parts as list_spikeglx_parts
from nwbpipe.converters.accounts._spikeglx import read_meta as read_spikeglx_meta

__all__ = [
    "Account",
    "Gap",
    "PoseTable",
    "Spikes",
    "Stream",
    "Times",
    "account",
    "check_extents",
    "has_account",
    "list_openephys_parts",
    "list_scanimage_channels",
    "list_spikeglx_parts",
    "measure_extent",
    "raise_unaccepted",
    "read_account",
    "read_pose_table",
    "read_sleap_track",
    "read_sleap_video",
    "read_spikeglx_meta",
    "reconcile",
    "series_extent",
]
