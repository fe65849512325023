"""Make, open and remove files so that nothing that someone prepared is followed, emptied or removed."""

from nwbpipe.disk._attributes import copy_attributes
from nwbpipe.disk._open import create_file, kind_of, open_recalled, open_regular, read_regular, refuse_special
from nwbpipe.disk._remove import FileMark, mark_of, remove_file, remove_folder
from nwbpipe.disk._space import explain_full_disk, find_full_disk, full_disk_error

__all__ = [
    "FileMark",
    "copy_attributes",
    "create_file",
    "explain_full_disk",
    "find_full_disk",
    "full_disk_error",
    "kind_of",
    "mark_of",
    "open_recalled",
    "open_regular",
    "read_regular",
    "refuse_special",
    "remove_file",
    "remove_folder",
]
