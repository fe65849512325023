"""The user's machine and process: private folders, variables for children, trusted paths, findings, and memory."""

from nwbpipe.machine._findings import Finding, Severity
from nwbpipe.machine._folders import locate_private_folder, make_cache_folder, make_private_folder, temporary_folder
from nwbpipe.machine._forked import claim_process, end_reader, end_with, is_own_process, map_forked, may_fork
from nwbpipe.machine._garbage import leave_out_older_objects
from nwbpipe.machine._groups import count_machine_memory_kills, count_memory_kills, list_control_groups
from nwbpipe.machine._identity import identify_machine
from nwbpipe.machine._preload import preload, preload_beside
from nwbpipe.machine._trust import (
    belongs_to_user,
    explain_foreign,
    is_trusted,
    list_trusted,
    trust,
    withdraw_trust,
)
from nwbpipe.machine._variables import child_python, close_python_path, select_variables

__all__ = [
    "Finding",
    "Severity",
    "belongs_to_user",
    "child_python",
    "claim_process",
    "close_python_path",
    "count_machine_memory_kills",
    "count_memory_kills",
    "end_reader",
    "end_with",
    "explain_foreign",
    "identify_machine",
    "is_own_process",
    "is_trusted",
    "leave_out_older_objects",
    "list_control_groups",
    "list_trusted",
    "locate_private_folder",
    "make_cache_folder",
    "make_private_folder",
    "map_forked",
    "may_fork",
    "preload",
    "preload_beside",
    "select_variables",
    "temporary_folder",
    "trust",
    "withdraw_trust",
]
