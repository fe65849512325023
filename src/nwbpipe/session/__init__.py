"""One session file, local or in S3: open, check, change, edit, and carry results over."""

from nwbpipe.session._carry_results import carry_results
from nwbpipe.session._check import CheckReport, FileFinding, check
from nwbpipe.session._commit import commit_result
from nwbpipe.session._content import NwbObject, find_nwb_object, list_nwb_objects
from nwbpipe.session._edit import RemovalReport, remove_step, rename_step, repack
from nwbpipe.session._functions import check_readable, open_hdf5, read, read_records, transaction, update
from nwbpipe.session._integrity import (
    ResultFault,
    compare_outputs,
    explain_changed_result,
    find_result_faults,
    hint_for_changed_result,
)
from nwbpipe.session._media import (
    MEDIA,
    build_medium_path,
    find_medium_change,
    has_medium,
    list_media,
    name_medium,
    place_medium,
    remove_medium,
)
from nwbpipe.session._outside_media import list_external_files
from nwbpipe.session._read_through import StoredValues, read_through
from nwbpipe.session._reader import SessionReader, Snapshot, Version, find_result
from nwbpipe.session._remove import CURATION, find_dependents, is_irreplaceable, remove_outputs
from nwbpipe.session._session_file import ServedFile, SessionChange, SessionFile, retry_after_conflicts
from nwbpipe.session._summary import SessionSummary, StreamSummary, summarize_session
from nwbpipe.session._unrecorded import (
    ROWS,
    count_rows,
    explain_taken_names,
    find_taken_names,
    find_unrecorded,
)
from nwbpipe.session._validation import check_valid, list_validation_errors

__all__ = [
    "CURATION",
    "MEDIA",
    "ROWS",
    "CheckReport",
    "FileFinding",
    "NwbObject",
    "RemovalReport",
    "ResultFault",
    "ServedFile",
    "SessionChange",
    "SessionFile",
    "SessionReader",
    "SessionSummary",
    "Snapshot",
    "StoredValues",
    "StreamSummary",
    "Version",
    "build_medium_path",
    "carry_results",
    "check",
    "check_readable",
    "check_valid",
    "commit_result",
    "compare_outputs",
    "count_rows",
    "explain_changed_result",
    "explain_taken_names",
    "find_dependents",
    "find_medium_change",
    "find_nwb_object",
    "find_result",
    "find_result_faults",
    "find_taken_names",
    "find_unrecorded",
    "has_medium",
    "hint_for_changed_result",
    "is_irreplaceable",
    "list_external_files",
    "list_media",
    "list_nwb_objects",
    "list_validation_errors",
    "name_medium",
    "open_hdf5",
    "place_medium",
    "read",
    "read_records",
    "read_through",
    "remove_medium",
    "remove_outputs",
    "remove_step",
    "rename_step",
    "repack",
    "retry_after_conflicts",
    "summarize_session",
    "transaction",
    "update",
]
