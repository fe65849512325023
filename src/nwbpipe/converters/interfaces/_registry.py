"""Finds the data interface of a name: ours, NeuroConv's, or a third party's."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from nwbpipe.errors import SourceError, ToolMissingError, UnknownNameError

ENTRY_POINT_GROUP = "nwbpipe.interfaces"

_HERE = "nwbpipe.converters.interfaces"

# Ours. One that bears the name of a class of NeuroConv stands in its place: it is that class with guards.
_OURS: Mapping[str, str] = {
    "BehaviorEventsInterface": f"{_HERE}._events:BehaviorEventsInterface",
    "BlocksInterface": f"{_HERE}._trials:BlocksInterface",
    "BpodInterface": f"{_HERE}._bpod:BpodInterface",
    "CameraTimesInterface": f"{_HERE}._camera_times:CameraTimesInterface",
    "DeepLabCutInterface": f"{_HERE}._deeplabcut:DeepLabCutInterface",
    "DoricFiberPhotometryInterface": f"{_HERE}._photometry_streams:DoricFiberPhotometryInterface",
    "EncoderInterface": f"{_HERE}._encoder:EncoderInterface",
    "FacemapInterface": f"{_HERE}._facemap:FacemapInterface",
    "FacemapPoseInterface": f"{_HERE}._facemap_pose:FacemapPoseInterface",
    "MatlabFiberPhotometryInterface": f"{_HERE}._matlab_photometry:MatlabFiberPhotometryInterface",
    "MinianSegmentationInterface": f"{_HERE}._minian:MinianSegmentationInterface",
    "ParquetFiberPhotometryInterface": f"{_HERE}._photometry_streams:ParquetFiberPhotometryInterface",
    "PyControlInterface": f"{_HERE}._pycontrol:PyControlInterface",
    "TDTEventsInterface": f"{_HERE}._tdt_events:TDTEventsInterface",
    "TrialsInterface": f"{_HERE}._trials:TrialsInterface",
    "TtlEventsInterface": f"{_HERE}._ttl:TtlEventsInterface",
}

# The extra that brings an interface's reader, by the first fragment found in its class's module path.
_EXTRAS: tuple[tuple[str, str], ...] = (
    ("events.tdt", "photometry"),
    ("events.doric", "photometry"),
    ("events.npm", "photometry"),
    ("events.pyphotometry", "photometry"),
    ("fiber_photometry", "photometry"),
    ("_matlab_photometry", "photometry"),
    ("_photometry_streams", "photometry"),
    ("_tdt_events", "photometry"),
    ("icephys", "ephys"),
    ("ecephys", "ephys"),
    ("ophys", "imaging"),
    ("_minian", "imaging"),
    ("behavior", "behavior"),
    ("events", "behavior"),
    ("_facemap", "behavior"),
    ("_trials", "behavior"),
    ("_bpod", "behavior"),
    ("_encoder", "behavior"),
    ("_camera_times", "behavior"),
    ("_pycontrol", "behavior"),
    ("_ttl", "behavior"),
    ("_deeplabcut", "behavior"),
    ("text", "behavior"),
    ("image", "imaging"),
)


def interface_names() -> list[str]:
    """Names of every interface that :func:`interface_class` finds, sorted.

    Imports ``neuroconv.datainterfaces`` (some seconds the first time).

    Returns
    -------
    list of str
    """
    return sorted({*_OURS, *_neuroconv_names(), *_third_party_interfaces()})


def interface_class(name: str) -> type[Any]:
    """Find a data interface by its class name.

    Ours come first (they are NeuroConv's of the same name with guards, or formats that NeuroConv lacks), then
    NeuroConv's, then those that other packages declare in the entry point group ``nwbpipe.interfaces``.

    Parameters
    ----------
    name : str
        Class name, such as ``"SpikeGLXRecordingInterface"``.

    Returns
    -------
    type
        A subclass of ``neuroconv.BaseDataInterface``, not built yet.

    Raises
    ------
    UnknownNameError
        No interface has that name; the message names the nearest ones.
    ToolMissingError
        The interface's reader is not installed; the message names the extra that brings it.
    SourceError
        A third party's entry point doesn't load, or is no data interface.
    """
    if name in _OURS:
        return _load(name, _OURS[name])
    if name in _neuroconv_names():
        return _neuroconv_class(name)
    found = _third_party_interfaces().get(name)
    if found is not None:
        return _load_third_party(name, found)
    names = interface_names()
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    # A short name such as "SpikeGLX" is far from every class name by distance, and yet says what is meant.
    near += [other for other in names if name and name.lower() in other.lower() and other not in near][:5]
    raise UnknownNameError(
        f"no data interface is called {name!r}",
        where="sources: interface",
        expected="the class name of a NeuroConv data interface, or one of " + ", ".join(sorted(_OURS)),
        found=name,
        hint=f"did you mean {' or '.join(near)}?" if near else "`neuroconv.datainterfaces` lists the names",
    )


def missing_reader_error(name: str, error: ImportError, interface: type[Any] | None = None) -> ToolMissingError:
    """Turn an import that failed inside an interface into an error that names the extra to install.

    Parameters
    ----------
    name : str
        The interface's name.
    error : ImportError
        What loading or building the interface raised.
    interface : type, optional
        The interface's class, where it could be loaded: says which modality it belongs to.

    Returns
    -------
    ToolMissingError
        To be raised ``from error``.
    """
    module = interface.__module__ if interface is not None else _OURS.get(name, "")
    extra = next((extra for part, extra in _EXTRAS if part in module), "all")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ToolMissingError(
        f"the reader that {name} needs is not installed",
        where=name,
        expected="the package to be importable",
        found=lines[0] if lines else type(error).__name__,
        hint=f"pip install 'nwbpipe[{extra}]'",
    )


def build_interface(name: str, arguments: Mapping[str, Any]) -> Any:
    """Find an interface, check its source with the guards, and build it.

    Parameters
    ----------
    name : str
        Class name of the interface.
    arguments : mapping
        Its source arguments.

    Returns
    -------
    neuroconv.BaseDataInterface

    Raises
    ------
    UnknownNameError, ToolMissingError
        As :func:`interface_class`.
    SourceError
        A guard found something wrong with the source; `problems` names all of it.
    """
    from nwbpipe.converters.interfaces._guards import guard_source

    interface = interface_class(name)
    problems = guard_source(name, arguments)
    if problems:
        raise SourceError(f"the source of {name} can't be used", where=name, problems=problems)
    try:
        return interface(**arguments)
    except ImportError as error:
        raise missing_reader_error(name, error, interface) from error


def _load(name: str, reference: str) -> type[Any]:
    module, _, attribute = reference.partition(":")
    try:
        found: type[Any] = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise missing_reader_error(name, error) from error
    return found


def _neuroconv_names() -> Iterable[str]:
    return _neuroconv_classes().keys()


def _neuroconv_class(name: str) -> type[Any]:
    return _neuroconv_classes()[name]


def _neuroconv_classes() -> dict[str, type[Any]]:
    from neuroconv.datainterfaces import interface_list

    return {interface.__name__: interface for interface in interface_list}


def _third_party_interfaces() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _load_third_party(name: str, point: EntryPoint) -> type[Any]:
    from neuroconv import BaseDataInterface

    package = point.dist.name if point.dist is not None else point.value
    try:
        found = point.load()
    except Exception as error:
        raise SourceError(
            f"the interface {name} doesn't load",
            where=f"entry point {point.value} of {package}",
            found=f"{type(error).__name__}: {error}",
            hint=f"install or repair {package}",
        ) from error
    if not (isinstance(found, type) and issubclass(found, BaseDataInterface)):
        raise SourceError(
            f"the interface {name} is no data interface",
            where=f"entry point {point.value} of {package}",
            expected="a subclass of neuroconv.BaseDataInterface",
            found=repr(found),
        )
    return found
