"""Recordings that came out wrong in November 2026: each is right now, or refused."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.converters import load_spec, preview_conversion, source_paths
from nwbpipe.converters._build import BuiltSession, build_nwbfile
from nwbpipe.converters._record import SourceIdentities, conversion_key, describe_accounts
from nwbpipe.converters.accounts import read_account
from nwbpipe.errors import AccountError
from nwbpipe.session import summarize_session
from tests.converters import raw
from tests.converters.accounts import raw_ephys, raw_openephys

EVENTS = {
    "interface": "BehaviorEventsInterface",
    "args": {"file_path": "events.csv", "time_column": "time", "name_column": "name"},
}


def build(folder: Path, sources: dict[str, Any], **more: Any) -> BuiltSession:
    return build_nwbfile(load_spec(raw.write_spec(folder, sources, **more)))


def write_intan(folder: Path, **how: Any) -> dict[str, Any]:
    """Three files of 1.024 s, as RHX splits a recording."""
    for number in range(3):
        numbers = np.arange(160 * 128) + number * 160 * 128
        data = np.full((len(numbers), 2), 100 * (number + 1), np.int16)
        raw_ephys.write_intan_file(folder / f"rec_240501_10000{number}.rhd", 20_000.0, numbers, data)
    return {"interface": "IntanRecordingInterface", "args": {"file_path": "rec_240501_100000.rhd", **how}}


def write_probe(folder: Path, first: int, count: int = 90_000) -> dict[str, Any]:
    probe = folder / "run1_g0" / "run1_g0_imec0"
    probe.mkdir(parents=True)
    binary = probe / "run1_g0_t0.imec0.ap.bin"
    np.zeros((count, 17), "<i2").tofile(binary)
    binary.with_suffix(".meta").write_text(raw_ephys.spikeglx_meta(binary, first, 16, 30_000.0))
    return {"interface": "SpikeGLXRecordingInterface", "args": {"folder_path": "run1_g0", "stream_id": "imec0.ap"}}


def test_all_files_of_a_split_recording_are_read_and_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = build(tmp_path, {"ephys": write_intan(tmp_path)})
    series = built.nwbfile.acquisition["ElectricalSeries_ephys"]
    assert series.data.maxshape[0] == 61_440
    spec = load_spec(tmp_path / "session.yaml")
    assert [path.name[-6:] for _, path in source_paths(spec)] == ["00.rhd", "01.rhd", "02.rhd"]
    monkeypatch.setattr("nwbpipe.converters._record.read_source_account", None)
    assert len(source_paths(spec)) == 3, "the account is read once for a spec"


def test_one_file_of_a_split_recording_alone_has_to_be_accepted(tmp_path: Path) -> None:
    source = write_intan(tmp_path, saved_files_are_split=False)
    with pytest.raises(AccountError, match="more files belong"):
        build(tmp_path, {"ephys": source})
    built = build(tmp_path, {"ephys": {**source, "accept": "parts"}})
    assert built.nwbfile.acquisition["ElectricalSeries_ephys"].data.maxshape[0] == 20_480
    assert "accepted (parts)" in describe_accounts(built)["ephys"]["notes"][0]


def test_times_after_lost_packets_are_kept(tmp_path: Path) -> None:
    numbers = np.concatenate([np.arange(24_000), np.arange(30_000, 60_000)])
    recording = tmp_path / "rec" / "Record Node 101" / "experiment1" / "recording1"
    info = raw_openephys.write_openephys_stream(
        recording, "Board", 30_000.0, numbers, np.zeros((54_000, 2), np.int16), numbers / 30_000
    )
    (recording / "structure.oebin").write_text(json.dumps({"continuous": [info], "events": [], "spikes": []}))
    (recording.parents[1] / "settings.xml").write_text(
        "<SETTINGS><INFO><DATE>1 May 2024 10:00:00</DATE></INFO></SETTINGS>"
    )
    source = {"interface": "OpenEphysBinaryRecordingInterface", "args": {"folder_path": "rec"}}
    built = build(tmp_path, {"ephys": source})
    times = built.nwbfile.acquisition["ElectricalSeries_ephys"].timestamps
    assert times[24_000] == pytest.approx(1.0)
    assert times[-1] == pytest.approx(1.999967, abs=1e-6)
    assert "6000 samples (0.2 s) are missing at 0.8 s" in describe_accounts(built)["ephys"]["notes"][0]


def test_events_are_at_the_samples_of_a_probe_whose_counter_began_long_before(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("time,name\n0.5,cue\n1.0,cue\n1.5,cue\n")
    events = dict(EVENTS)
    sources = {"probe": write_probe(tmp_path, 149_507_283), "events": events}
    built = build(tmp_path, sources, clocks={"events": {"align": "start", "offset_s": 0.97}})
    series = built.nwbfile.acquisition["ElectricalSeriesAP_probe"]
    times = built.nwbfile.events["events"]["timestamp"].data
    samples = (np.asarray(times) - series.starting_time) * series.rate
    np.testing.assert_allclose(samples, [44_100, 59_100, 74_100], atol=1e-3)
    assert describe_accounts(built)["probe"]["zero_s"] == pytest.approx(149_507_283 / 30_000)


def test_sources_apart_in_time_are_refused_with_both_ranges(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("time,name\n0.5,cue\n1.0,cue\n")
    events = dict(EVENTS)
    sources = {"probe": write_probe(tmp_path, 0), "events": events}
    clocks = {"events": {"align": "start", "offset_s": -4983.0}}
    with pytest.raises(AccountError) as caught:
        build(tmp_path, sources, clocks=clocks)
    assert "0.000 s to 3.000 s" in str(caught.value.problem.expected)
    assert "-4,982.500 s to -4,982.000 s" in str(caught.value.problem.found)
    build(tmp_path, {**sources, "events": {**events, "accept": ["extent"]}}, clocks=clocks)


def test_a_onebox_shares_the_zero_of_its_run(tmp_path: Path) -> None:
    source = write_probe(tmp_path, 60_000, 3000)
    binary = tmp_path / "run1_g0" / "run1_g0_t0.obx0.obx.bin"
    np.zeros((500, 3), "<i2").tofile(binary)
    entries = {"typeThis": "obx", "obSampRate": 30_303.0, "firstSample": 30_303, "nSavedChans": 3}
    binary.with_suffix(".meta").write_text("".join(f"{key}={value}\n" for key, value in entries.items()))
    account, _ = read_account(source["interface"], {**source["args"], "folder_path": tmp_path / "run1_g0"})
    assert account is not None
    assert (account.zero_s, account.streams[0].first_time, account.others) == (1.0, 1.0, ("obx0.obx",))
    account, _ = read_account(source["interface"], {"folder_path": tmp_path / "run1_g0", "stream_id": "obx0.obx"})
    assert account is not None
    assert (account.streams[0].samples, account.streams[0].rate, account.streams[0].first_time) == (
        500,
        30_303.0,
        0.0,
    )


def test_a_change_in_any_file_of_a_recording_is_another_conversion(tmp_path: Path) -> None:
    write_intan(tmp_path)
    spec = load_spec(raw.write_spec(tmp_path, {"ephys": write_intan(tmp_path)}))
    keys = set()
    for _ in range(2):
        with SourceIdentities(spec) as identities:
            keys.add(conversion_key({}, identities.wait()))
        (tmp_path / "rec_240501_100002.rhd").write_bytes(b"changed" * 1000)
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("offset", "is_refused"), [(2.4, False), (3.4, False), (3.6, True), (100.0, True), (-1.9, False), (-2.2, True)]
)
def test_sources_overlap_to_within_a_second(offset: float, is_refused: bool, tmp_path: Path) -> None:
    """A probe of 3 s; events at 0.5 and 1 s of a clock that starts `offset` later."""
    (tmp_path / "events.csv").write_text("time,name\n0.5,cue\n1.0,cue\n")
    sources = {"probe": write_probe(tmp_path, 0), "events": dict(EVENTS)}
    clocks = {"events": {"align": "start", "offset_s": offset}}
    with pytest.raises(AccountError, match="lies apart") if is_refused else nullcontext():
        build(tmp_path, sources, clocks=clocks)


def test_shadow_files_of_a_mac_are_no_data(tmp_path: Path) -> None:
    source = write_probe(tmp_path, 0, 3000)
    for path in list((tmp_path / "run1_g0").rglob("*.*")):
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07".ljust(4096, b"\0"))
    built = build(tmp_path, {"probe": source})
    assert built.nwbfile.acquisition["ElectricalSeriesAP_probe"].data.maxshape == (3000, 16)


def test_a_preview_tells_each_stream_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("time,name\n0.5,cue\n1.0,cue\n1.5,cue\n")
    source = write_probe(tmp_path, 30_000)
    raw_ephys.write_board(tmp_path / "run1_g0" / "run1_g0_t0.nidq.bin", 10_000, 100)
    raw.write_spec(tmp_path, {"probe": source, "events": {**EVENTS, "clock": "probe"}})
    before = sorted(tmp_path.rglob("*"))
    summary = preview_conversion(tmp_path / "session.yaml")
    assert sorted(tmp_path.rglob("*")) == before
    assert summary.lines() == [
        "events: EventsTable events: 3 rows of 2 columns, 0.500 to 1.500 s, from events.csv, clock probe",
        "probe: ElectricalSeries ElectricalSeriesAP_probe: 90000 x 16, 30000 Hz, 0 to 0 volts, 0.000 to 3.000 s, "
        "from run1_g0, clock probe",
        "probe: not read: nidq",
    ]


def test_the_range_of_large_data_is_that_of_pieces() -> None:
    from pynwb import NWBFile, TimeSeries

    nwbfile = NWBFile("test", "test", datetime.now(UTC))
    data = np.broadcast_to(np.array([[1, 3]], np.int16), (3_000_000, 2))
    nwbfile.add_acquisition(TimeSeries(name="x", data=data, unit="volts", conversion=1e-3, rate=10.0))
    (stream,) = summarize_session(nwbfile).streams
    assert (stream.low, stream.high, stream.is_sampled) == (0.001, 0.003, True)
    assert "about 0.001 to 0.003 volts" in str(stream)
