"""Check a file for faults that NWB or DANDI would refuse, before and after the write."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from nwbpipe.converters._warnings import log_warnings
from nwbpipe.errors import InvalidResultError, Problem
from nwbpipe.session import list_validation_errors

if TYPE_CHECKING:
    from pynwb import NWBFile

logger = logging.getLogger("nwbpipe")

# Checked after the write, or not at all for a file in memory, which has no data yet.
_LATER = {"check_image_series_external_file_valid", "check_image_series_external_file_relative"}


def check_in_memory(nwbfile: NWBFile, spec_path: Path) -> None:
    """Run nwbinspector with DANDI's rules on a file in memory.

    Raises
    ------
    InvalidResultError
        If anything is CRITICAL or an error; the rest is logged as notes.
    """
    from nwbinspector import Importance, inspect_nwbfile_object, load_config

    with log_warnings("nwbinspector"):
        messages = list(
            inspect_nwbfile_object(
                nwbfile,
                config=load_config("dandi"),
                ignore=sorted(_LATER),
                importance_threshold=Importance.BEST_PRACTICE_VIOLATION,
            )
        )
    problems = []
    for message in messages:
        if message.check_function_name.startswith("During evaluation of"):
            # The check itself failed, on data that are not in the file yet; it says nothing of the file.
            logger.debug("nwbinspector: %s", message.check_function_name)
            continue
        location = f"{message.location or '/'} ({message.object_type} {message.object_name})"
        if message.importance.value >= Importance.CRITICAL.value:
            problems.append(Problem(message.message, location, hint=f"nwbinspector: {message.check_function_name}"))
        else:
            logger.info("%s: %s", location, message.message)
    if problems:
        raise InvalidResultError(
            "DANDI would refuse the file", where=str(spec_path), problems=problems,
            hint="correct the metadata in the spec; nothing was written",
        )  # fmt: skip


def check_written(path: Path, output: Path) -> None:
    """Validate a written file against the schemas that it carries.

    Raises
    ------
    InvalidResultError
        If it is not valid NWB.
    """
    import nwbpipe.extensions  # noqa: F401  (registers our types)

    with log_warnings("validate"), h5py.File(path, "r") as file:
        errors = list_validation_errors(file)
    if errors:
        problems = [
            Problem(str(getattr(error, "reason", error)), str(getattr(error, "location", ""))) for error in errors
        ]
        raise InvalidResultError("the written file is not valid NWB", where=str(output), problems=problems)
