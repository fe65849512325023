"""Data sets for machine learning: their parts share nothing, and they hold what the sessions hold."""

from __future__ import annotations

import copy
import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nwbpipe.catalog import Catalog
from nwbpipe.errors import LeakageError, RequestError
from nwbpipe.export import align, ml
from nwbpipe.export.ml import MlDataset, Window, _streams
from nwbpipe.export.ml._fit import Moments, Scale
from nwbpipe.export.ml._split import Stretch
from tests.export.ml_sessions import NAMES, SECONDS, declare, declare_trials, example


def change(dataset: MlDataset, **values: Any) -> MlDataset:
    """Return a copy of a data set, with other windows, stretches, sessions or fits."""
    changed = copy.copy(dataset)
    vars(changed).update(values)
    return changed


def open_by(catalog: Catalog, by: str, **split: Any) -> MlDataset:
    shares = {} if "assign" in split else {"train": 0.5, "valid": 0.25, "test": 0.25}
    inputs = {"spikes": {"units": "units", "normalise": "pooled_zscore"}}
    return ml.open_dataset(catalog, declare(split={"by": by, **shares, **split}, inputs=inputs))


# Splits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["subject", "session", "day"])
def test_what_belongs_together_is_in_one_part(catalog: Catalog, by: str) -> None:
    dataset = open_by(catalog, by)
    ml.assert_no_leakage(dataset)
    parts: dict[str, set[str]] = {}
    for window in dataset.windows:
        session = dataset.sessions[window.session]
        key = {"subject": session.subject, "session": session.name, "day": session.day}[by]
        parts.setdefault(key, set()).add(window.part)
    assert all(len(several) == 1 for several in parts.values())
    assert {part for several in parts.values() for part in several} == {"train", "valid", "test"}
    assert len(parts) == {"subject": 3, "session": 4, "day": 3}[by]


def test_parts_may_be_assigned_by_name(catalog: Catalog) -> None:
    dataset = open_by(catalog, "subject", assign={"test": ["M3"], "valid": ["M2"]})
    assert dataset.part("test").sessions == ["sub-M3_ses-day3"]
    assert dataset.part("train").sessions == ["sub-M1_ses-day1", "sub-M1_ses-day2"]
    with pytest.raises(RequestError, match="assigns a subject that the data set lacks"):
        open_by(catalog, "subject", assign={"test": ["M4"]})


def test_a_split_is_the_same_each_time_and_another_with_another_seed(catalog: Catalog) -> None:
    first, again, other = (open_by(catalog, "session", seed=seed).windows for seed in (0, 0, 5))
    assert first == again
    assert first != other


def test_blocks_have_windows_of_all_parts_in_each_session_and_gaps_between(blocks: MlDataset) -> None:
    ml.assert_no_leakage(blocks)
    for name in NAMES:
        ends: dict[str, list[float]] = {}
        for window in blocks.windows:
            if window.session == name:
                ends.setdefault(window.part, []).append(window.start)
        assert set(ends) == {"train", "valid", "test"}
        between = [
            abs(a - b) for part in ends for other in ends if part != other for a in ends[part] for b in ends[other]
        ]
        assert min(between) >= 2.0 - 1e-9  # a window and the gap


def test_a_split_with_an_empty_part_is_refused(files: list[Path], catalog: Catalog) -> None:
    sessions = {"sessions": "SELECT * FROM sessions WHERE subject_id IN ('M1', 'M2')"}
    with pytest.raises(RequestError, match="leaves a part empty"):
        ml.open_dataset(catalog, declare(split={"by": "subject"}, dataset=sessions, inputs={"s": {"units": "units"}}))
    with pytest.raises(RequestError, match="no session is long enough"):
        ml.open_dataset(catalog, declare(split={"by": "block", "block": 40.0}))


def test_neurons_of_a_session_without_training_are_not_normalised_by_themselves(catalog: Catalog) -> None:
    with pytest.raises(RequestError, match="a session has no training part"):
        ml.open_dataset(catalog, declare(split={"by": "subject", "train": 0.4, "valid": 0.3, "test": 0.3}))


# Leaks ------------------------------------------------------------------------------------------------------


