"""The fields that say which session a file is of: its conversion keeps them, so that a change is noticed."""

from __future__ import annotations

import h5py

FIELDS = "fields"  # entry of a conversion's resources
_PATHS = (
    "/identifier",
    "/session_start_time",
    "/timestamps_reference_time",
    "/general/session_id",
    "/general/subject/subject_id",
)


def read_fields(file: h5py.File) -> dict[str, str]:
    """Return the fields that name a file's session and place it in time, by path; those of the file alone."""
    fields = {}
    for path in _PATHS:
        item = file.get(path)
        if isinstance(item, h5py.Dataset) and item.shape == () and h5py.check_string_dtype(item.dtype) is not None:
            fields[path] = str(item.asstr(errors="replace")[()])
    return fields
