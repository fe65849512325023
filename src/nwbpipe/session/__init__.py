"""One session file, local or in S3: open, check, change, edit, and carry results over."""

from nwbpipe.session._carry_results import carry_results
from nwbpipe.session._check import Finding, Report, check
from nwbpipe.session._commit import commit_result
from nwbpipe.session._content import Candidate, nwb_objects
from nwbpipe.session._edit import Removed, remove_step, rename_step, repack
from nwbpipe.session._file import (
    again_after_conflicts,
    between_commits,
    check_changeable,
    check_readable,
    nwb_version,
    open_hdf5,
    read,
    transaction,
    update,
)
from nwbpipe.session._remove import CURATION, dependents, irreplaceable, remove_outputs
from nwbpipe.session._validation import check_valid

__all__ = [
    "CURATION",
    "Candidate",
    "Finding",
    "Removed",
    "Report",
    "again_after_conflicts",
    "between_commits",
    "carry_results",
    "check",
    "check_changeable",
    "check_readable",
    "check_valid",
    "commit_result",
    "dependents",
    "irreplaceable",
    "nwb_objects",
    "nwb_version",
    "open_hdf5",
    "read",
    "remove_outputs",
    "remove_step",
    "rename_step",
    "repack",
    "transaction",
    "update",
]