def test_a_subject_in_two_parts_is_a_leak(catalog: Catalog) -> None:
    dataset = open_by(catalog, "subject", assign={"test": ["M3"]})
    windows = [dataclasses.replace(window) for window in dataset.windows]
    moved = next(number for number, window in enumerate(windows) if window.session == NAMES[0])
    windows[moved] = dataclasses.replace(windows[moved], part="test")
    with pytest.raises(LeakageError) as caught:
        ml.assert_no_leakage(change(dataset, windows=windows))
    assert "one subject is in several parts" in {problem.what for problem in caught.value.problems}


def test_a_window_over_a_border_is_a_leak(blocks: MlDataset) -> None:
    border = next(s for s in blocks.stretches[NAMES[0]] if s.part == "train")
    windows = [*blocks.windows, Window(NAMES[0], "train", border.stop - 0.5)]
    with pytest.raises(LeakageError) as caught:
        ml.assert_no_leakage(change(blocks, windows=windows))
    assert "it crosses a border" in {problem.found for problem in caught.value.problems}


def test_a_border_without_a_gap_is_a_leak(blocks: MlDataset) -> None:
    stretches = {**blocks.stretches, NAMES[0]: [Stretch("train", 0.0, 30.0), Stretch("test", 30.0, 60.0)]}
    windows = [w for w in blocks.windows if w.session != NAMES[0]]
    windows += [Window(NAMES[0], "train", 29.0), Window(NAMES[0], "test", 30.0)]
    with pytest.raises(LeakageError) as caught:
        ml.assert_no_leakage(change(blocks, windows=windows, stretches=stretches))
    assert "windows of two parts are too near" in {problem.what for problem in caught.value.problems}


def test_stretches_that_overlap_are_a_leak(blocks: MlDataset) -> None:
    first, *others = blocks.stretches[NAMES[0]]
    longer = dataclasses.replace(first, stop=others[0].start + 0.5)  # no window fits into both
    with pytest.raises(LeakageError) as caught:
        ml.assert_no_leakage(change(blocks, stretches={**blocks.stretches, NAMES[0]: [longer, *others]}))
    assert {problem.what for problem in caught.value.problems} == {"two stretches overlap"}


def test_a_copy_of_a_session_in_another_part_is_a_leak(catalog: Catalog) -> None:
    dataset = open_by(catalog, "session", assign={"test": ["M3/day3"]})
    copied = dataclasses.replace(dataset.sessions[NAMES[3]], identities=dataset.sessions[NAMES[0]].identities)
    with pytest.raises(LeakageError) as caught:
        ml.assert_no_leakage(change(dataset, sessions={**dataset.sessions, NAMES[3]: copied}))
    assert {problem.what for problem in caught.value.problems} == {"two sessions hold the same data"}


def test_a_mean_of_all_windows_is_a_leak(blocks: MlDataset) -> None:
    everything = change(blocks, windows=[dataclasses.replace(window, part="train") for window in blocks.windows])
    with pytest.raises(LeakageError) as caught:
        ml.assert_no_leakage(change(blocks, fits=everything.fit()))
    assert {problem.what for problem in caught.value.problems} == {
        "mean and deviation are not those of the training windows"
    }


def test_a_vocabulary_of_all_windows_is_a_leak(catalog: Catalog) -> None:
    dataset = open_by(catalog, "session", assign={"test": ["M3/day3"]})
    fits = dataclasses.replace(dataset.fits, units=[*dataset.fits.units, "sub-M3_ses-day3/units/1"])
    with pytest.raises(LeakageError, match=r"units are not in the training part"):
        ml.assert_no_leakage(change(dataset, fits=fits))
    trials = ml.open_dataset(catalog, declare_trials())
    fits = dataclasses.replace(trials.fits, classes={"choice": ["left", "right", "up"]})
    with pytest.raises(LeakageError, match=r"classes are not in the training part"):
        ml.assert_no_leakage(change(trials, fits=fits))


# Values -----------------------------------------------------------------------------------------------------


