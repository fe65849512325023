"""Building the interfaces of a session, each named after its source."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters._reader_errors import translate_reader_errors
from nwbpipe.converters.clocks._alignment import Times
from nwbpipe.converters.neuroconv_fixes._scales import mend_scales
from nwbpipe.converters.spec._model import SessionSpec, SourceSpec
from nwbpipe.errors import NwbpipeError, Problem, SourceError

logger = logging.getLogger("nwbpipe")


@dataclass
class BuiltSource:
    """A source with its interface, ready to write.

    Parameters
    ----------
    name : str
        The source's name.
    spec : SourceSpec
        What the session.yaml says.
    interface : BaseDataInterface
        NeuroConv's, or one of ours.
    options : dict
        Conversion options.
    """

    name: str
    spec: SourceSpec
    interface: Any
    options: dict[str, Any]


# Arguments that name what a source writes; the source's name is their default.
_KEYS = ("metadata_key", "es_key")
BUFFER_GB = 0.5
_DEFAULT_GROUP = "ElectrodeGroup"


def build_sources(
    spec: SessionSpec, *, stub: bool = False, clocked: Container[str] = (), progress: bool = False
) -> list[BuiltSource]:
    """Build the interfaces of a session.

    Parameters
    ----------
    spec : SessionSpec
        The session.
    stub : bool
        Write only the first samples, where the interface can.
    clocked : container of str
        Sources whose clock gives each sample its time.
    progress : bool
        Let the data show a progress bar on stderr while they are written.

    Raises
    ------
    SourceError
        If a reader refuses its file; `problems` names every such source.
    """
    sources, problems = [], []
    first: NwbpipeError | None = None
    for name, source in spec.sources.items():
        try:
            sources.append(_build_source(spec, name, source, stub, name in clocked, progress))
        except NwbpipeError as error:
            first = first or error
            problems += error.problems or [error.problem]
    _tell_probes_apart(sources)
    _tell_units_apart(sources)
    _keep_geometry(sources)
    _place_electrodes(spec, sources)
    for built in sources:
        for note in mend_scales(built.interface):
            logger.info("sources.%s: %s", built.name, note)
    if first is not None and len(problems) == 1:
        raise first
    if problems:
        raise SourceError(
            f"{len(problems)} things are wrong with the sources", where=str(spec.path), problems=problems
        )
    return sources


def _build_source(
    spec: SessionSpec, name: str, source: SourceSpec, stub: bool, clocked: bool, progress: bool
) -> BuiltSource:
    from nwbpipe.converters.interfaces import guard_source, interface_class

    interface = interface_class("InternalVideoInterface" if source.video == "embed" else source.interface)
    where = f"sources.{name}"
    with translate_reader_errors(spec, name, source.interface, interface):
        found = guard_source(source.interface, source.args)
    if found:
        problems = [Problem(p.what, f"{where}: {p.where or ''}", p.expected, p.found, p.hint) for p in found]
        raise SourceError(f"the source {name!r} can't be used", where=where, problems=problems)
    with translate_reader_errors(spec, name, source.interface, interface):
        built = interface(**_arguments(name, source, interface))
    if clocked:
        _prepare_for_times(built)
    return BuiltSource(name, source, built, _options(name, source, built, stub, progress))


def _tell_probes_apart(sources: list[BuiltSource]) -> None:
    """Give recordings of different probes electrode groups of their own.

    NeuroConv takes channels of one name in one group for the same electrodes. That is right for the bands of one
    recording, but two recordings whose channels are merely numbered would share their electrodes in silence.
    """
    seen: dict[str, list[BuiltSource]] = {}
    for source in sources:
        recording: Any = getattr(source.interface, "recording_extractor", None)
        if recording is None:
            continue
        groups = recording.get_property("group_name")
        groups = [_DEFAULT_GROUP] * recording.get_num_channels() if groups is None else list(map(str, groups))
        others = {other.name: other for group in set(groups) for other in seen.get(group, ())}
        for group in set(groups):
            seen.setdefault(group, []).append(source)
        if any(_folder(other) != _folder(source) for other in others.values()):
            recording.set_property("group_name", np.array([f"{group}_{source.name}" for group in groups]))


def _keep_geometry(sources: list[BuiltSource]) -> None:
    """Write where a probe's contacts are: `rel_x`, `rel_y` of the electrodes, in micrometers.

    NeuroConv 0.10 takes them from the property `location`, which SpikeInterface 0.105 no longer sets with a probe:
    the geometry would be lost in silence.
    """
    for source in sources:
        recording: Any = getattr(source.interface, "recording_extractor", None)
        if recording is None or not recording.has_probe() or "location" in recording.get_property_keys():
            continue
        recording.set_property("location", recording.get_channel_locations())


def _place_electrodes(spec: SessionSpec, sources: list[BuiltSource]) -> None:
    """Give electrodes the location that the spec's metadata give their group; NeuroConv writes "unknown"."""
    groups = spec.metadata.get("Ecephys", {}).get("ElectrodeGroups", {})
    locations = {str(entry.get("name", key)): entry.get("location") for key, entry in groups.items()}
    for source in sources:
        recording: Any = getattr(source.interface, "recording_extractor", None)
        names = None if recording is None else recording.get_property("group_name")
        if names is None or "brain_area" in recording.get_property_keys():
            continue
        if any(locations.get(str(name)) for name in names):
            recording.set_property("brain_area", np.array([locations.get(str(name)) or "unknown" for name in names]))


