"""Say what the raw files of a source hold, independently of their reader, and hold the reader to it.

`docs/design/020-accounts.md` says what an account is and how to write one.
"""

from nwbpipe.converters.accounts._account import Account, Gap, Spikes, Stream, Times
from nwbpipe.converters.accounts._compare import raise_unaccepted, reconcile
from nwbpipe.converters.accounts._extents import check_extents, measure_extent, series_extent
from nwbpipe.converters.accounts._registry import account, has_account, read_account

__all__ = [
    "Account",
    "Gap",
    "Spikes",
    "Stream",
    "Times",
    "account",
    "check_extents",
    "has_account",
    "measure_extent",
    "raise_unaccepted",
    "read_account",
    "reconcile",
    "series_extent",
]
