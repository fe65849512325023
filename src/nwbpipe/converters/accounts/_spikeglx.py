"""SpikeGLX: a .bin and a .meta for each stream, gate and trigger; counters that begin with the run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nwbpipe.converters.accounts._account import Account, Stream
from nwbpipe.converters.accounts._registry import account

_FILE = re.compile(r"(?P<run>.+)_g(?P<gate>\d+)_t(?P<trigger>\d+|cat)\.(?P<stream>.+)\.meta")
_PROBE_FOLDER = re.compile(r".+_g\d+_imec\d+")
_RATES = ("imSampRate", "niSampRate", "obSampRate")


@dataclass(frozen=True)
class Part:
    """A .meta with its .bin.

    Attributes
    ----------
    path : Path
        The .meta.
    stream : str
        ``imec0.ap``, ``nidq``.
    order : (int, int)
        Gate and trigger.
    values : mapping
        Its entries.
    """

    path: Path
    stream: str
    order: tuple[int, int]
    values: Mapping[str, str]

    @property
    def binary(self) -> Path:
        """The samples."""
        return self.path.with_suffix(".bin")

    @property
    def rate(self) -> float:
        """Samples in a second."""
        return float(next(self.values[name] for name in _RATES if name in self.values))

    @property
    def samples(self) -> int:
        """Number of samples, by the size of the file."""
        return self.binary.stat().st_size // (2 * int(self.values["nSavedChans"]))

    @property
    def first_s(self) -> float:
        """Time of the first sample since the start of the run, in seconds."""
        return int(self.values.get("firstSample", 0)) / self.rate


@account("SpikeGLXRecordingInterface", "SpikeGLXNIDQInterface", "SpikeGLXSyncChannelInterface")
def probe_spikeglx(arguments: Mapping[str, Any]) -> Account | None:
    """Account for one stream of a SpikeGLX run: a series for each gate and trigger."""
    folder = Path(arguments["folder_path"])
    stream = str(arguments.get("stream_id", "nidq")).removesuffix("-SYNC")
    parts = list_parts(folder)
    chosen = [part for part in parts if part.stream == stream and part.path.is_relative_to(folder)]
    if not chosen:
        return None
    zero = min(part.first_s for part in parts)
    is_sync = "-SYNC" in str(arguments.get("stream_id"))
    streams = tuple(
        Stream(
            name=part.path.stem,
            samples=part.samples,
            channels=None if is_sync else _count_channels(part),
            rate=part.rate,
            first_time=part.first_s - zero,
            gain=None if is_sync else _read_gain(part),
            unit=None if is_sync or _read_gain(part) is None else "volts",
        )
        for part in chosen
    )
    if arguments.get("analog_channel_groups") is not None:
        streams = ()  # a series for each group: their number is the spec's
    unread = sorted({part.stream for part in parts} - {stream})
    files = tuple(file for part in chosen for file in (part.binary, part.path))
    start = chosen[0].values.get("fileCreateTime")
    return Account(
        "SpikeGLX",
        files=files,
        streams=streams,
        others=tuple(unread),
        zero_s=zero,
        table_shift_s=-zero,
        start=datetime.fromisoformat(start) if start else None,
    )


def list_parts(folder: Path) -> list[Part]:
    """Return the parts of all streams of a run, in the order of gates and triggers.

    A probe's folder (``run_g0_imec0``) is one of its run's: the other streams lie beside it.
    """
    if _PROBE_FOLDER.fullmatch(folder.name):
        folder = folder.parent
    parts = []
    for path in sorted(folder.rglob("*.meta")):
        values = read_meta(path)
        name = Path(str(values.get("fileName", path.name)).replace("\\", "/")).with_suffix(".meta").name
        match = _FILE.fullmatch(path.name) or _FILE.fullmatch(name)
        if match is not None and "nSavedChans" in values and path.with_suffix(".bin").is_file():
            trigger = -1 if match["trigger"] == "cat" else int(match["trigger"])
            parts.append(Part(path, match["stream"], (int(match["gate"]), trigger), values))
    return sorted(parts, key=lambda part: part.order)


def read_meta(path: Path) -> dict[str, str]:
    """Read the entries of a .meta."""
    lines = path.read_text("utf-8", "replace").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _count_channels(part: Part) -> int | None:
    counts = [int(count) for count in part.values.get("snsApLfSy", "").split(",") if count.isdigit()]
    if len(counts) != 3:
        return None
    return counts[0] if part.stream.endswith(".ap") else counts[1]


def _read_gain(part: Part) -> float | None:
    """Return volts for one step of a Neuropixels 1.0 stream, where all channels have one gain."""
    values, band = part.values, part.stream.rpartition(".")[2]
    header, *channels = re.findall(r"\(([^)]*)\)", values.get("~imroTbl", ""))[:1000] or [""]
    if not channels or band not in ("ap", "lf") or header.split(",")[0] != "0" or "imAiRangeMax" not in values:
        return None
    gains = {channel.split()[3 if band == "ap" else 4] for channel in channels if len(channel.split()) >= 5}
    if len(gains) != 1:
        return None
    return float(values["imAiRangeMax"]) / float(values.get("imMaxInt", 512)) / float(gains.pop())
