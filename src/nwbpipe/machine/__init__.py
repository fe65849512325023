"""The user's machine: private folders, variables for child processes, and the paths that the user trusts."""

from nwbpipe.machine._folders import make_private_folder
from nwbpipe.machine._trust import (
    PROJECT_FILE,
    belongs_to_user,
    explain_foreign,
    is_trusted,
    list_trusted,
    require_trust,
    trust,
    withdraw_trust,
)
from nwbpipe.machine._variables import child_python, close_python_path, select_variables

__all__ = [
    "PROJECT_FILE",
    "belongs_to_user",
    "child_python",
    "close_python_path",
    "explain_foreign",
    "is_trusted",
    "list_trusted",
    "make_private_folder",
    "require_trust",
    "select_variables",
    "trust",
    "withdraw_trust",
]
