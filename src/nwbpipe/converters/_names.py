"""Names in NeuroConv's metadata tree: after the source, so that two of one class differ, and valid in NWB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nwbpipe.errors import Problem

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
# Names of traces, as NeuroConv has them by default.
_TRACES = {
    "raw": "RoiResponseSeries", "deconvolved": "Deconvolved", "neuropil": "Neuropil", "denoised": "Denoised",
    "baseline": "Baseline", "dff": "DfOverF",
}  # fmt: skip


def name_after_source(
    metadata: dict[str, Any], source: str, interface: Any, photon_series: str, *, is_video: bool
) -> None:
    """Add a source's name to the names of its objects, in place.

    Parameters
    ----------
    metadata : dict
        Metadata of the source, in entries whose key is its name.
    source : str
        Name of the source.
    interface : BaseDataInterface
        Its interface, open.
    photon_series : str
        Type of an imaging series, which takes the place of the general name "MicroscopySeries".
    is_video : bool
        True if its device is the camera of a video.
    """
    _add_default_names(metadata, source, interface)
    for _, kind, entries in _iter_entries(metadata):
        entry = entries.get(source)
        for item in (entry, *(entry.values() if kind in _OF_MANY and isinstance(entry, dict) else ())):
            if isinstance(item, dict) and isinstance(item.get("name"), str):
                name = photon_series if item["name"] == "MicroscopySeries" else item["name"]
                # Not twice: a name that ends in the source's says it already.
                item["name"] = name if name.lower().endswith(source.lower()) else f"{name}_{source}"
    device = metadata.get("Devices", {}).get(f"{source}_camera")
    if is_video and isinstance(device, dict):
        device["name"] = f"Camera_{source}"


def _add_default_names(metadata: dict[str, Any], source: str, interface: Any) -> None:
    """Add the names that NeuroConv gives where an interface of imaging gives none, in place.

    Without them they would not be named after the source, and a second one of the kind would be refused.
    """
    names = {}
    if getattr(interface, "imaging_extractor", None) is not None:
        names = {"MicroscopySeries": "MicroscopySeries"}
    segmentation = getattr(interface, "segmentation_extractor", None)
    if segmentation is not None:
        names = {"PlaneSegmentations": "PlaneSegmentation"}
        traces = {kind: trace for kind, trace in segmentation.get_traces_dict().items() if trace is not None}
        responses = metadata.setdefault("Ophys", {}).setdefault("RoiResponses", {})
        if source not in responses and traces:
            responses[source] = {kind: {"name": _TRACES[kind]} for kind in traces if kind in _TRACES}
    for kind, name in names.items():
        metadata.setdefault("Ophys", {}).setdefault(kind, {}).setdefault(source, {}).setdefault("name", name)
    planes = metadata.get("Ophys", {}).get("ImagingPlanes", {})
    if source in planes:
        planes[source].setdefault("name", "ImagingPlane")


def is_object_name(name: str) -> bool:
    """Return True if an object of an NWB file may bear the name: a dot is the group itself in HDF5."""
    return bool(name) and name != "." and not set(name) & set("/:\0")


def check_names(metadata: Mapping[str, Any]) -> list[Problem]:
    """Return the names that NWB refuses."""
    problems = []
    devices = metadata.get("Devices")
    blocks = [("Devices", None, devices)] if isinstance(devices, Mapping) else []
    for block, kind, entries in [*_iter_entries(metadata), *blocks]:
        for key, entry in entries.items():
            name = entry.get("name") if isinstance(entry, Mapping) else None
            if isinstance(name, str) and not is_object_name(name):
                location = ".".join(["metadata", block, *([kind] if kind else []), key, "name"])
                expected = "a text without / and :, other than a dot"
                problems.append(Problem("NWB refuses the name", location, expected, repr(name)))
    return problems


def _iter_entries(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str | None, Mapping[str, Any]]]:
    for block, kinds in _NAMED.items():
        for kind in kinds:
            entries = metadata.get(block, {})
            if kind is not None and isinstance(entries, Mapping):
                entries = entries.get(kind, {})
            if isinstance(entries, Mapping):
                yield block, kind, entries