def test_counts_and_series_are_those_of_the_session(files: list[Path], blocks: MlDataset) -> None:
    window = blocks.windows[7]
    with h5py.File(files[NAMES.index(window.session)]) as file:
        ends = file["units/spike_times_index"][()]
        times = np.split(file["units/spike_times"][()], ends[:-1])
        good = [n for n, quality in enumerate(file["units/quality"].asstr()) if quality == "good"]
        speed = file["acquisition/speed/data"][()]
    edges = window.start + blocks.edges
    expected = np.array([np.histogram(times[unit], edges)[0] for unit in good]).T
    item = blocks[7]
    scale = blocks.fits.find_scale("spikes", window.session)
    assert isinstance(scale, Scale)
    np.testing.assert_array_equal(blocks.read(window, "spikes"), expected)
    np.testing.assert_allclose(item["inputs"]["spikes"], (expected - scale.mean) / scale.deviation, rtol=1e-5)
    first = round(window.start * example.RATE)
    means = speed[first : first + 50].reshape(10, 5).mean(axis=1)
    np.testing.assert_allclose(item["targets"]["speed"][:, 0], means, rtol=1e-5)


def test_training_windows_have_the_mean_0_and_the_deviation_1(blocks: MlDataset) -> None:
    for name in NAMES:
        values = blocks.part("train").of_session(name).stack("spikes")
        values = values.reshape(-1, values.shape[-1])
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(values.std(axis=0), 1, atol=1e-5)


def test_trials_have_tokens_and_classes(catalog: Catalog) -> None:
    dataset = ml.open_dataset(catalog, declare_trials())
    ml.assert_no_leakage(dataset)
    item = dataset[3]
    window = dataset.windows[3]
    assert window.start == pytest.approx(10.5 - 0.4)  # the fourth trial
    assert item["targets"]["start"] == pytest.approx(10.0)
    assert dataset.fits.classes == {"choice": ["left", "right"]}
    assert item["targets"]["choice"] in (0, 1)
    tokens = item["inputs"]["spikes"]
    times, units = dataset.sessions[window.session].data["spikes"].merged  # type: ignore[union-attr]
    inside = (times >= window.start) & (times < window.start + 1.5)
    np.testing.assert_allclose(tokens["times"], times[inside] - window.start)
    np.testing.assert_array_equal(tokens["unit"], units[inside])


def test_types_of_events_have_the_same_columns_in_all_sessions(tmp_path: Path) -> None:
    """One session has licks and rewards, one rewards alone."""
    from pynwb import NWBHDF5IO
    from pynwb.event import EventsTable

    paths = []
    for number, kinds in enumerate((["lick", "reward"], ["reward"])):
        path = example.simulate_session(tmp_path / f"{number}.nwb", f"E{number}", 1, SECONDS, units=2)
        with NWBHDF5IO(path, "a") as io:
            nwbfile = io.read()
            events = EventsTable(name="events", description="d")
            events.add_column(name="event_type", description="d")
            for time in np.arange(0.5, SECONDS, 1.0):
                for kind in kinds:
                    events.add_row(timestamp=time, event_type=kind)
            nwbfile.add_events_table(events)
            io.write(nwbfile)
        paths.append(path)
    dataset = ml.open_dataset(paths, declare(inputs={"happened": {"events": "events"}}))
    for session, expected in (("sub-E0_ses-day1", [1, 1]), ("sub-E1_ses-day1", [0, 1])):
        item = dataset.part("train").of_session(session)[0]
        assert item["inputs"]["happened"].sum(axis=0).tolist() == expected
    assert dataset.fits.units == []
    loaded = ml.export_dataset(paths, declare(inputs={"happened": {"events": "events"}}), tmp_path / "out")
    assert loaded is not None
    np.testing.assert_array_equal(
        ml.load_dataset(tmp_path / "out")[0]["inputs"]["happened"], loaded[0]["inputs"]["happened"]
    )


