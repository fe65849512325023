"""A file that results were added to must be valid, by the version of NWB that it then declares."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import h5py

from nwbpipe import session_file
from nwbpipe.errors import InvalidResultError, UnsupportedFileError


def validation_errors(file: h5py.File, original: Path | str) -> Counter[str]:
    """Return what pynwb's validator finds wrong with an open file, and how often.

    Parameters
    ----------
    file : h5py.File
        The file, open for reading.
    original : path
        The file that it is, or is to replace, to be named in an error.

    Raises
    ------
    UnsupportedFileError
        If the file's own copy of the NWB schema can't be read, so that nothing can be said.
    """
    from pynwb import NWBHDF5IO, get_manager, validate
    from pynwb.validation import get_cached_namespaces_to_validate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:  # as validate(path=...) does: by the schemas that the file itself holds
            manager = get_cached_namespaces_to_validate(io=NWBHDF5IO(file=file, manager=get_manager()))[1]
            return Counter(str(error) for error in validate(io=NWBHDF5IO(file=file, manager=manager)))
        except Exception as error:  # the validator meets schemas of any age, and fails in any way
            with session_file.open_hdf5(original) as before:
                version = _declared(before)
            msg = f"the file, of NWB {version}, can't be validated: its own copy of the NWB schema is broken"
            raise UnsupportedFileError(
                msg,
                where=str(original),
                expected="a readable schema in /specifications",
                found=f"{type(error).__name__}: {error}",
                hint="export the file with a current pynwb, or convert the session again",
            ) from error


def check_valid(working: h5py.File, original: Path | str) -> None:
    """Refuse results that leave a file invalid.

    pynwb raises a file's ``nwb_version`` to its own when it appends. A file of an older version must therefore be
    wholly valid by the new one, or its version would lie about its objects; in a file of today's version, faults
    that were there before are not held against the results.

    Parameters
    ----------
    working : h5py.File
        The file with the results, open for reading.
    original : path
        The file as it was.

    Raises
    ------
    UnsupportedFileError
        If a file of an older version would not be valid.
    InvalidResultError
        If the results brought a fault into a file of today's version.
    """
    faults = validation_errors(working, original)
    if not faults:
        return
    with session_file.open_hdf5(original) as file:
        before, after = _declared(file), _declared(working)
        new = faults - validation_errors(file, original) if before == after else faults
    if before != after:
        msg = f"the file is of NWB {before}, and would not be valid NWB {after} with the results"
        raise UnsupportedFileError(
            msg,
            where=str(original),
            expected="a file that pynwb can raise to today's version",
            found=f"{sum(faults.values())} faults: {_some(faults)}",
            hint="convert the session again, or export the file with a current pynwb and mend these faults",
        )
    if new:
        msg = "the results would make the file invalid"
        raise InvalidResultError(
            msg, where=str(original), found=_some(new), hint="a fault of the processor: report it"
        )


def _declared(file: h5py.File) -> str:
    return str(file.attrs["nwb_version"])


def _some(faults: Counter[str], most: int = 3) -> str:
    text = "; ".join(list(faults)[:most])
    return text + (f"; and {len(faults) - most} more" if len(faults) > most else "")
