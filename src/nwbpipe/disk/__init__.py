"""Make, open and remove files so that nothing that someone prepared is followed, emptied or removed."""

from nwbpipe.disk._open import create_file, kind_of, open_regular, read_regular, refuse_special
from nwbpipe.disk._remove import FileMark, mark_of, remove_file, remove_folder

__all__ = [
    "FileMark",
    "create_file",
    "kind_of",
    "mark_of",
    "open_regular",
    "read_regular",
    "refuse_special",
    "remove_file",
    "remove_folder",
]
