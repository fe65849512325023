"""What no recording can be is refused, wherever the values came from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nwbpipe.converters._added import AddedObjects, original_times
from nwbpipe.converters._rules import check_rules
from nwbpipe.converters.neuroconv_fixes import refuse_missing_rate
from nwbpipe.errors import ClockError, SourceError
from tests.converters import raw
from tests.converters.neuroconv_fixes.test_readers import write_suite2p

START = datetime.fromisoformat(raw.SESSION["session_start_time"])
TIMES = 100 + np.arange(50) / 20
Build = Callable[..., Any]


def photometry(name: str = "fiber.csv", **more: Any) -> dict[str, Any]:
    args = {"file_path": name, "data_columns": ["signal"], "timestamps_column": "time"}
    return {"interface": "CSVFiberPhotometryInterface", "args": args, **more}


def write_fiber(folder: Path, times: np.ndarray) -> None:
    cells = ["" if np.isnan(time) else f"{time:.6f}" for time in times]
    (folder / "fiber.csv").write_text("time,signal\n" + "".join(f"{c},{i}\n" for i, c in enumerate(cells)))


def refusal(problem: Callable[[], Any]) -> str:
    with pytest.raises(SourceError) as caught:
        problem()
    return str(caught.value)


def check(*objects: Any, accept: list[str] | None = None) -> None:
    """Hold objects in memory to the rules, as those of a source called ``probe``."""
    source = SimpleNamespace(
        name="probe",
        where="sources.probe",
        clock="probe",
        spec=SimpleNamespace(accept=accept),
        added=AddedObjects(objects=list(objects)),
    )
    check_rules([source], START, Path("session.yaml"))  # type: ignore[list-item]  # as much of a source as it reads


# Times ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda times: np.where(np.arange(50) >= 25, times - 5, times), "1 of 49 steps; the first from 101.200000"),
        (lambda times: np.where(np.arange(50) == 10, np.nan, times), "1 of 50, the first in row 11"),
        (lambda times: np.where(np.arange(50) > 40, 0.0, times), "9 of 49 steps"),
        (lambda times: np.where(np.arange(50) == 3, times[2], times), "1 of 49 steps"),
    ],
    ids=["back", "nan", "zeros", "repeat"],
)
def test_times_of_an_argument_that_do_not_increase(
    folder: Path, convert_to: Build, fault: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    write_fiber(folder, fault(TIMES))
    assert message in refusal(lambda: convert_to({"fiber": photometry()}))


def test_unix_times_are_refused_until_the_spec_says_so(folder: Path, convert_to: Build) -> None:
    write_fiber(folder, START.timestamp() + TIMES)
    text = refusal(lambda: convert_to({"fiber": photometry()}))
    assert "lie 54 years after the session's start" in text
    assert "`clocks: {fiber: {align: unix}}`" in text
    clocks = {"fiber": {"align": "unix"}}
    built = convert_to({"fiber": photometry()}, reference_clock="session", clocks=clocks)
    np.testing.assert_allclose(original_times(raw.added_series(built, "fiber")[0], 50), TIMES, atol=1e-6)
    write_fiber(folder, TIMES)
    assert "before the session's start" in refusal(
        lambda: convert_to({"fiber": photometry()}, reference_clock="session", clocks=clocks)
    )


@pytest.mark.parametrize(
    ("source", "text", "file"),
    [
        (raw.events(clock="fiber"), "t,kind\n1714572000500,lick\n", "events.csv"),
        (raw.trials(clock="fiber"), "start_time,stop_time\n1714572000500,1714572001500\n", "trials.csv"),
        (
            {
                "interface": "BehaviorEventsInterface",
                "args": {"file_path": "e.csv", "event_name": "lick"},
                "clock": "fiber",
            },
            "time\n1714572000500\n",
            "e.csv",
        ),
    ],
    ids=["CSVEvents", "CsvTimeIntervals", "BehaviorEvents"],
)
def test_unix_milliseconds_in_a_table(
    folder: Path, convert_to: Build, source: dict[str, Any], text: str, file: str
) -> None:
    write_fiber(folder, TIMES)
    (folder / file).write_text(text)
    assert "Unix milliseconds" in refusal(lambda: convert_to({"fiber": photometry(), "log": source}))


def test_times_far_off_may_be_accepted() -> None:
    from pynwb import TimeSeries

    def series() -> Any:
        return TimeSeries(name="x", data=np.zeros(3), unit="m", starting_time=0.0, rate=5e-7)

    for text in (refusal(lambda: check(series())), refusal(lambda: check(series(), accept=["order"]))):
        assert "`accept: [span]`" in text
    check(series(), accept=["span"])


def test_times_of_other_objects_of_nwb() -> None:
    from pynwb import TimeSeries
    from pynwb.misc import Units

    units = Units(name="units", description="sorted")
    units.add_unit(spike_times=[0.1, 0.2, 0.2])
    units.add_unit(spike_times=[0.3, 0.2])
    assert "the times of the spikes of unit 1 do not increase" in refusal(lambda: check(units))
    check(units, accept=["order"])
    single = TimeSeries(name="x", data=np.zeros(2), unit="m", timestamps=np.array([1, 2], dtype=np.int32))
    check(single)
    assert single.timestamps.dtype == np.float64
    rateless = TimeSeries(name="y", data=np.zeros(2), unit="m", starting_time=0.0, rate=1.0)
    rateless.fields["rate"] = float("nan")
    assert "have no rate" in refusal(lambda: check(rateless))


# Units ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["volts", "V", "amperes"])
def test_counts_called_volts(unit: str) -> None:
    from pynwb import TimeSeries

    def series(**more: Any) -> Any:
        return TimeSeries(name="adc", data=np.arange(9, dtype=np.int16), **{"unit": unit, "rate": 10.0, **more})

    text = refusal(lambda: check(series()))
    assert "whole numbers" in text
    assert "int16, conversion 1.0" in text
    check(series(), accept=["unit"])
    check(series(conversion=1e-6))
    check(series(unit="n.a."))


# Names of columns -------------------------------------------------------------------------------------------


def test_reserved_columns_are_renamed_and_said(folder: Path, convert_to: Build) -> None:
    names = ["name", "id", "tags", "description", "colnames", "object_id", "parent", "name_value"]
    lines = [",".join(["start_time", "stop_time", *names])]
    lines += [",".join([str(t), str(t + 0.5), *(f"{name}{t}" for name in names)]) for t in range(2)]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    built = convert_to({"t": {"interface": "TrialsInterface", "args": {"file_path": "t.csv"}}})
    table = built.nwbfile.trials
    frame = table.to_dataframe()
    assert frame["name_value_"].tolist() == ["name0", "name1"]
    assert frame["name_value"].tolist() == ["name_value0", "name_value1"]
    for name in names[1:-1]:
        assert frame[f"{name}_value"].tolist() == [f"{name}0", f"{name}1"]
    assert "the column 'name' is called name_value_" in table.description


def test_reserved_columns_of_an_events_table(folder: Path, convert_to: Build) -> None:
    (folder / "e.csv").write_text("time,name,description\n1,a,b\n")
    args = {"file_path": "e.csv", "name_column": "name"}
    built = convert_to({"e": {"interface": "BehaviorEventsInterface", "args": args}})
    table = built.nwbfile.events["e"]
    assert table["description_value"].data[:] == ["b"]
    assert table["event_type"].data[:] == ["a"]


@pytest.mark.parametrize("name", ["name", "description"])
def test_reserved_columns_that_a_reader_writes(folder: Path, convert_to: Build, name: str) -> None:
    (folder / "trials.csv").write_text(f"start_time,stop_time,{name}\n1,2,grating\n")
    assert f"the column {name!r}" in refusal(lambda: convert_to({"trials": raw.trials()}))


# Parts of a segmentation ------------------------------------------------------------------------------------

CELLS = {"cells": {"interface": "Suite2pSegmentationInterface", "args": {"folder_path": "result"}}}


@pytest.mark.parametrize("pixel", [-1, 4000])
def test_pixels_outside_of_the_image(folder: Path, convert_to: Build, pixel: int) -> None:
    pytest.importorskip("roiextractors", reason="segmentations need roiextractors: pip install nwbpipe[imaging]")
    rois = write_suite2p(folder / "result")
    rois[1]["ypix"] = np.array([20, 21, pixel])
    np.save(folder / "result" / "plane0" / "stat.npy", np.array(rois, dtype=object), allow_pickle=True)
    text = refusal(lambda: convert_to(CELLS))
    assert "1 of 2 ROIs have pixels outside of the image" in text
    assert f"ROI 1: rows {min(pixel, 20)} to {max(pixel, 21)}" in text


def test_traces_of_one_segmentation_that_differ_in_length(folder: Path, convert_to: Build) -> None:
    pytest.importorskip("roiextractors", reason="segmentations need roiextractors: pip install nwbpipe[imaging]")
    write_suite2p(folder / "result")
    neuropil = folder / "result" / "plane0" / "Fneu.npy"
    np.save(neuropil, np.load(neuropil)[:, :-1])
    assert "the traces of one segmentation differ in length" in refusal(lambda: convert_to(CELLS))


def test_a_segmentation_without_rois(folder: Path, convert_to: Build) -> None:
    pytest.importorskip("roiextractors", reason="segmentations need roiextractors: pip install nwbpipe[imaging]")
    write_suite2p(folder / "result")
    plane = folder / "result" / "plane0"
    for name, shape in {"F": (0, 40), "Fneu": (0, 40), "spks": (0, 40), "iscell": (0, 2)}.items():
        np.save(plane / f"{name}.npy", np.zeros(shape, np.float32))
    np.save(plane / "stat.npy", np.array([], dtype=object), allow_pickle=True)
    text = refusal(lambda: convert_to(CELLS))
    assert "found no ROI" in text
    assert "leave the source out" in text


# Poses -----------------------------------------------------------------------------------------------------


def test_frames_without_times() -> None:
    interface = SimpleNamespace(video_sample_rate=None, video_file_path=None)
    with pytest.raises(ClockError, match="the frames have no times"):
        refuse_missing_rate(interface, "sources.pose")
    refuse_missing_rate(SimpleNamespace(video_sample_rate=25.0, video_file_path=None), "sources.pose")
    refuse_missing_rate(SimpleNamespace(), "sources.other")
