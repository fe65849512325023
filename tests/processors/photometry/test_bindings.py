"""Which column is which trace, and which is whose control: from the file's table, or refused."""

from __future__ import annotations

from types import SimpleNamespace as Made
from typing import Any

import numpy as np
import pytest

from nwbpipe.errors import InputError
from nwbpipe.processors import BoundInput, Context
from nwbpipe.processors.photometry import (
    Demodulate,
    DemodulateParams,
    EventAligned,
    EventAlignedParams,
    PhotometryDff,
    PhotometryDffParams,
)


class Table(dict):
    """A FiberPhotometryTable, as far as it is read."""

    @property
    def colnames(self) -> list[str]:
        return list(self)


def series(columns: int, rows: list[tuple[str, str, float]], drives: list[Any] | None = None, **more: Any) -> Made:
    """A series whose rows are (fiber, detector, excitation)."""
    table = Table(
        optical_fiber=[Made(name=fiber) for fiber, _, _ in rows],
        photodetector=[Made(name=detector) for _, detector, _ in rows],
        location=["striatum"] * len(rows),
        excitation_wavelength_in_nm=[nm for _, _, nm in rows],
        emission_wavelength_in_nm=[525.0] * len(rows),
    )
    if drives:
        table["commanded_voltage_series"] = drives
    region = Made(table=table, data=np.arange(len(rows))) if rows else None
    shape = (1000,) if columns == 1 else (1000, columns)
    return Made(**{"name": "raw", "data": np.zeros(shape), "rate": 2000.0, "starting_time": 0.0, "timestamps": None,
                   "fiber_photometry_table_region": region, "object_id": "1"} | more)  # fmt: skip


def drive(hz: float | None, **more: Any) -> Made:
    return Made(**{"name": f"drive_{hz}", "frequency": hz, "rate": 2000.0, "starting_time": 0.0,
                   "data": np.zeros(1000)} | more)  # fmt: skip


def prepare(method: Any, params: Any, **inputs: Made) -> Any:
    objects = {name: Made(**{**vars(one), "object_id": name}) for name, one in inputs.items()}
    bound = {name: BoundInput(name, f"/{name}", "FiberPhotometryResponseSeries", name) for name in inputs}
    return method.prepare(Made(objects=objects), Context("step", params, bound))


ROWS = [("left", "d1", 465.0), ("left", "d1", 405.0), ("right", "d2", 465.0), ("right", "d2", 405.0)]


def traces(*args: Any, **params: Any) -> list[tuple[int, float | None, str | None]]:
    found = prepare(Demodulate(), DemodulateParams(**params), signal=series(*args))["traces"]
    return [(one["column"], one["hz"], one["reference"]) for one in found]


def test_a_trace_is_in_the_column_of_its_detector():
    drives = [drive(hz) for hz in (211.0, 331.0, 241.0, 401.0)]
    assert traces(2, ROWS, drives) == [
        (0, 211.0, "/acquisition/drive_211.0/data"),
        (0, 331.0, "/acquisition/drive_331.0/data"),
        (1, 241.0, "/acquisition/drive_241.0/data"),
        (1, 401.0, "/acquisition/drive_401.0/data"),
    ]
    assert [one[2] for one in traces(2, ROWS, drives, reference="fitted")] == [None] * 4
    assert [one[0] for one in traces(4, ROWS, drives)] == [0, 1, 2, 3]
    assert traces(2, []) == [(0, None, None), (1, None, None)]


@pytest.mark.parametrize(
    ("made", "params", "message"),
    [
        (series(3, ROWS), {}, "nothing says which column of the recording belongs to which trace"),
        (series(2, ROWS), {}, "which is which can't be detected"),
        (series(2, ROWS), {"reference": "recorded"}, "the drive of a carrier was not recorded"),
        (series(2, ROWS, [drive(211.0, rate=1000.0)] * 4), {}, "the recorded drive does not fit the recording"),
        (
            series(2, ROWS, [drive(211.0, data=np.zeros(999))] * 4),
            {},
            "the recorded drive does not fit the recording",
        ),
        (series(2, ROWS, [drive(211.0), drive(225.0)] * 2), {}, "two carriers of one detector share a band"),
        (series(2, ROWS, [drive(211.0), drive(1001.0)] * 2), {}, "the carrier is beyond the Nyquist frequency"),
        (series(2, ROWS, [drive(211.0), drive(15.0)] * 2), {}, "the carrier's band leaves the spectrum"),
        (series(2, [], rate=None, timestamps=np.arange(1000.0)), {}, "the recording has timestamps and no rate"),
        (series(2, [], rate=None), {}, "neither a rate nor timestamps"),
        (series(2, ROWS), {"carriers": [{"column": 0, "hz": 200, "row": 9}]}, "does not refer to that row"),
    ],
)
def test_traces_that_are_not_determined_are_refused(made, params, message):
    with pytest.raises(InputError) as caught:
        prepare(Demodulate(), DemodulateParams(**params), signal=made)
    assert message in str(caught.value)


