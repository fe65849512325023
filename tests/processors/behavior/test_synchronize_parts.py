"""Parts of synchronize: the low-pass, gaps, bins, and series that are longer than what is read at once."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nwbpipe.errors import InputError
from nwbpipe.processors.behavior import _synchronize_clocks as clocks
from nwbpipe.processors.behavior import _synchronize_compute as module
from nwbpipe.processors.behavior import _synchronize_times as times_module
from nwbpipe.processors.behavior._synchronize_sample import count_in_bins, low_pass_at, mean_of_bins, sample_at
from nwbpipe.processors.behavior._synchronize_times import SampleTimes, bin_edges

GRID = np.arange(30, 570) / 10.0
LOW_PASS = {"cutoff_hz": 4.0, "half_width": 0.8, "max_gap": 0.05, "step": 0.01, "slack": 1e-9}


@pytest.mark.parametrize("jitter", [0.0, 0.001])
def test_the_low_pass_keeps_what_the_grid_holds_and_takes_the_rest(jitter: float) -> None:
    times = np.arange(6000) / 100 + np.random.default_rng(0).uniform(-jitter, jitter, 6000)
    for frequency, low, high in ((1.0, 0.985, 1.015), (2.5, 0.98, 1.02), (6.3, 0.0, 0.01), (14.8, 0.0, 0.01)):
        tone = np.sin(2 * np.pi * frequency * times)[:, None]
        amplitude = np.sqrt(2) * low_pass_at(times, tone, GRID, **LOW_PASS).std()
        assert low <= amplitude <= high or (jitter and high == 0.01 and amplitude < 0.05), (frequency, amplitude)
    aliased = np.sqrt(2) * sample_at(times, tone, GRID, "linear", 0.05, 1e-9).std()
    assert aliased > 0.5  # what the low-pass is for


def test_a_slope_and_a_constant_come_through_the_low_pass_whole_even_at_the_ends() -> None:
    times = np.arange(1000) / 100
    values = np.column_stack([3.0 + 2.0 * times, np.full(1000, 7.0)])
    values[500:505, 0] = np.nan
    at = np.arange(100) / 10
    found = low_pass_at(times, values, at, **LOW_PASS)
    np.testing.assert_allclose(found[:, 1], 7.0)
    good = np.isfinite(found[:, 0])
    assert np.flatnonzero(~good).tolist() == [50]
    np.testing.assert_allclose(found[good, 0], (3 + 2 * at)[good], atol=2e-4)


def test_nothing_is_read_across_a_gap_or_beyond_the_ends() -> None:
    times = np.array([0.0, 1.0, 2.0, 6.0, 7.0])
    values = np.array([[0.0, 0.0], [10.0, np.nan], [20.0, 20.0], [60.0, 60.0], [70.0, 70.0]])
    at = np.array([-0.4, 0.0, 0.25, 1.5, 2.0, 2.4, 4.0, 5.0, 6.5, 7.4, 8.0])
    nan = np.nan
    expected = {
        "linear": (
            [nan, 0, 2.5, 15, 20, nan, nan, nan, 65, nan, nan],
            [nan, 0, nan, nan, 20, nan, nan, nan, 65, nan, nan],
        ),
        "nearest": ([0, 0, 0, 10, 20, 20, nan, nan, 60, 70, nan], [0, 0, 0, 20, 20, 20, nan, nan, 60, 70, nan]),
        "previous": ([nan, 0, 0, 10, 20, 20, nan, nan, 60, 70, 70], [nan, 0, 0, nan, 20, 20, nan, nan, 60, 70, 70]),
    }
    for method, columns in expected.items():
        found = sample_at(times, values, at, method, 1.0, 1e-9)
        np.testing.assert_allclose(found.T, columns, err_msg=method)
    wide = sample_at(times, values, at, "linear", 4.0, 1e-9)
    np.testing.assert_allclose(wide[4:8, 0], [20, 24, 40, 50])


def test_bins_meet_half_way_and_end_at_gaps_of_the_grid() -> None:
    grid = np.array([0.0, 1.0, 2.0, 10.0, 11.0])
    bins = bin_edges(grid, None, None, 1.0)
    np.testing.assert_allclose(bins, [[-0.5, 0.5], [0.5, 1.5], [1.5, 2.5], [9.5, 10.5], [10.5, 11.5]])
    pieces = np.concatenate([bin_edges(grid[:2], None, 2.0, 1.0), bin_edges(grid[2:], 1.0, None, 1.0)])
    np.testing.assert_array_equal(pieces, bins)
    assert count_in_bins(np.array([0.5, 0.7, 5.0, 11.5]), bins).tolist() == [0, 2, 0, 0, 0]
    values = np.array([[1.0], [3.0], [np.nan], [8.0]])
    means = mean_of_bins(np.array([0.6, 0.7, 1.0, 10.0]), values, bins)
    np.testing.assert_allclose(means[:, 0], [np.nan, 2, np.nan, 8, np.nan])


def _stream(number: int, **changes: Any) -> dict[str, Any]:
    member = {
        "data": "data", "timestamps": "stamps", "rate": None, "start": None, "conversion": 1.0, "offset": 0.0,
        "confidence": None,
    }  # fmt: skip
    stream = {
        "bound": f"series:{number}", "path": "/s", "name": f"s{number}", "kind": "series", "members": [member],
        "method": "linear", "max_gap_s": None, "lowpass": 0.8,
    }  # fmt: skip
    return {**stream, **changes}


def _compute(path: Path, streams: list[dict[str, Any]], **params: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    params = {"rate_hz": 10.0, "start_s": None, "stop_s": None, "extent": "overlap", **params}
    request = {
        "params": params,
        "facts": {"streams": streams, "grid": None},
        "inputs": {stream["bound"]: {"file": str(path)} for stream in streams},
    }
    with h5py.File.in_memory() as results:
        summary = module.compute(request, results, lambda part, text: None)
        return summary, {name: results[name][()] for name in results}


@pytest.mark.parametrize("stop_s", [None, 20.0])
def test_each_sample_is_counted_once_in_its_bin_and_none_after_the_last(tmp_path: Path, stop_s: float | None) -> None:
    """100 Hz on a grid of 10 Hz: every tenth sample is on the edge of two bins, but for rounding."""
    path = tmp_path / "regular.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.arange(1000.0)
    member = {**_stream(0)["members"][0], "timestamps": None, "rate": 100.0, "start": 0.0}
    streams = [_stream(n, members=[member], method=m) for n, m in enumerate(("count", "mean", "linear"))]
    summary, arrays = _compute(path, streams, stop_s=stop_s)
    counts, means, line = (arrays[str(number)] for number in range(3))
    assert counts[:101].tolist() == [5, *[10] * 99, *([5] if stop_s else [])]
    assert not counts[101:].any()
    np.testing.assert_allclose(means[1:100], np.arange(1, 100) * 10 - 0.5)
    np.testing.assert_allclose(line[:100], np.arange(100) * 10, atol=1e-3)
    assert np.isnan(line[100:]).all()
    assert summary["streams"]["series:2"]["missing"] == (101 if stop_s else 0)


def test_a_gap_that_may_be_crossed_does_not_outweigh_the_samples_beside_it() -> None:
    times = np.arange(3000) / 100
    times = times[(times < 10) | (times > 13)]
    tone = np.sin(2 * np.pi * 0.7 * times)[:, None]
    at = GRID[(GRID < 9.9) | (GRID > 13.1)]
    at = at[at < 29]
    crossed = low_pass_at(times, tone, at, **{**LOW_PASS, "max_gap": 5.0})
    np.testing.assert_allclose(crossed[:, 0], np.sin(2 * np.pi * 0.7 * at), atol=0.05)


def test_a_row_in_which_several_keypoints_are_missing_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "pose.h5"
    with h5py.File(path, "w") as file:
        for name, lost in (("nose", slice(20, 40)), ("tail", slice(30, 50))):
            file[name] = np.column_stack([np.arange(100.0), np.arange(100.0) + len(name)])
            file[name][lost] = np.nan
    member = {**_stream(0)["members"][0], "timestamps": None, "rate": 10.0, "start": 0.0}
    members = [{**member, "data": name} for name in ("nose", "tail")]
    summary, arrays = _compute(path, [_stream(0, kind="pose", members=members)])
    assert arrays["0"].shape == (100, 2, 2)
    np.testing.assert_allclose(arrays["0"][60], [[60, 64], [60, 64]])
    assert summary["streams"]["series:0"]["missing"] == 30


@pytest.mark.parametrize(("unit", "turn", "start"), [("radians", 2 * np.pi, -np.pi), ("degrees", 360.0, 0.0)])
def test_a_heading_is_read_over_the_end_of_a_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str, turn: float, start: float
) -> None:
    """The animal turns around three times; a wheel beside it goes on."""
    monkeypatch.setattr(module, "VALUES", 700)
    times = np.arange(3000) / 100
    angle = turn * (times / 10 + 0.1 * np.sin(times))
    path = tmp_path / "heading.h5"
    with h5py.File(path, "w") as file:
        file["heading"], file["wheel"] = start + np.mod(angle - start, turn), angle
        file["heading"][1000:1010] = np.nan
    member = {**_stream(0)["members"][0], "timestamps": None, "rate": 100.0, "start": 0.0}
    streams = [
        _stream(number, members=[{**member, "data": data}], method=method, unit=unit)
        for number, (data, method) in enumerate((("heading", "linear"), ("heading", "mean"), ("wheel", "linear")))
    ]
    summary, arrays = _compute(path, streams)
    true = turn * (arrays["timestamps"] / 10 + 0.1 * np.sin(arrays["timestamps"]))
    for number in (0, 1):
        values = arrays[str(number)]
        assert np.nanmin(values) >= start
        assert np.nanmax(values) < start + turn
        away = np.mod(values - true + turn / 2, turn) - turn / 2
        assert np.nanmax(np.abs(away)) < 0.01 * turn
        assert np.isnan(values).sum() < 3
    np.testing.assert_allclose(arrays["2"], true, atol=0.002 * turn)
    assert [summary["streams"][f"series:{n}"]["turns"] for n in range(3)] == [True, True, False]


def test_a_long_series_is_read_in_blocks_and_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    stamps = np.cumsum(generator.uniform(0.005, 0.015, 20_000))
    stamps[9000:] += 5.0
    spikes = np.sort(generator.uniform(stamps[0], stamps[-1], 5000))
    path = tmp_path / "long.h5"
    with h5py.File(path, "w") as file:
        file["stamps"], file["data"] = stamps, np.cumsum(generator.normal(size=(20_000, 3)), axis=0)
        file["times"], file["index"] = spikes, np.array([2000, 5000])
    monkeypatch.setattr(times_module, "BLOCK", times_module._MARK)
    units = _stream(4, kind="units", times="times", index="index", labels=["0", "1"], observed=None)
    methods = ("linear", "mean", "nearest", "previous", "count")
    streams = [
        *(_stream(number, method=method) for number, method in enumerate(methods)),
        units | {"bound": "series:9"},
    ]
    whole_summary, whole = _compute(path, streams)
    monkeypatch.setattr(module, "VALUES", 3000)
    most = 0
    load = module._Reader._load

    def watch(reader: Any, first: int, last: int) -> Any:
        nonlocal most
        most = max(most, last - first)
        return load(reader, first, last)

    monkeypatch.setattr(module._Reader, "_load", watch)
    summary, pieces = _compute(path, streams)
    assert 0 < most < 3000
    assert summary == whole_summary
    for name in whole:
        np.testing.assert_allclose(pieces[name], whole[name], rtol=1e-9, atol=1e-9, err_msg=name)
    told = summary["streams"]["series:9"]
    assert told["events"] == told["counted"] + told["outside"] == 5000
    assert told["outside"] == 0  # the grid covers all of them
    assert pieces["4"].sum() == 20_000
    grid = whole["timestamps"]
    gap = (grid > stamps[8999] + 0.01) & (grid < stamps[9000] - 0.01)
    assert gap.sum() > 45
    assert np.isnan(whole["0"][gap]).all()
    assert np.isnan(whole["1"][gap][1:-1]).all()


def test_what_a_unit_was_not_observed_in_is_missing_not_zero(tmp_path: Path) -> None:
    path = tmp_path / "units.h5"
    with h5py.File(path, "w") as file:
        file["times"], file["index"] = np.array([1.0, 2.0, 8.0]), np.array([3])
        file["spans"], file["spans_index"] = np.array([[0.0, 3.0], [7.0, 9.0]]), np.array([2])
    observed = {"times": "spans", "index": "spans_index"}
    stream = _stream(0, kind="units", times="times", index="index", labels=["5"], observed=observed)
    summary, arrays = _compute(path, [stream], rate_hz=1.0, start_s=0.0, stop_s=9.0)
    np.testing.assert_array_equal(arrays["0"][:, 0], [0, 1, 1, 0, np.nan, np.nan, np.nan, 0, 1, 0])
    assert summary["streams"]["series:0"]["missing"] == 3


def test_times_that_go_back_and_series_that_never_meet_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.h5"
    with h5py.File(path, "w") as file:
        file["stamps"], file["data"], file["later"] = (
            np.array([0.0, 2.0, 1.0]),
            np.zeros(3),
            np.array([7.0, 8.0, 9.0]),
        )
        file["early"] = np.arange(3.0)
    with pytest.raises(ValueError, match="at sample 2"):
        _compute(path, [_stream(0)])
    members = [{**_stream(0)["members"][0], "timestamps": name} for name in ("early", "later")]
    streams = [_stream(number, members=[member]) for number, member in enumerate(members)]
    with pytest.raises(ValueError, match="don't overlap"):
        _compute(path, streams)
    summary, arrays = _compute(path, streams, extent="all", rate_hz=1.0)
    assert summary["rows"] == 10
    np.testing.assert_array_equal(np.isnan(arrays["0"]), np.arange(10) > 2)


def test_find_agrees_with_searchsorted(tmp_path: Path) -> None:
    stamps = np.cumsum(np.random.default_rng(2).uniform(0.5, 1.5, 10_000))
    with h5py.File(tmp_path / "t.h5", "w") as file:
        times = SampleTimes("t", file.create_dataset("t", data=stamps))
        for time in (-1.0, *stamps[[0, 4095, 4096, 4097, 9999]], 3333.3, 1e6):
            assert times.find(time) == np.searchsorted(stamps, time), time
    regular = SampleTimes("r", None, 30.0, 2.0, 100)
    assert [regular.find(time) for time in (0, 2.0, 2.0 + 1 / 30, 2.01, 99)] == [0, 0, 1, 1, 100]


def test_times_are_not_held_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times_module, "BLOCK", 1 << 14)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        stamps = file.create_dataset("t", data=np.arange(1 << 19) / 1000.0)  # 4 MB
        tracemalloc.start()
        SampleTimes("t", stamps)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 1 << 20


def test_a_series_whose_clock_did_not_align_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace as Item

    sources = {"probe": {}, "camera": {"clock": "pc"}, "box": {}, "lost": {}}
    conversion = Item(
        step="convert",
        parameters={"sources": sources, "reference_clock": "probe", "clocks": {"pc": {}, "box": {}}},
        outputs=[Item(object_id=name, name=f"{name}: {name}") for name in sources],
    )
    dlc = Item(step="dlc", outputs=[Item(object_id="pose")], inputs=[Item(object_id="camera")])
    monkeypatch.setattr(clocks, "read_records", lambda file: [conversion, dlc])
    monkeypatch.setattr(clocks, "find_current_record", lambda records, step: records[0])
    alignment = Item(clock="pc", accepted=False, verdict="beyond tolerance")
    monkeypatch.setattr(clocks, "read_alignments", lambda file: [alignment])
    file: Any = None
    for name in ("probe", "box", "by hand"):
        clocks.check_clocks(file, {"/a": Item(object_id=name, parent=None)})
    nested = Item(object_id="inner", parent=Item(object_id="pose", parent=None))
    for item in (nested, Item(object_id="camera", parent=None)):
        with pytest.raises(InputError, match="clock 'pc' is not aligned") as caught:
            clocks.check_clocks(file, {"/fine": Item(object_id="probe", parent=None), "/a": item})
        assert "beyond tolerance" in str(caught.value)
    with pytest.raises(InputError, match="'lost' is not aligned"):
        clocks.check_clocks(file, {"/a": Item(object_id="lost", parent=None)})
    alignment.accepted = True
    clocks.check_clocks(file, {"/a": nested})
