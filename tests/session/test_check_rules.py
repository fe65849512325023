"""`check` warns of what no recording can be, by the rules of a conversion, in any file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe.session import _check_rules
from nwbpipe.session._check_rules import RuleFinding, check_rules
from tests.fixtures.processing import write_session

START = datetime(2024, 5, 1, 10, tzinfo=UTC)


def make_file(**subject: Any) -> Any:
    from pynwb import NWBFile
    from pynwb.file import Subject

    nwbfile = NWBFile(session_description="test", identifier="test", session_start_time=START)
    nwbfile.subject = Subject(subject_id="M042", sex="F", species="Mus musculus", **subject)
    return nwbfile


def add_series(nwbfile: Any, data: Any = None, **fields: Any) -> None:
    from pynwb import TimeSeries

    count = len(fields.get("timestamps", range(5)))
    data = np.zeros(count) if data is None else data
    nwbfile.add_acquisition(TimeSeries(name="x", **{"data": data, "unit": "a.u.", **fields}))


def add_rois(nwbfile: Any, pixel: tuple[int, int], frames: tuple[int, int] = (30, 30), columns: int = 2) -> None:
    """Two ROIs, in a movie of 20 x 24 pixels at 30 Hz, the second with a pixel at (x, y)."""
    from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries, TwoPhotonSeries

    device = nwbfile.create_device(name="scope")
    channel = OpticalChannel(name="green", description="green", emission_lambda=510.0)
    plane = nwbfile.create_imaging_plane(
        name="plane", optical_channel=channel, description="d", device=device, excitation_lambda=920.0,
        indicator="GCaMP6f", location="V1", imaging_rate=10.0,
    )  # fmt: skip
    movie = TwoPhotonSeries(name="movie", data=np.zeros((30, 20, 24), "u2"), imaging_plane=plane, rate=25.0, unit="n")
    nwbfile.add_acquisition(movie)
    module = nwbfile.create_processing_module("ophys", "ophys")
    segmentation = ImageSegmentation()
    module.add(segmentation)
    table = segmentation.create_plane_segmentation(name="PlaneSegmentation", description="d", imaging_plane=plane)
    table.add_roi(pixel_mask=[(1, 2, 1.0)])
    table.add_roi(pixel_mask=[(*pixel, 1.0)])
    fluorescence = Fluorescence()
    module.add(fluorescence)
    for name, count in zip(("RoiResponseSeries", "Neuropil"), frames, strict=True):
        region = table.create_roi_table_region(description="all", region=[0, 1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            series = RoiResponseSeries(name=name, data=np.zeros((count, columns)), rois=region, rate=25.0, unit="n")
        fluorescence.add_roi_response_series(series)


def add_intervals(nwbfile: Any, *rows: tuple[float, float]) -> None:
    for start, stop in rows:
        nwbfile.add_trial(start_time=start, stop_time=stop)


def add_spikes(nwbfile: Any, *units: list[float]) -> None:
    for times in units:
        nwbfile.add_unit(spike_times=times)


def add_events(nwbfile: Any, times: list[float]) -> None:
    from pynwb.event import EventsTable

    events = EventsTable(name="events", description="d")
    for time in times:
        events.add_row(timestamp=time)
    nwbfile.add_events_table(events)


FAULTS: list[tuple[Any, list[tuple[str, bool, str]]]] = [
    (lambda f: add_series(f, timestamps=[0.0, 2.0, 1.0]), [("order", True, "2.000000 s to 1.000000 s")]),
    (lambda f: add_series(f, timestamps=[0.0, 1.5, 1.5]), [("order", False, "stand still")]),
    (lambda f: add_series(f, timestamps=[0.0, np.nan, 1.5]), [("order", True, "1 of 3")]),
    (lambda f: add_series(f, timestamps=1.7e9 + np.arange(3)), [("span", True, "54 years after")]),
    (lambda f: add_series(f, rate=10.0, starting_time=-40 * 86_400.0), [("span", False, "40 days before")]),
    (lambda f: add_series(f, timestamps=np.arange(200.0)), [("rate", False, "numbers of frames")]),
    (lambda f: add_series(f, np.zeros(5, "i2"), rate=1.0, unit="volts"), [("unit", False, "conversion of 1.0")]),
    (lambda f: add_intervals(f, (1.0, 2.0), (5.0, 4.0)), [("order", True, "end before they start")]),
    (lambda f: add_intervals(f, (3.0, 4.0), (1.0, 2.0)), [("order", False, "times in start_time")]),
    (lambda f: add_events(f, [1.0, 1.7e12]), [("span", True, "years after")]),
    (lambda f: add_spikes(f, [1.0, 2.0], [0.5, 0.4]), [("order", False, "1 steps back")]),
    (lambda f: add_spikes(f, [1.0, np.nan]), [("order", True, "not finite")]),
    (lambda f: add_rois(f, (19, 24)), [("shape", True, "row 2: x up to 19, y up to 24")]),
    (lambda f: add_rois(f, (23, 19)), [("shape", False, "changed places")]),
    (lambda f: add_rois(f, (1, 1), (39, 40)), [("shape", True, "differ in length")]),
    (lambda f: add_rois(f, (1, 1), columns=3), [("shape", True, "3 traces of 2 ROIs")] * 2),
]


def texts(findings: Iterator[RuleFinding]) -> list[tuple[str, bool, str]]:
    return [(finding.rule, finding.error, str(finding.problem)) for finding in findings]


@pytest.mark.parametrize(("spoil", "expected"), FAULTS)
def test_what_no_recording_can_be_is_found(spoil: Any, expected: list[tuple[str, bool, str]]) -> None:
    nwbfile = make_file()
    spoil(nwbfile)
    findings = [item for item in texts(check_rules(nwbfile)) if "imaging plane" not in item[2]]
    assert [item[:2] for item in findings] == [item[:2] for item in expected]
    for (_, _, text), (_, _, part) in zip(findings, expected, strict=True):
        assert part in text


def test_what_is_right_is_not_found() -> None:
    nwbfile = make_file(age="P90D", date_of_birth=START - timedelta(days=90))
    add_series(nwbfile, np.zeros(3, "i2"), timestamps=[0.0, 1.5, 3.0], unit="volts", conversion=1e-6)
    add_intervals(nwbfile, (1.0, 2.0), (1.5, 4.0))
    add_spikes(nwbfile, [1.0, 2.0], [], [0.5, 0.9])
    add_events(nwbfile, [-1.0, 0.0, 0.0])
    add_rois(nwbfile, (19, 23))
    (finding,) = texts(check_rules(nwbfile))  # 25 Hz are 2.5 times those of the plane
    assert "25 Hz, and its imaging plane 10 Hz" in finding[2]


@pytest.mark.parametrize(
    ("subject", "part"),
    [
        ({"date_of_birth": START + timedelta(days=3)}, "born after the session"),
        ({"date_of_birth": START - timedelta(days=90), "age": "P60D"}, "about P90D"),
    ],
)
def test_dates_that_contradict_each_other(subject: dict[str, Any], part: str) -> None:
    ((rule, _, text),) = texts(check_rules(make_file(**subject)))
    assert rule == "dates"
    assert part in text


def test_what_the_spec_accepts_is_not_found() -> None:
    nwbfile = make_file()
    add_series(nwbfile, timestamps=[0.0, 2.0, 1.0])
    (series,) = nwbfile.acquisition.values()
    record = SimpleNamespace(
        parameters={"sources": {"probe": {"accept": ["order"]}}},
        outputs=[SimpleNamespace(object_id=series.object_id, name="probe: x")],
    )
    assert texts(check_rules(nwbfile, record)) == []  # type: ignore[arg-type]


def test_times_of_a_long_recording_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_check_rules, "_MOST", 1000)
    monkeypatch.setattr(_check_rules, "_PIECE", 10)
    times = np.arange(5000) / 10.0
    times[2500:] -= 100.0
    nwbfile = make_file()
    add_series(nwbfile, timestamps=times)
    assert [item[:2] for item in texts(check_rules(nwbfile))] == [("order", True)]


def test_check_says_what_pynwb_cannot_build(tmp_path: Path) -> None:
    path = write_session(tmp_path / "session.nwb", "lever")
    with h5py.File(path, "r+") as file:
        file["acquisition/lever"].attrs["neurodata_type"] = "ElectricalSeries"
        file["acquisition/lever/starting_time"].attrs["rate"] = -1.0
    report = nwbpipe.check(path)
    assert report.verdict == "whole, with errors"
    findings = [(finding.kind, finding.what, finding.where) for finding in report.findings]
    assert findings[-1][1] == (
        "pynwb can't read the file: /acquisition/lever: ElectricalSeries.__init__: missing argument 'electrodes'"
    )
    assert "/acquisition/lever/starting_time" in [where for kind, _, where in findings if kind == "rate"]