def pairs(signal: Made, control: Made | None = None, **params: Any) -> list[tuple[int, int | None]]:
    inputs = {"signal": signal} | ({} if control is None else {"control": control})
    return [
        (one["signal"], one["control"])
        for one in prepare(PhotometryDff(), PhotometryDffParams(**params), **inputs)["pairs"]
    ]


def test_a_control_is_that_of_its_fiber_and_detector():
    assert pairs(series(4, ROWS)) == [(0, 1), (2, 3)]
    assert pairs(series(4, ROWS), method="percentile") == [(0, None), (1, None), (2, None), (3, None)]
    assert pairs(series(4, []), pairs=[{"signal": 2, "control": 0}]) == [(2, 0)]
    assert pairs(series(2, ROWS[::2]), series(2, ROWS[1::2])) == [(0, 0), (1, 1)]
    three = [*ROWS[:2], ("left", "d1", 565.0)]
    assert pairs(series(3, three)) == [(0, 1), (2, 1)]


@pytest.mark.parametrize(
    ("signal", "control", "params", "message"),
    [
        (series(2, [ROWS[0], ("left", "d9", 405.0)]), None, {}, "a colour without a control"),
        (series(3, [*ROWS[:2], ("left", "d1", 415.0)]), None, {}, "several controls could be meant"),
        (series(2, [ROWS[1], ROWS[3]]), None, {}, "all traces of the series are controls"),
        (series(2, []), None, {}, "nothing says which trace is the control"),
        (series(2, ROWS), None, {}, "does not have one column a row"),
        (series(2, ROWS[::2]), series(2, ROWS[:0:-2]), {}, "signal and control are of different fibers"),
        (series(2, []), series(1, []), {}, "different numbers of traces"),
        (series(2, []), series(2, []), {"method": "exponential"}, "the method exponential uses no control"),
        (series(2, [], data=np.zeros((5, 2))), None, {}, "too few samples"),
    ],
)
def test_controls_that_are_not_determined_are_refused(signal, control, params, message):
    with pytest.raises(InputError) as caught:
        pairs(signal, control, **params)
    assert message in str(caught.value)


def events(table: dict[str, Any], **params: Any) -> Any:
    found = type(
        "Events", (), {"name": "trials", "colnames": list(table), "__getitem__": lambda _, key: table[key]}
    )()
    objects = {"trace": series(1, []), "events": found}
    bound = {name: BoundInput(name, f"/{name}", "TimeIntervals", name) for name in objects}
    return EventAligned().prepare(Made(objects=objects), Context("step", EventAlignedParams(**params), bound))


def test_events_may_be_trials_and_some_may_have_no_time():
    table = {"start_time": np.array([1.0, 2.0, 3.0]), "go": np.array([1.5, np.nan, 3.5]), "side": ["l", "r", "l"]}
    assert events(table)["times"] == [1.0, 2.0, 3.0]
    found = events(table, time_column="go", kind_column="side")
    assert (found["times"], found["kinds"], found["names"]) == ([1.5, None, 3.5], ["l", "r", "l"], ["l", "r"])
    assert events(table, kind_column="side", kinds=["l"])["times"] == [1.0, 3.0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"kind_column": "side", "kinds": ["x", "l"]}, "no event is called 'x'"),
        ({"time_column": "stop"}, "has no column 'stop'"),
        ({"time_column": "side"}, "the column 'side' holds no times"),
    ],
)
def test_events_that_are_not_there_are_refused(params, message):
    with pytest.raises(InputError) as caught:
        events({"start_time": np.array([1.0, 2.0]), "side": np.array(["l", "r"])}, **params)
    assert message in str(caught.value)
