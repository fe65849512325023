"""The metadata of a session: what the interfaces read, then the spec's, merged and checked before writing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from nwbpipe.converters._build_sources import BuiltSource
from nwbpipe.converters._entities_nwb import describe_entities
from nwbpipe.converters._photometry import check_photometry
from nwbpipe.converters._reader_errors import log_warnings, paths_of, translate_reader_errors
from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.errors import InvalidResultError, Problem, SpecError

logger = logging.getLogger("nwbpipe")

# The blocks of NeuroConv's metadata whose entries, keyed by `metadata_key`, name what is written.
_NAMED = {
    "Ecephys": ("ElectricalSeries",),
    "Ophys": ("MicroscopySeries", "PlaneSegmentations", "ImagingPlanes", "RoiResponses", "SegmentationImages"),
    "FiberPhotometry": (None,),
    "Events": (None,),
    "Pose": ("PoseEstimations", "Skeletons"),
    "Behavior": ("ExternalVideos", "InternalVideos"),
    "TimeSeries": (None,),
}
# Those whose entry holds several: the raw, neuropil and deconvolved traces of one segmentation.
_OF_MANY = ("RoiResponses", "SegmentationImages")
SAME_START_S = 1.0


def session_metadata(spec: SessionSpec, sources: list[BuiltSource]) -> dict[str, Any]:
    """Merge and check the metadata of a session.

    Parameters
    ----------
    spec : SessionSpec
        The session.
    sources : list of Source
        Its sources, whose interfaces are asked first.

    Returns
    -------
    dict
        NeuroConv's metadata tree.

    Raises
    ------
    SpecError
        If no time of the session's start is known, or two sources give different ones and the spec none.
    InvalidResultError
        If the whole does not follow NeuroConv's schema.
    """
    from neuroconv.tools.nwb_helpers import get_default_nwbfile_metadata

    metadata: dict[str, Any] = get_default_nwbfile_metadata().to_dict()
    starts: dict[str, datetime] = {}
    for source in sources:
        read = _read_metadata(spec, source)
        start = read.get("NWBFile", {}).pop("session_start_time", None)
        if start is not None:
            starts[source.name] = datetime.fromisoformat(start) if isinstance(start, str) else start
        # Who wrote the script, and a random identifier of one source, say nothing of the session.
        for key in ("identifier", "source_script", "source_script_file_name", "session_description", "session_id"):
            read.get("NWBFile", {}).pop(key, None)
        read.pop("Subject", None)
        _tell_devices_apart(read, metadata, source)
        metadata = _merge_metadata(metadata, read)
    metadata = _merge_metadata(metadata, spec.metadata)
    if any(hasattr(source.interface, "sorting_extractor") for source in sources):
        metadata.setdefault("Ecephys", {})  # NeuroConv 0.10's sorting interfaces look for it, and fail without
    metadata = _merge_metadata(metadata, _spec_metadata(spec, _choose_start(spec, starts)))
    _validate(spec, sources, metadata)
    return metadata


def _merge_metadata(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two trees: mappings key by key, all else is replaced.

    NeuroConv's `dict_deep_update` joins lists and drops what repeats: a grid spacing [0.5, 0.5] would become [0.5].
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            merged[key] = _merge_metadata(old, value)
        elif _has_names(value) and _has_names(old):
            joined = _merge_metadata(
                {item["name"]: item for item in old or ()}, {item["name"]: item for item in value}
            )
            merged[key] = list(joined.values())
        else:
            merged[key] = deepcopy(value)
    return merged


def _has_names(value: Any) -> bool:
    """Tell whether a list holds named things, such as the columns of the electrodes table."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and "name" in item for item in value)
    )


def _tell_devices_apart(read: dict[str, Any], metadata: Mapping[str, Any], source: BuiltSource) -> None:
    """Rename a device that has the name of another one."""
    for registry in ("Devices", "DeviceModels"):
        taken = {entry.get("name"): key for key, entry in metadata.get(registry, {}).items()}
        for key, entry in read.get(registry, {}).items():
            if taken.get(entry.get("name"), key) != key:
                entry["name"] = f"{entry['name']}_{source.name}"


def _spec_metadata(spec: SessionSpec, start: datetime) -> dict[str, Any]:
    """Give what the sections `subject` and `session` say, as NeuroConv's tree."""
    session = spec.session.model_dump(exclude_none=True, exclude={"attributes", "notes"})
    described = spec.metadata.get("NWBFile", {}).get("session_description")
    default = described or f"Session {spec.session.session_id} of subject {spec.subject.subject_id}"
    session.setdefault("session_description", default)
    session["session_start_time"] = start
    tables = {"line", "surgeries", "injections", "implants"}
    return _merge_metadata(
        {"NWBFile": session, "Subject": spec.subject.model_dump(exclude_none=True, exclude=tables)},
        describe_entities(spec),
    )


def _read_metadata(spec: SessionSpec, source: BuiltSource) -> dict[str, Any]:
    with translate_reader_errors(spec, source.name, source.spec.interface, type(source.interface)):
        metadata = source.interface._get_metadata_for_writing()
        read: dict[str, Any] = deepcopy(metadata.to_dict() if hasattr(metadata, "to_dict") else dict(metadata))
    _name_after_source(read, source)
    public: dict[str, Any] = _hide_local_paths(read, spec, source)
    return public


