"""Merge and check the metadata of a session: the raw files', then the spec's."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nwbpipe.converters._dates import check_dates
from nwbpipe.converters._entities_nwb import describe_entities
from nwbpipe.converters._names import check_names
from nwbpipe.converters._photometry import check_photometry
from nwbpipe.converters._source import Source
from nwbpipe.converters._warnings import log_warnings
from nwbpipe.converters.neuroconv_fixes import add_ecephys_block, merge_metadata, rename_devices
from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.errors import InvalidResultError, SpecError

logger = logging.getLogger("nwbpipe")

SAME_START_S = 1.0
# The author of the script, and a random identifier of one source, say nothing of the session.
_NOT_OF_SESSION = ("identifier", "source_script", "source_script_file_name", "session_description", "session_id")


def session_metadata(spec: SessionSpec, sources: Sequence[Source]) -> dict[str, Any]:
    """Merge and check the metadata of a session.

    Parameters
    ----------
    spec : SessionSpec
        The session.
    sources : sequence of Source
        Its sources, open; the spec's metadata win over theirs.

    Returns
    -------
    dict
        NeuroConv's metadata tree.

    Raises
    ------
    SpecError
        If no time of the session's start is known, or two sources give different ones and the spec none, or the
        subject's dates contradict each other.
    InvalidResultError
        If the tree does not follow NeuroConv's schema.
    """
    from neuroconv.tools.nwb_helpers import get_default_nwbfile_metadata

    metadata: dict[str, Any] = get_default_nwbfile_metadata().to_dict()
    starts: dict[str, datetime] = {}
    for source in sources:
        tree = source.read_metadata()
        fields = tree.get("NWBFile", {})
        start = fields.pop("session_start_time", None)
        if start is not None:
            starts[source.name] = datetime.fromisoformat(start) if isinstance(start, str) else start
        for key in _NOT_OF_SESSION:
            fields.pop(key, None)
        tree.pop("Subject", None)
        rename_devices(tree, metadata, source.name)
        metadata = merge_metadata(metadata, tree)
    metadata = merge_metadata(metadata, spec.metadata)
    add_ecephys_block(metadata, sources)
    start = _choose_start(spec, starts)
    problems = check_dates(spec.subject, start, spec.insertions)
    if problems:
        raise SpecError("dates contradict each other", where=str(spec.path), problems=problems)
    metadata = merge_metadata(metadata, _spec_metadata(spec, start))
    _validate(metadata, sources, str(spec.path))
    return metadata


def _spec_metadata(spec: SessionSpec, start: datetime) -> dict[str, Any]:
    """Return the sections `subject` and `session` as NeuroConv's tree."""
    session = spec.session.model_dump(exclude_none=True, exclude={"attributes", "notes"})
    description = spec.metadata.get("NWBFile", {}).get("session_description")
    default = description or f"Session {spec.session.session_id} of subject {spec.subject.subject_id}"
    session.setdefault("session_description", default)
    session["session_start_time"] = start
    tables = {"line", "surgeries", "injections", "implants"}
    return merge_metadata(
        {"NWBFile": session, "Subject": spec.subject.model_dump(exclude_none=True, exclude=tables)},
        describe_entities(spec),
    )


def _choose_start(spec: SessionSpec, starts: Mapping[str, datetime]) -> datetime:
    """Choose the session's start: the spec's, or that of the sources in the reference clock."""
    start = spec.session.session_start_time or spec.metadata.get("NWBFile", {}).get("session_start_time")
    start = datetime.fromisoformat(start) if isinstance(start, str) else start
    read = {name: time for name, time in starts.items() if spec.clock_of(name) == spec.reference_clock}
    if start is not None:
        _log_differences(start, read)
        return start
    location = f"{spec.path}: session.session_start_time"
    hint = "add `session_start_time: 2024-05-01T10:00:00-04:00` to session: time 0 of the reference clock"
    if not read:
        times = _format_times(starts)
        raise SpecError(
            "nothing gives the session's start time",
            where=location,
            expected=f"the time in the spec, or in a source of the reference clock {spec.reference_clock!r}",
            found=f"only sources of other clocks have one ({times})" if times else "no source has one",
            hint=hint,
        )
    naive = {name: time for name, time in read.items() if time.utcoffset() is None}
    if naive:
        times = f"{_format_times(naive)} (read)"
        raise SpecError("the session's start time has no time zone", where=location, found=times, hint=hint)
    first, *further = read.values()
    if any(abs((time - first).total_seconds()) > SAME_START_S for time in further):
        msg = "the sources disagree on the session's start time"
        raise SpecError(msg, where=location, found=_format_times(read), hint=hint)
    return first


def _format_times(times: Mapping[str, datetime]) -> str:
    return ", ".join(f"{name}: {time.isoformat()}" for name, time in times.items())


def _log_differences(start: datetime, read: Mapping[str, datetime]) -> None:
    for name, time in read.items():
        local = time if time.utcoffset() is not None else time.replace(tzinfo=start.tzinfo)
        difference = abs((local - start).total_seconds())
        if difference > SAME_START_S:
            logger.warning(
                "session_start_time is %s as the spec says; %s gives %s, %.0f s apart",
                start.isoformat(), name, time.isoformat(), difference,
            )  # fmt: skip


def _validate(metadata: dict[str, Any], sources: Sequence[Source], spec: str) -> None:
    """Refuse metadata that NeuroConv or NWB would refuse, before anything is written."""
    from jsonschema import ValidationError  # type: ignore[import-untyped]
    from neuroconv import ConverterPipe

    pipe = ConverterPipe(data_interfaces={source.name: source.interface for source in sources})
    try:
        with log_warnings("metadata"):
            pipe.validate_metadata(metadata)
    except ValidationError as error:
        path = ".".join(str(part) for part in error.absolute_path)
        raise InvalidResultError(
            "the metadata are not valid",
            where=f"{spec}: metadata.{path}",
            expected=str(error.schema.get("type") or error.validator_value)[:300],
            found=error.message[:300],
        ) from error
    except ValueError as error:
        raise InvalidResultError(
            "the metadata contradict themselves",
            where=f"{spec}: metadata",
            found=str(error),
            hint="give devices, planes and series different names in `metadata`",
        ) from error
    problems = check_names(metadata)
    if problems:
        raise InvalidResultError("names are not valid", where=spec, problems=problems)
    problems = check_photometry(metadata)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        msg = f"photometry: {count} in metadata.FiberPhotometry"
        raise InvalidResultError(msg, where=spec, problems=problems)
