"""Say in one error of ours what HDF5 fails with in the middle of a damaged file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from nwbpipe.errors import DamagedFileError

# How h5py begins what HDF5 itself says.
_HDF5 = re.compile(
    r"synchronously|Unspecified error in H5|(?:visitation|[Ii]teration) failed"
    r"|codec can't decode byte|Unable to get (?:group|object)"
)
# The caller asked for what is not there, or wrote what the file can't hold; a disk is full.
_NO_DAMAGE = re.compile(r"doesn't exist|already exists|no write intent|message is too large|errno = ")


@contextmanager
def translate_damage(where: object) -> Iterator[None]:
    """Raise a `DamagedFileError` where HDF5 can't read a part of an open file.

    Parameters
    ----------
    where : object
        The file, to be named.
    """
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # h5py has all of them for it
        text = " ".join(str(error).split())
        if getattr(error, "errno", None) or not _HDF5.search(text) or _NO_DAMAGE.search(text):
            raise
        raise DamagedFileError(
            "the file is damaged: a part of it can't be read",
            where=str(where),
            found=text[:300],
            hint="restore it from a copy; `nwbpipe check FILE.nwb --deep` names the datasets",
        ) from error