def _tell_units_apart(sources: list[BuiltSource]) -> None:
    """Give units of different sortings names of their own: NeuroConv leaves out a unit whose name is there."""
    seen: set[str] = set()
    for source in sources:
        sorting: Any = getattr(source.interface, "sorting_extractor", None)
        if sorting is None:
            continue
        names = sorting.get_property("unit_name")
        names = [str(name) for name in (sorting.get_unit_ids() if names is None else names)]
        if seen & set(names):
            names = [f"{source.name}_{name}" for name in names]
            sorting.set_property("unit_name", np.array(names))
        seen |= set(names)


def _folder(source: BuiltSource) -> Any:
    """Folder that a source is read from: the bands of one probe lie together."""
    paths = [value for value in source.spec.args.values() if isinstance(value, Path)]
    return next((path if path.is_dir() else path.parent for path in paths), None)


def _arguments(name: str, source: SourceSpec, interface: type[Any]) -> dict[str, Any]:
    arguments = dict(source.args)
    if source.video == "embed":
        files = arguments.pop("file_paths")
        if len(files) != 1:
            raise SourceError(
                "only a single video file can be embedded",
                where=f"sources.{name}.args.file_paths",
                found=f"{len(files)} files",
                hint="give each file a source of its own, or use `video: link`",
            )
        arguments["file_path"] = files[0]
    parameters = inspect.signature(interface).parameters
    for key in _KEYS:
        if key in parameters and key not in arguments:
            arguments[key] = name
            break
    if source.video is not None and "video_name" not in arguments:
        arguments["video_name"] = f"ImageSeries_{name}"
    if "verbose" in parameters:
        arguments["verbose"] = False
    return arguments


def _options(name: str, source: SourceSpec, interface: Any, stub: bool, progress: bool) -> dict[str, Any]:
    options = dict(source.options)
    parameters = _option_names(interface)
    if stub and "stub_test" in parameters:
        options.setdefault("stub_test", True)
    # Memory stays bounded: half a gigabyte is read at a time, whatever the recording's size.
    if (
        "iterator_options" in parameters
        and options.get("iterator_type", "v2") == "v2"
        and not options.get("stub_test")
    ):
        given = options.get("iterator_options") or {}
        if not {"buffer_gb", "buffer_shape"} & set(given):
            options["iterator_options"] = {"buffer_gb": BUFFER_GB, **given}
        if progress:
            bar = {"display_progress": True, "progress_bar_options": {"desc": name, "leave": False}}
            options["iterator_options"] = {**bar, **(options.get("iterator_options") or {})}
    return options


def _option_names(interface: Any) -> set[str]:
    from nwbpipe.converters.spec._arguments import option_parameters

    return set(option_parameters(type(interface))[0])


def _prepare_for_times(interface: Any) -> None:
    """Let an interface that insists on a frame rate go without: its samples get their times from a file.

    With a rate of 1 Hz its times are its frame numbers, until they are replaced.
    """
    if hasattr(interface, "_num_frames") and getattr(interface, "_sampling_frequency", 0) is None:
        interface.set_aligned_timestamps(np.arange(interface._num_frames, dtype=np.float64))
    if getattr(interface, "sampling_frequency", 0) is None:
        interface.sampling_frequency = 1.0
    if hasattr(interface, "video_sample_rate") and not interface.video_sample_rate and not interface.video_file_path:
        interface.video_sample_rate = 1.0
    if getattr(interface, "_number_of_files", 1) > 1 and getattr(interface, "_starting_time", 0.0) is None:
        interface._starting_time = 0.0


def frame_numbers(interface: Any) -> Times | None:
    """Frame of the video that each sample of a pose belongs to, where its file says it."""
    numbers = None
    if hasattr(interface, "_get_frame_indices") and getattr(interface, "_legacy_interface", None) is None:
        numbers = interface._get_frame_indices()
    elif hasattr(interface, "_read_animal_dataframe"):
        index = np.asarray(interface._read_animal_dataframe().index)
        if index.dtype.kind in "iu" and not np.array_equal(index, np.arange(len(index))):
            numbers = index
    return None if numbers is None else np.asarray(numbers, dtype=np.float64)
