"""Place the channels of a recording on the probe that its source names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.converters.spec._probe_spec import ProbeSpec
from nwbpipe.errors import SourceError

if TYPE_CHECKING:
    from nwbpipe.converters._source import Source

#: Nominal radius of a tetrode, and the distance of tetrodes, which are groups of their own.
_TETRODE_UM, _TETRODE_PITCH_UM = 10.0, 300.0
_TO_UM = {"um": 1.0, "mm": 1e3, "m": 1e6}


def place_channels(source: Source) -> None:
    """Give the recording of an open source the probe of its section `probe`, if it has one.

    Raises
    ------
    SourceError
        The source is not a recording, its raw files have a geometry, or the probe does not fit its channels.
    """
    spec = source.spec.probe
    if spec is None:
        return
    section = f"{source.where}.probe"
    recording = getattr(source.interface, "recording_extractor", None)
    if recording is None:
        msg = "only a recording has a probe"
        hint = "leave `probe` out"
        raise SourceError(msg, where=section, expected="a source of voltages", found=source.spec.interface, hint=hint)
    if recording.has_probe():
        msg = "the raw files hold the geometry of the probe already"
        raise SourceError(msg, where=section, found=source.file_names, hint="leave `probe` out")
    group = read_probe(spec, recording.get_num_channels(), section)
    recording.set_probegroup(group, group_mode=f"by_{spec.group_by}")
    groups = np.asarray(recording.get_property("group"))
    names = _name_groups(spec, len(np.unique(groups)))
    recording.set_property("group_name", np.array([names[number] for number in groups]))
    source.notes.append(
        f"{len(groups)} channels were placed on {spec}, in {len(names)} electrode groups"
        + (": their positions are nominal" if spec.tetrodes is not None else "")
    )


def read_probe(spec: ProbeSpec, channels: int, where: str) -> Any:
    """Return the probes, wired to the channels 0 to `channels` - 1.

    Parameters
    ----------
    spec : ProbeSpec
    channels : int
        Number of channels of the recording.
    where : str
        Place of the section in the spec.

    Returns
    -------
    probeinterface.ProbeGroup
        In micrometers, without contacts that no channel is wired to.

    Raises
    ------
    SourceError
        The probe can't be read, or does not fit the channels.
    """
    from probeinterface import ProbeGroup

    probes = [_to_micrometers(probe, where) for probe in _read_probes(spec, where)]
    wiring = _find_wiring(spec, probes, where)
    connected = np.sort(wiring[wiring >= 0])
    if not np.array_equal(connected, np.arange(channels)):
        twice = sorted({int(channel) for channel in connected if np.sum(connected == channel) > 1})
        counts = f"{len(connected)} contacts of {len(wiring)} with a channel, {channels} channels"
        if twice:
            counts += f"; wired twice: {twice[:10]}"
        elif len(connected) == channels:
            counts += f", up to channel {connected[-1]}"
        raise SourceError(
            "the probe does not fit the recording",
            where=where,
            expected=f"each of the channels 0 to {channels - 1} on one contact",
            found=counts,
            hint="look at the wiring, and at which channels were recorded",
        )
    placed, first = ProbeGroup(), 0
    for probe in probes:
        part = wiring[first : first + probe.get_contact_count()]
        first += len(part)
        wired = np.flatnonzero(part >= 0)
        if not len(wired):
            continue
        probe.set_device_channel_indices(part)
        probe = probe.get_slice(wired)
        _check_positions(probe, spec, where)
        placed.add_probe(probe)
    return placed


def _read_probes(spec: ProbeSpec, where: str) -> list[Any]:
    import probeinterface

    if spec.tetrodes is not None:
        probes = []
        for number in range(spec.tetrodes):
            probe = probeinterface.generate_tetrode(r=_TETRODE_UM)
            probe.move([number * _TETRODE_PITCH_UM, 0.0])
            probes.append(probe)
        return probes
    if spec.library is not None:
        manufacturer, model = spec.library.split("/")
        try:
            return [probeinterface.get_probe(manufacturer, model)]
        except Exception as error:  # no such probe, or no network
            raise SourceError(
                f"the probe {spec.library!r} can't be fetched from probeinterface's library",
                where=where,
                found=f"{type(error).__name__}: {error}",
                hint="check the name at https://github.com/SpikeInterface/probeinterface_library, or download its "
                "JSON file and name that: `probe: x.json`",
            ) from error
    try:
        return list(probeinterface.read_probeinterface(spec.file).probes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        is_json = isinstance(error, json.JSONDecodeError)
        raise SourceError(
            "the probe's file can't be read",
            where=f"{where}: {spec.file.name if spec.file else ''}",
            expected="JSON, as probeinterface.write_probeinterface writes it",
            found="a file that is not JSON" if is_json else f"{type(error).__name__}: {error}",
        ) from error


def _to_micrometers(probe: Any, where: str) -> Any:
    from probeinterface import Probe

    if probe.ndim != 2 or probe.si_units not in _TO_UM:
        msg = "the probe's contacts do not lie in a plane"
        units = f"{probe.ndim} dimensions in {probe.si_units}"
        raise SourceError(msg, where=where, expected="2 dimensions, in um, mm or m", found=units)
    factor = _TO_UM[probe.si_units]
    if factor == 1.0:
        return probe
    scaled = Probe(ndim=2, si_units="um", name=probe.name, model_name=probe.model_name)
    scaled.set_contacts(
        np.asarray(probe.contact_positions, float) * factor,
        shapes="circle",
        shape_params={"radius": 5.0},
        shank_ids=probe.shank_ids,
        contact_ids=probe.contact_ids,
    )
    if probe.device_channel_indices is not None:
        scaled.set_device_channel_indices(probe.device_channel_indices)
    return scaled


def _find_wiring(spec: ProbeSpec, probes: list[Any], where: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the channel of each contact, probe after probe; -1 where there is none."""
    contacts = sum(probe.get_contact_count() for probe in probes)
    wiring = spec.device_channel_indices
    if isinstance(wiring, list):
        if len(wiring) != contacts or min(wiring) < -1:
            raise SourceError(
                "the wiring does not fit the probe",
                where=f"{where}.device_channel_indices",
                expected=f"a channel, or -1, for each of the {contacts} contacts",
                found=f"{len(wiring)} numbers, the least {min(wiring)}" if wiring else "an empty list",
            )
        return np.array(wiring, dtype=np.int64)
    if wiring == "in_order" or (wiring is None and spec.tetrodes is not None):
        return np.arange(contacts)
    if wiring is not None:
        return _follow_pathway(wiring, probes, where)
    if all(probe.device_channel_indices is not None for probe in probes):
        return np.concatenate([np.asarray(probe.device_channel_indices, dtype=np.int64) for probe in probes])
    raise SourceError(
        "the probe's wiring is not known",
        where=where,
        expected="`device_channel_indices`: the channel of each contact, a pathway such as H32>RHD2132, or in_order",
        found=f"{spec} without a wiring",
        hint="write in_order only if contact 0 is recorded by channel 0, and so on",
    )


