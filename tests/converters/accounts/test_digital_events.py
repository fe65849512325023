"""Pulses of digital lines are at the samples of the recording that they belong to, whatever its counters say."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.converters.interfaces import interface_class
from nwbpipe.errors import SourceError
from tests.converters.accounts import raw_ephys, raw_openephys

RATE = 30_000.0
FIRST = 600_000  # the counter at the first sample


def pulses(interface: str, **args: Any) -> dict[str, list[tuple[float, float]]]:
    """Read a source's pulses: begin and duration by line."""
    from datetime import UTC, datetime

    from pynwb import NWBFile

    nwbfile = NWBFile("test", "test", datetime.now(UTC))
    interface_class(interface)(**args).add_to_nwbfile(nwbfile)
    (table,) = nwbfile.events.values()
    rows = table.to_dataframe()
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows.itertuples():
        lines.setdefault(row.event_type, []).append((round(row.timestamp, 9), round(row.duration, 9)))
    return lines


def write_binary(root: Path, *, new: bool, stream: str = "Board") -> None:
    """A stream that begins at 20 s of its counter; line 1 is high from 1.0 to 1.5 s, line 3 from 2.0 s on."""
    recording = root / "Record Node 101" / "experiment1" / "recording1"
    numbers = FIRST + np.arange(90_000)
    seconds = numbers / RATE + 100 if new else None
    info = raw_openephys.write_openephys_stream(
        recording, stream, RATE, numbers, np.zeros((90_000, 1), np.int16), seconds
    )
    oebin = recording / "structure.oebin"
    infos = json.loads(oebin.read_text())["continuous"] if oebin.is_file() else []
    oebin.write_text(json.dumps({"continuous": [*infos, info], "events": [], "spikes": []}))
    folder = recording / "events" / stream / ("TTL" if new else "TTL_1")
    folder.mkdir(parents=True)
    edges = FIRST + np.array([30_000, 45_000, 60_000])
    np.save(folder / ("states.npy" if new else "channel_states.npy"), np.array([1, -1, 3], np.int16))
    np.save(folder / ("sample_numbers.npy" if new else "timestamps.npy"), edges)
    if new:
        np.save(folder / "timestamps.npy", edges / RATE + 100)


@pytest.mark.parametrize("new", [True, False])
def test_open_ephys_binary(new: bool, tmp_path: Path) -> None:
    write_binary(tmp_path, new=new)
    lines = pulses("OpenEphysEventsInterface", folder_path=tmp_path)
    first = FIRST / RATE + (100 if new else 0)  # of the counter, as neo has it for the samples
    assert lines["TTL1"] == [(first + 1.0, 0.5)]
    ((begin, duration),) = lines["TTL3"]
    assert begin == first + 2.0
    assert np.isnan(duration)


def test_open_ephys_asks_which_stream(tmp_path: Path) -> None:
    write_binary(tmp_path, new=True)
    write_binary(tmp_path, new=True, stream="Other")
    with pytest.raises(SourceError, match="which stream") as caught:
        pulses("OpenEphysEventsInterface", folder_path=tmp_path)
    assert "Record Node 101#Board, Record Node 101#Other" in str(caught.value)
    lines = pulses("OpenEphysEventsInterface", folder_path=tmp_path, stream_name="Record Node 101#Other")
    assert lines["TTL1"] == [(FIRST / RATE + 101.0, 0.5)]


def test_open_ephys_legacy(tmp_path: Path) -> None:
    stamps = FIRST + 1024 * np.arange(90)
    raw_openephys.write_continuous(tmp_path / "100_CH1.continuous", RATE, stamps, np.zeros(90 * 1024, np.int16))
    head = (tmp_path / "100_CH1.continuous").read_bytes()[:1024]
    events = [(30_000, 1), (45_000, 0)]
    body = b"".join(struct.pack("<qhBBBBH", FIRST + at, 0, 3, 100, state, 4, 0) for at, state in events)
    body += struct.pack("<qhBBBBH", FIRST, 0, 5, 100, 1, 0, 0)  # a message, no line
    (tmp_path / "all_channels.events").write_bytes(head + body)
    assert pulses("OpenEphysEventsInterface", folder_path=tmp_path) == {"TTL5": [(FIRST / RATE + 1.0, 0.5)]}


def test_spikeglx_board_of_two_triggers(tmp_path: Path) -> None:
    run = tmp_path / "run1_g0"
    run.mkdir()
    for trigger, first in enumerate((200_000, 240_000)):
        binary = run / f"run1_g0_t{trigger}.nidq.bin"
        raw_ephys.write_board(binary, first, 20_000)
        data = np.memmap(binary, "<i2", "r+").reshape(-1, 2)
        data[5_000:7_500, 1] |= 1
        data[6_000:8_000, 1] |= 4
    lines = pulses("SpikeGLXEventsInterface", folder_path=run)
    assert lines == {"TTL0": [(0.5, 0.25), (4.5, 0.25)], "TTL2": [(0.6, 0.2), (4.6, 0.2)]}


def test_blackrock_digital_input(tmp_path: Path) -> None:
    raw_ephys.write_nsx(tmp_path / "rec.ns6", [(FIRST, np.zeros((90_000, 1), np.int16))])
    head = struct.pack(
        "<8s2BHIIII8H32s256sI",
        b"NEURALEV",
        2,
        3,
        1,
        336,
        104,
        30_000,
        30_000,
        *[2024, 5, 3, 1, 10, 0, 0, 0],
        b"",
        b"",
        0,
    )
    packets = b"".join(
        struct.pack("<IHBBH", FIRST + at, kind, 1, 0, value).ljust(104, b"\0")
        for at, kind, value in [(30_000, 0, 1), (33_000, 7, 9), (36_000, 0, 3), (45_000, 0, 2), (60_000, 0, 0)]
    )
    (tmp_path / "rec.nev").write_bytes(head + packets)
    lines = pulses("BlackrockEventsInterface", file_path=tmp_path / "rec.nev")
    assert lines == {"TTL0": [(1.0, 0.5)], "TTL1": [(1.2, 0.8)]}
    codes = pulses("BlackrockEventsInterface", file_path=tmp_path / "rec.nev", read_as="codes")
    assert [(name, rows[0][0]) for name, rows in codes.items()] == [("code 1", 1.0), ("code 3", 1.2), ("code 2", 1.5)]


def test_lines_without_a_pulse_are_refused(tmp_path: Path) -> None:
    run = tmp_path / "run1_g0"
    run.mkdir()
    raw_ephys.write_board(run / "run1_g0_t0.nidq.bin", 0, 100)
    with pytest.raises(SourceError, match="no digital events"):
        pulses("SpikeGLXEventsInterface", folder_path=run)
