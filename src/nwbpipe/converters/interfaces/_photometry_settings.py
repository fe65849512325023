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
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from nwbpipe.errors import SourceError
from nwbpipe.validation import TomlDocument

_COLOURS = {"g": "green", "r": "red", "b": "blue"}
_OF_A_FIBER = ("sensor_protein", "emission_wavelength", "excitation_wavelength")
_CHANNEL = re.compile(r"(photom|carrier)_(\w+)")
_FREQUENCY = "carrier_frequency_"


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
    """The content of a settings file."""

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
    """Return a value, or None for the ways in which these files state nothing: "", 0, "None"."""
    return None if value in ("", "None", "none", 0) else value


_Index = Annotated[int, Field(strict=True, ge=0)]
_Hertz = Annotated[Annotated[float, Field(strict=True, gt=0, lt=1e9)] | None, BeforeValidator(value_or_none)]


class _Rates(BaseModel):
    """[Processing_Parameters], whose other keys are the fibers' and the rig software's own."""

    sampling_frequency: _Hertz = None
    demod_sample_rate: _Hertz = None


def read_settings(path: Path) -> PhotometrySettings:
    """Read and check a settings file.

    Raises
    ------
    SourceError
        It is not TOML, or has mistakes: `problems` names every one.
    """
    document = TomlDocument.read(path, "the settings file", unreadable=SourceError, invalid=SourceError)
    settings = _SettingsReader(document).read()
    document.raise_problems("the settings file", str(path), SourceError)
    return settings


class _SettingsReader:
    def __init__(self, document: TomlDocument) -> None:
        self.document = document

    def read(self) -> PhotometrySettings:
        processing, signals, fiber = map(self._read_table, ("Processing_Parameters", "Signal_Indices", "Fiber"))
        viruses = _select_tables(self._read_table("VirusInjection"))
        implants = _select_tables(fiber.get("implantation", {}))
        rates = self.document.validate(_Rates, processing, "Processing_Parameters") or _Rates()
        traces: list[PhotometryTrace] = []
        for name, table in _select_tables(signals).items():
            sources = (table, implants.get(name, {}), viruses.get(name, {}))
            traces += self._read_traces(name, _select_tables(processing).get(name, {}), sources)
        channels = {name: index for name, index in signals.items() if not isinstance(index, dict)}
        total, other_channels = channels.pop("total_channels", None), self._read_indices(channels, "Signal_Indices")
        if total is not None:
            total = self.document.validate(_Index, total, "Signal_Indices", "total_channels")
        if not traces:
            self._add("no trace is described", expected="[Signal_Indices.left] with photom_g = …")
        self._check_channels(traces, other_channels, total)
        return PhotometrySettings(
            self.document.path, rates.sampling_frequency, rates.demod_sample_rate, total, tuple(traces),
            other_channels, implants, viruses, fiber,
        )  # fmt: skip

    def _add(self, what: str, *key: str, expected: str | None = None, found: str | None = None) -> None:
        self.document.add(what, "Signal_Indices", *key, expected=expected, found=found)

    def _read_table(self, name: str) -> dict[str, Any]:
        return self.document.validate(dict[str, Any], self.document.content.get(name, {}), name) or {}

    def _read_indices(self, table: Mapping[str, Any], *key: str) -> dict[str, int]:
        return self.document.validate(dict[str, _Index], table, *key) or {}

    def _read_traces(
        self, fiber: str, processing: Mapping[str, Any], sources: tuple[Mapping[str, Any], ...]
    ) -> list[PhotometryTrace]:
        """Read the traces of one fiber; the first of `sources` that says a value counts."""
        table = sources[0]
        channels = self._read_indices(
            {key: value for key, value in table.items() if _CHANNEL.fullmatch(key)}, "Signal_Indices", fiber
        )
        for key in table:
            if not _CHANNEL.fullmatch(key) and key not in _OF_A_FIBER:
                self.document.add_unknown(("Signal_Indices", fiber, key), ("photom_…", "carrier_…", *_OF_A_FIBER))
        detectors, drives = (
            {key.removeprefix(prefix): channel for key, channel in channels.items() if key.startswith(prefix)}
            for prefix in ("photom_", "carrier_")
        )
        for colour in drives.keys() - detectors.keys():
            self._add("a carrier has no detector", fiber, f"carrier_{colour}", expected=f"photom_{colour}")
        stated = {key: value for key, value in processing.items() if key.startswith(_FREQUENCY)}
        frequencies = self.document.validate(dict[str, _Hertz], stated, "Processing_Parameters", fiber) or {}

        def find(name: str, short: str) -> Any:
            for source in sources:
                value = source.get(name, {})
                if isinstance(value, dict):
                    value = value.get(_COLOURS.get(short, short), value.get(short))
                if value_or_none(value) is not None:
                    return value
            return None

        return [
            PhotometryTrace(
                fiber,
                _COLOURS.get(short, short),
                channel,
                drives.get(short),
                frequencies.get(f"{_FREQUENCY}{short}"),
                find("excitation_wavelength", short),
                find("emission_wavelength", short),
                find("sensor_protein", short),
            )
            for short, channel in detectors.items()
        ]

    def _check_channels(self, traces: list[PhotometryTrace], others: Mapping[str, int], total: int | None) -> None:
        detectors = {trace.channel: trace for trace in reversed(traces)}
        drives: dict[int, PhotometryTrace] = {}
        for trace in traces:
            if detectors[trace.channel].fiber != trace.fiber:
                conflict = f"channel {trace.channel} for {trace.name}"
                self._add("two fibers have one detector", trace.fiber, found=conflict)
            if trace.drive is None:
                continue
            if trace.drive in detectors:
                conflict = f"channel {trace.drive} for {trace.name}"
                self._add("one channel is both a detector and a carrier", trace.fiber, found=conflict)
            first = drives.setdefault(trace.drive, trace)
            if first.carrier_hz != trace.carrier_hz:
                conflict = f"{first.name} {first.carrier_hz} Hz, {trace.name} {trace.carrier_hz} Hz"
                self._add("one recorded carrier has two frequencies", trace.fiber, found=conflict)
        for name, index in others.items():
            if index in detectors or index in drives:
                self._add("a channel has two names", name, found=f"channel {index}")
        highest = max([*detectors, *drives, *others.values()], default=-1)
        if total is not None and highest >= total:
            self._add("a channel is beyond total_channels", expected=f"0 to {total - 1}", found=str(highest))


def _select_tables(table: Any) -> dict[str, dict[str, Any]]:
    """Return the tables inside a table."""
    return (
        {name: value for name, value in table.items() if isinstance(value, dict)} if isinstance(table, dict) else {}
    )