def _follow_pathway(pathway: str, probes: list[Any], where: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    from probeinterface import get_available_pathways

    known_pathways = list(get_available_pathways())
    if pathway not in known_pathways or len(probes) != 1:
        raise SourceError(
            f"the pathway {pathway!r} is not known" if len(probes) == 1 else "a pathway wires a single probe",
            where=f"{where}.device_channel_indices",
            expected=f"in_order, a list of channels, or one of {', '.join(known_pathways)}",
            found=pathway,
        )
    try:
        probes[0].wiring_to_device(pathway)
    except Exception as error:
        raise SourceError(
            f"the pathway {pathway!r} does not fit the probe",
            where=f"{where}.device_channel_indices",
            found=f"{type(error).__name__}: {error}",
        ) from error
    return np.asarray(probes[0].device_channel_indices, dtype=np.int64)


def _check_positions(probe: Any, spec: ProbeSpec, where: str) -> None:
    positions = np.asarray(probe.contact_positions, dtype=np.float64)
    if not np.isfinite(positions).all() or len(np.unique(positions, axis=0)) < len(positions):
        msg = "the probe's contacts have no places of their own"
        expected = "a different position for each contact, in numbers"
        raise SourceError(msg, where=where, expected=expected, found=str(spec))
    if spec.group_by == "shank" and (probe.shank_ids is None or not all(str(shank) for shank in probe.shank_ids)):
        msg = "the probe's file does not name the shanks"
        raise SourceError(msg, where=f"{where}.group_by", found=str(spec), hint="group_by: probe")


def _name_groups(spec: ProbeSpec, count: int) -> list[str]:
    kind = "Tetrode" if spec.tetrodes is not None else spec.group_by.capitalize()
    return [f"{kind}{number}" for number in range(count)]