def test_series_of_other_columns_are_not_mixed(files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "wide.nwb"
    path.write_bytes(files[3].read_bytes())
    with h5py.File(path, "r+") as file:
        speed = file["acquisition/speed"]
        attributes, values = dict(speed["data"].attrs), speed["data"][()]
        del speed["data"]
        speed.create_dataset("data", data=np.stack([values, values], axis=1)).attrs.update(attributes)
        speed.attrs["neurodata_type"] = "SpatialSeries"
        speed.attrs["namespace"] = "core"
    with pytest.raises(RequestError, match="the columns of speed differ between sessions"):
        ml.open_dataset([files[0], path], declare())


def test_series_too_large_for_the_memory_are_read_window_by_window(
    catalog: Catalog, blocks: MlDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = _streams._Budget(0)
    monkeypatch.setattr(_streams, "_BUDGET", budget)
    dataset = ml.open_dataset(catalog, declare())
    assert dataset.sessions[NAMES[0]].data["speed"]._values is None  # type: ignore[union-attr]
    np.testing.assert_array_equal(dataset[5]["targets"]["speed"], blocks[5]["targets"]["speed"])


def test_time_without_any_spike_at_the_ends_is_not_taken_for_silence(files: list[Path], tmp_path: Path) -> None:
    """The probe stops before the wheel does, and nothing says so: the table has no obs_intervals."""
    path = tmp_path / "stopped.nwb"
    path.write_bytes(files[0].read_bytes())
    with h5py.File(path, "r+") as file:
        del file["units/obs_intervals"], file["units/obs_intervals_index"]
        times = file["units/spike_times"][()]
        file["units/spike_times"][:] = times * 0.5 + 5.0  # from 5 to 35 s
    for inputs in ({"units": "units"}, {"units": "units", "form": "events"}):
        dataset = ml.open_dataset([path], declare(inputs={"spikes": inputs}))
        starts = [window.start for window in dataset.windows]
        assert 5.0 <= min(starts) < 6.0
        assert 32.0 < max(starts) <= 34.0


def test_windows_without_values_are_left_out_and_counted(files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "gap.nwb"
    path.write_bytes(files[0].read_bytes())
    with h5py.File(path, "r+") as file:
        file["acquisition/speed/data"][500:600] = np.nan
        file["intervals/trials/go_cue"][2] = np.nan
        del file["units/obs_intervals"], file["units/obs_intervals_index"]
    dataset = ml.open_dataset([path], declare())
    assert dataset.dropped == {"speed: values are missing": 2}
    trials = ml.open_dataset([path, *files[1:]], declare_trials())
    assert trials.dropped["the trial has no time"] == 1
    kept = ml.open_dataset([path], declare(targets={"speed": {"series": "speed", "missing": "keep"}}))
    assert len(kept) == len(dataset) + 2


def test_windows_in_which_a_unit_was_not_observed_have_no_times_either(files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "paused.nwb"
    path.write_bytes(files[0].read_bytes())
    with h5py.File(path, "r+") as file:
        file["units/obs_intervals"][1] = (0.0, 50.0)
    events = {"spikes": {"units": "units", "form": "events"}}
    dataset = ml.open_dataset([path], declare(inputs=events))
    assert max(window.start for window in dataset.windows) <= 49.0
    assert dataset.dropped["spikes: values are missing"] > 5
    kept = ml.open_dataset([path], declare(inputs={"spikes": {**events["spikes"], "missing": "keep"}}))
    assert len(kept) == len(dataset) + dataset.dropped["spikes: values are missing"]


def test_currents_in_amperes_are_normalised_and_their_leaks_are_seen(files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "small.nwb"
    path.write_bytes(files[0].read_bytes())
    with h5py.File(path, "r+") as file:
        file["acquisition/speed/data"].attrs["conversion"] = 1e-13
    dataset = ml.open_dataset([path], declare(targets={"speed": {"series": "speed", "normalise": "zscore"}}))
    assert dataset.part("train").stack("speed").std() == pytest.approx(1, abs=1e-4)
    ml.assert_no_leakage(dataset)
    everything = change(dataset, windows=[dataclasses.replace(window, part="train") for window in dataset.windows])
    fits = dataclasses.replace(
        dataset.fits, scales={**dataset.fits.scales, ("speed", ""): everything.fit().scales["speed", ""]}
    )
    with pytest.raises(LeakageError, match="mean and deviation"):
        ml.assert_no_leakage(change(dataset, fits=fits))


def test_a_column_that_does_not_change_keeps_its_deviation() -> None:
    moments = Moments(pooled=False)
    for _ in range(3):
        rising = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, np.nan])
        moments.add(np.column_stack([np.full(7, 0.1), np.full(7, 1e6 / 3), np.zeros(7), rising]))
    np.testing.assert_allclose(moments.scale().deviation, np.array([1.0, 1.0, 1.0, np.nanstd(rising)]))


def test_a_heading_is_averaged_over_the_end_of_a_turn(files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "turning.nwb"
    path.write_bytes(files[0].read_bytes())
    with h5py.File(path, "r+") as file:
        data = file["acquisition/speed/data"]
        data.attrs["unit"] = "degrees"
        data[:] = np.mod(90.0 * np.arange(len(data)) / example.RATE, 360.0)  # a turn in 4 s
    for method in ("mean", "linear"):
        dataset = ml.open_dataset([path], declare(targets={"heading": {"series": "speed", "method": method}}))
        aligned = align(path, around="trials.go_cue", window=(-0.4, 1.1), bin=0.1, series=["speed"], method=method)
        late = 0.01 if method == "mean" else 0.0  # the mean of five samples lies half a sample before the middle
        for window in dataset.windows:
            found = dataset.read(window, "heading")[:, 0]
            true = 90.0 * (window.start + dataset.edges[:-1] + 0.05 - late)
            np.testing.assert_allclose(np.mod(found - true + 180, 360), 180, atol=1e-2)
        true = 90.0 * (aligned.alignment_time.values[:, None] + aligned.time.values - late)
        np.testing.assert_allclose(np.mod(aligned.speed.values - true + 180, 360), 180, atol=1e-2)


def test_a_column_of_trials_is_of_one_kind_in_all_sessions(files: list[Path], tmp_path: Path) -> None:
    """Whole numbers in one session; in the other one is missing, so that the column has fractions."""
    paths = []
    for number, values in enumerate(([1, 2], [1.0, np.nan])):
        path = tmp_path / f"{number}.nwb"
        path.write_bytes(files[number].read_bytes())
        with h5py.File(path, "r+") as file:
            old = file["intervals/trials/choice"]
            attributes, count = dict(old.attrs), len(old)
            del file["intervals/trials/choice"]
            column = np.resize(np.array(values), count)
            file["intervals/trials"].create_dataset("choice", data=column).attrs.update(attributes)
        paths.append(path)
    split = {"by": "session", "assign": {"test": ["M1/day2"]}}
    dataset = ml.open_dataset(paths, {**declare_trials(), "split": split})
    assert dataset.fits.classes == {}
    for part, expected in (("train", {1.0, 2.0}), ("test", {1.0})):
        assert set(dataset.part(part).stack("choice").ravel().tolist()) == expected
    with pytest.raises(RequestError, match="holds texts in a session and numbers in another"):
        ml.open_dataset([files[0], paths[1]], {**declare_trials(), "split": split})


def test_batches_of_several_populations_are_filled_up(catalog: Catalog) -> None:
    dataset = ml.open_dataset(catalog, declare_trials(counts={"units": "units"}))
    ends = [dataset[0], dataset[len(dataset) - 1]]
    batch = ml.collate(ends)
    assert batch["inputs"]["counts"].shape == (2, 15, 8)
    assert batch["inputs"]["counts_mask"].sum(axis=1).tolist() == [6, 8]
    assert not batch["inputs"]["counts"][0, :, 6:].any()
    np.testing.assert_array_equal(batch["inputs"]["counts"][0, :, :6], ends[0]["inputs"]["counts"])
    assert batch["inputs"]["spikes_mask"].sum(axis=1).tolist() == [len(i["inputs"]["spikes"]["times"]) for i in ends]
    assert batch["targets"]["choice"].shape == (2,)


def test_samplers_stay_in_their_part(blocks: MlDataset) -> None:
    part = blocks.part("valid")
    sampler = ml.WindowSampler(part, by_session=True, seed=1)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(len(part)))
    assert first != second
    sessions = [part[number]["session"] for number in first]
    assert sum(a != b for a, b in pairwise(sessions)) == len(NAMES) - 1
    assert {part[number]["part"] for number in first} == {"valid"}