def _hide_local_paths(value: Any, spec: SessionSpec, source: BuiltSource) -> Any:
    """Replace absolute paths of this machine in texts: session files become public."""
    if isinstance(value, Mapping):
        values = {key: _hide_local_paths(item, spec, source) for key, item in value.items()}
        videos = values.get("original_videos")
        if isinstance(videos, list):
            values["original_videos"] = [PureWindowsPath(PurePosixPath(str(item)).name).name for item in videos]
        return values
    if isinstance(value, list):
        return [_hide_local_paths(item, spec, source) for item in value]
    if isinstance(value, str):
        for path in paths_of(spec, source.name):
            value = value.replace(str(path), spec.paths.display(path))
        return value.replace(f"{spec.paths.folder}/", "")
    return value


def _name_after_source(metadata: dict[str, Any], source: BuiltSource) -> None:
    """Let what a source writes be called after it: two of one class don't collide."""
    key = getattr(source.interface, "metadata_key", None)
    if key != source.name:
        return
    for block, kinds in _NAMED.items():
        for kind in kinds:
            entries = metadata.get(block, {}) if kind is None else metadata.get(block, {}).get(kind, {})
            entry = entries.get(source.name) if isinstance(entries, Mapping) else None
            for item in (entry, *(entry.values() if kind in _OF_MANY and isinstance(entry, dict) else ())):
                if isinstance(item, dict) and isinstance(item.get("name"), str):
                    item["name"] = _name_with_source(item["name"], source)
    device = metadata.get("Devices", {}).get(f"{source.name}_camera")
    if source.spec.video is not None and isinstance(device, dict):
        device["name"] = f"Camera_{source.name}"


def _name_with_source(name: str, source: BuiltSource) -> str:
    if name == "MicroscopySeries":
        name = str(source.options.get("photon_series_type", "TwoPhotonSeries"))
    # Not twice: a name that ends in the source's says it already.
    return name if name.lower().endswith(source.name.lower()) else f"{name}_{source.name}"


def _choose_start(spec: SessionSpec, starts: Mapping[str, datetime]) -> datetime:
    """Choose the session's start: the spec's, or that of the sources in the reference clock."""
    given = spec.session.session_start_time or spec.metadata.get("NWBFile", {}).get("session_start_time")
    given = datetime.fromisoformat(given) if isinstance(given, str) else given
    read = {name: time for name, time in starts.items() if spec.clock_of(name) == spec.reference_clock}
    if given is not None:
        _log_differences(given, read)
        return given
    where = f"{spec.path}: session.session_start_time"
    hint = "add `session_start_time: 2024-05-01T10:00:00-04:00` to session: time 0 of the reference clock"
    if not read:
        others = ", ".join(f"{name}: {time.isoformat()}" for name, time in starts.items())
        raise SpecError(
            "nothing gives the session's start time",
            where=where,
            expected=f"the time in the spec, or in a source of the reference clock {spec.reference_clock!r}",
            found=f"only sources of other clocks have one ({others})" if others else "no source has one",
            hint=hint,
        )
    naive = [name for name, time in read.items() if time.utcoffset() is None]
    if naive:
        times = ", ".join(f"{name}: {read[name].isoformat()}" for name in naive)
        raise SpecError("the session's start time has no time zone", where=where, found=f"{times} (read)", hint=hint)
    first, *rest = read.values()
    if any(abs((time - first).total_seconds()) > SAME_START_S for time in rest):
        times = ", ".join(f"{name}: {time.isoformat()}" for name, time in read.items())
        raise SpecError("the sources disagree on the session's start time", where=where, found=times, hint=hint)
    return first


def _log_differences(given: datetime, read: Mapping[str, datetime]) -> None:
    for name, time in read.items():
        local = time if time.utcoffset() is not None else time.replace(tzinfo=given.tzinfo)
        apart = abs((local - given).total_seconds())
        if apart > SAME_START_S:
            logger.warning(
                "session_start_time is %s as the spec says; %s gives %s, %.0f s apart",
                given.isoformat(), name, time.isoformat(), apart,
            )  # fmt: skip


def _validate(spec: SessionSpec, sources: list[BuiltSource], metadata: dict[str, Any]) -> None:
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
            where=f"{spec.path}: metadata.{path}",
            expected=str(error.schema.get("type") or error.validator_value)[:300],
            found=error.message[:300],
        ) from error
    except ValueError as error:
        raise InvalidResultError(
            "the metadata contradict themselves",
            where=f"{spec.path}: metadata",
            found=str(error),
            hint="give devices, planes and series different names in `metadata`",
        ) from error
    _check_names(metadata, spec)
    problems = check_photometry(metadata)
    if problems:
        raise InvalidResultError("the photometry is not described right", where=str(spec.path), problems=problems)


def _check_names(metadata: dict[str, Any], spec: SessionSpec) -> None:
    """Refuse names that NWB can't hold."""
    problems = []
    for block, kinds in _NAMED.items():
        for kind in kinds:
            entries = metadata.get(block, {}) if kind is None else metadata.get(block, {}).get(kind, {})
            for key, entry in entries.items() if isinstance(entries, Mapping) else ():
                name = entry.get("name") if isinstance(entry, Mapping) else None
                if isinstance(name, str) and (not name or set(name) & set("/:")):
                    where = ".".join(["metadata", block, *([kind] if kind else []), key, "name"])
                    problems.append(Problem("the name can't stand in NWB", where, "no / or :", repr(name)))
    if problems:
        raise InvalidResultError("names are not valid", where=str(spec.path), problems=problems)
