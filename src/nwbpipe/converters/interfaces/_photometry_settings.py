"""Settings of a photometry rig, in a TOML file: which channel is which fiber's, in which colour.

The keys are those of the Sabatini lab's files, for any number of fibers and colours::

    [Processing_Parameters]
    sampling_frequency = 2000           # of the raw channels, in Hz
    demod_sample_rate = 200             # of traces that the rig has demultiplexed, in Hz
    [Processing_Parameters.left]
    carrier_frequency_g = 213           # Hz; 0 or missing: not stated

    [Signal_Indices]
    total_channels = 8
    toBehSys = 6                        # a further channel, kept under its own name
    [Signal_Indices.left]               # a fiber; its name is its hemisphere, if it begins with left or right
    photom_g = 0                        # channel of the detector, counted from 0
    carrier_g = 1                       # channel of the recorded drive
    sensor_protein = {green = "dLight1.3b"}

    [Fiber.implantation.left]
    excitation_wavelength = {green = 465}
    emission_wavelength = {green = 525}
    brain_region = "striatum"
    ap = 1.0                            # mm; with ml, dv and their references ap_ref, ml_ref, dv_ref
    [VirusInjection.left]
    virus = "AAV9-hSyn-dLight1.3b"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nwbpipe.errors import Problem, SourceError

_COLOURS = {"g": "green", "r": "red", "b": "blue"}
_OF_A_FIBER = ("sensor_protein", "emission_wavelength", "excitation_wavelength")
_CHANNEL = re.compile(r"(photom|carrier)_(\w+)")


@dataclass(frozen=True)
class PhotometryTrace:
    """One colour of one fiber; channels count from 0."""

    fiber: str
    colour: str
    channel: int
    drive: int | None
    carrier_hz: float | None
    excitation_nm: float | None
    emission_nm: float | None
    sensor: str | None

    @property
    def name(self) -> str:
        """Name of the trace, unique in its settings."""
        return f"{self.fiber}_{self.colour}"


@dataclass(frozen=True)
class PhotometrySettings:
    """What a settings file says."""

    path: Path
    rate: float | None
    demod_rate: float | None
    channels: int | None
    traces: tuple[PhotometryTrace, ...]
    other_channels: Mapping[str, int] = field(default_factory=dict)
    implants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    viruses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fiber: Mapping[str, Any] = field(default_factory=dict)


def value_or_none(value: Any) -> Any:
    """Return a value, or None for what these files write where they say nothing: "", 0, "None"."""
    return None if value in ("", "None", "none", 0) else value


def read_settings(path: Path) -> PhotometrySettings:
    """Read and check a settings file.

    Raises
    ------
    SourceError
        It is no TOML, or has mistakes: `problems` names every one.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        raise SourceError("the settings can't be read", where=str(path), expected="TOML", found=str(error)) from error
    reader = _SettingsReader(path, content)
    settings = reader.read()
    if reader.problems:
        raise SourceError("the settings have mistakes", where=str(path), problems=reader.problems)
    return settings


