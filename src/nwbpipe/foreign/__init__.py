"""Closed readers for formats that can carry code: what they read stays data.

Raw folders and NWB files may come from strangers. What these readers do not know, they refuse.
"""

from nwbpipe.foreign._closed import forbid_code, lend_folder
from nwbpipe.foreign._literals import read_literals
from nwbpipe.foreign._npy import load_array, load_pickled_dict, load_pickled_dicts, read_shape
from nwbpipe.foreign._pickle_values import DamagedPickleError, ForbiddenPickleError
from nwbpipe.foreign._pickles import read_pickle
from nwbpipe.foreign._reads import ReadScope

__all__ = [
    "DamagedPickleError",
    "ForbiddenPickleError",
    "ReadScope",
    "forbid_code",
    "lend_folder",
    "load_array",
    "load_pickled_dict",
    "load_pickled_dicts",
    "read_literals",
    "read_pickle",
    "read_shape",
]