class _SettingsReader:
    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path, self.content = path, content
        self.problems: list[Problem] = []

    def read(self) -> PhotometrySettings:
        processing, signals = self._read_table("Processing_Parameters"), self._read_table("Signal_Indices")
        fiber = self._read_table("Fiber")
        implants = {k: v for k, v in fiber.get("implantation", {}).items() if isinstance(v, dict)}
        viruses = {k: v for k, v in self._read_table("VirusInjection").items() if isinstance(v, dict)}
        traces: list[PhotometryTrace] = []
        for name, table in signals.items():
            if isinstance(table, dict):
                traces += self._read_traces(
                    name, table, processing.get(name, {}), implants.get(name, {}), viruses.get(name, {})
                )
        others = {
            name: index
            for name, index in signals.items()
            if not isinstance(index, dict)
            and name != "total_channels"
            and self._is_index(f"Signal_Indices.{name}", index)
        }
        if not traces:
            self._add_problem("no trace is described", "Signal_Indices", "[Signal_Indices.left] with photom_g = …")
        total = signals.get("total_channels")
        total = total if total is None or self._is_index("Signal_Indices.total_channels", total) else None
        self._check_channels(traces, others, total)
        return PhotometrySettings(
            self.path,
            self._read_number(processing, "Processing_Parameters", "sampling_frequency"),
            self._read_number(processing, "Processing_Parameters", "demod_sample_rate"),
            total,
            tuple(traces),
            others,
            implants,
            viruses,
            fiber,
        )

    def _read_table(self, name: str) -> dict[str, Any]:
        table = self.content.get(name, {})
        if isinstance(table, dict):
            return table
        self._add_problem(f"{name} is no table", name, f"[{name}]", repr(table))
        return {}

    def _add_problem(self, what: str, where: str, expected: str | None = None, found: str | None = None) -> None:
        self.problems.append(Problem(what, where, expected, found))

    def _read_number(self, table: Mapping[str, Any], where: str, name: str) -> float | None:
        value = value_or_none(table.get(name))
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
            self._add_problem(f"{name} is no number above 0", f"{where}.{name}", found=repr(value))
            return None
        return float(value)

    def _is_index(self, where: str, value: Any) -> bool:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return True
        self._add_problem("no channel number", where, "a whole number, 0 or more", repr(value))
        return False

    def _read_traces(
        self,
        fiber: str,
        table: Mapping[str, Any],
        processing: Mapping[str, Any],
        implant: Mapping[str, Any],
        virus: Mapping[str, Any],
    ) -> list[PhotometryTrace]:
        where = f"Signal_Indices.{fiber}"
        channels: dict[str, dict[str, int]] = {"photom": {}, "carrier": {}}
        for key, value in table.items():
            match = _CHANNEL.fullmatch(key)
            if match and self._is_index(f"{where}.{key}", value):
                channels[match[1]][match[2]] = value
            elif not match and key not in _OF_A_FIBER:
                self._add_problem(
                    "an unknown key", f"{where}.{key}", "photom_…, carrier_…, " + ", ".join(_OF_A_FIBER)
                )
        for colour in channels["carrier"].keys() - channels["photom"].keys():
            self._add_problem("a carrier without its detector", f"{where}.carrier_{colour}", f"photom_{colour}")
        stated = [
            key.removeprefix("carrier_frequency_") for key in processing if key.startswith("carrier_frequency_")
        ]
        frequencies = {
            colour: self._read_number(processing, f"Processing_Parameters.{fiber}", f"carrier_frequency_{colour}")
            for colour in stated
        }

        def of(name: str, short: str) -> Any:
            for source in (table, implant, virus):
                values = source.get(name, {})
                value = (
                    values.get(_COLOURS.get(short, short), values.get(short)) if isinstance(values, dict) else values
                )
                if value_or_none(value) is not None:
                    return value
            return None

        return [
            PhotometryTrace(
                fiber,
                _COLOURS.get(short, short),
                channel,
                channels["carrier"].get(short),
                frequencies.get(short),
                of("excitation_wavelength", short),
                of("emission_wavelength", short),
                of("sensor_protein", short),
            )
            for short, channel in channels["photom"].items()
        ]

    def _check_channels(self, traces: list[PhotometryTrace], others: Mapping[str, int], total: int | None) -> None:
        detectors = {trace.channel: trace for trace in reversed(traces)}
        drives: dict[int, PhotometryTrace] = {}
        for trace in traces:
            where = f"Signal_Indices.{trace.fiber}"
            if detectors[trace.channel].fiber != trace.fiber:
                self._add_problem(
                    "two fibers have one detector", where, found=f"channel {trace.channel} for {trace.name}"
                )
            if trace.drive is None:
                continue
            if trace.drive in detectors:
                what = "one channel is both a detector and a carrier"
                self._add_problem(what, where, found=f"channel {trace.drive} for {trace.name}")
            first = drives.setdefault(trace.drive, trace)
            if first.carrier_hz != trace.carrier_hz:
                what = "one recorded carrier has two frequencies"
                self._add_problem(
                    what, where, found=f"{first.name} {first.carrier_hz} Hz, {trace.name} {trace.carrier_hz} Hz"
                )
        for name, index in others.items():
            if index in detectors or index in drives:
                self._add_problem("a channel has two names", f"Signal_Indices.{name}", found=f"channel {index}")
        highest = max([*detectors, *drives, *others.values()], default=-1)
        if total is not None and highest >= total:
            what = "a channel is beyond total_channels"
            self._add_problem(what, "Signal_Indices", f"0 to {total - 1}", str(highest))
