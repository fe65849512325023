"""Pairs stay in their part and stretch; patches and numbers of units are those of the traces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nwbpipe.catalog import Catalog
from nwbpipe.errors import OverwriteError, RequestError, SpecError, UnknownNameError
from nwbpipe.export import ml
from nwbpipe.export.ml import MlDataset
from tests.export.ml_sessions import NAMES, declare, declare_trials

SHORT = {"window": 0.1, "bin": 0.1}


@pytest.fixture(scope="module")
def short(files: list[Path]) -> MlDataset:
    """Windows of one bin, as CEBRA takes them."""
    return ml.open_dataset(files[:2], declare(dataset=SHORT))


def test_pairs_in_time_are_close_and_of_one_stretch(short: MlDataset) -> None:
    for name in ("train", "valid", "test"):
        part = short.part(name)
        pairs = ml.draw_pairs(part, within=0.25)
        assert len(pairs) == len(part)  # the stretches are longer than a window
        assert (pairs[:, 0] != pairs[:, 1]).all()
        assert (pairs[:, 0] != pairs[:, 2]).all()
        windows = [[short.windows[part.numbers[row]] for row in rows] for rows in pairs]
        differences = np.array([positive.start - anchor.start for anchor, positive, _ in windows])
        assert set(np.round(np.abs(differences), 6)) == {0.1, 0.2}
        assert abs(differences.mean()) < 0.05
        for rows in windows:
            assert {window.part for window in rows} == {name}
            assert len({window.session for window in rows}) == 1
            stretches = [
                [item for item in short.stretches[window.session] if item.start - 1e-6 <= window.start < item.stop]
                for window in rows[:2]
            ]
            assert stretches[0] == stretches[1]


def test_pairs_by_a_target_have_like_values_wherever_they_are(short: MlDataset) -> None:
    part = short.part("train")
    pairs = ml.draw_pairs(part, by="speed", within=0.1, count=500, seed=3)
    speed = np.array([item["targets"]["speed"].mean() for item in part])
    assert pairs.shape == (500, 3)
    assert np.abs(speed[pairs[:, 0]] - speed[pairs[:, 1]]).max() <= 0.1 + 1e-6
    assert np.abs(speed[pairs[:, 0]] - speed[pairs[:, 2]]).mean() > 0.5
    starts = np.array([short.windows[number].start for number in part.numbers])
    assert np.abs(starts[pairs[:, 0]] - starts[pairs[:, 1]]).max() > 10
    np.testing.assert_array_equal(pairs, ml.draw_pairs(part, by="speed", within=0.1, count=500, seed=3))
    assert not np.array_equal(pairs, ml.draw_pairs(part, by="speed", within=0.1, count=500, seed=4))


def test_classes_are_like_themselves_alone(catalog: Catalog) -> None:
    part = ml.open_dataset(catalog, declare_trials()).part("train")
    pairs = ml.draw_pairs(part, by="choice", within=0)
    choice = np.array([item["targets"]["choice"] for item in part])
    assert np.array_equal(choice[pairs[:, 0]], choice[pairs[:, 1]])
    assert (choice[pairs[:, 0]] != choice[pairs[:, 2]]).any()


def test_pairs_come_in_batches_and_as_files(short: MlDataset, tmp_path: Path) -> None:
    part = short.part("train").of_session(NAMES[1])
    pairs = ml.PairDataset(part, ml.draw_pairs(part, within=0.2, count=8))
    batch = ml.collate_pairs([pairs[number] for number in range(8)])
    np.testing.assert_array_equal(batch["positive"]["inputs"]["spikes"][3], pairs[3]["positive"]["inputs"]["spikes"])
    files = ml.export_pairs(short, tmp_path / "pairs", "spikes", within=0.2)
    assert f"train/{NAMES[1]}.npz" in files
    with np.load(tmp_path / "pairs" / "train" / f"{NAMES[1]}.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["spikes"], part.stack("spikes")[:, 0])
        assert arrays["speed"].shape == (len(part), 1)
        assert np.abs(arrays["_start"][arrays["_anchor"]] - arrays["_start"][arrays["_positive"]]).max() < 0.201
    assert json.loads((tmp_path / "pairs" / "pairs.json").read_text())["dataset"] == short.digest
    with pytest.raises(OverwriteError):
        ml.export_pairs(short, tmp_path / "pairs", "spikes", within=0.2)


def test_wrong_pairs_are_refused(short: MlDataset, tmp_path: Path) -> None:
    part = short.part("train")
    for arguments in ({"within": -1.0}, {"within": 0.01}, {"within": float("nan")}):
        with pytest.raises(RequestError):
            ml.draw_pairs(part, **arguments)
    with pytest.raises(UnknownNameError, match="no such target"):
        ml.draw_pairs(part, within=1.0, by="pupil")
    with pytest.raises(UnknownNameError, match="no such input"):
        ml.export_pairs(short, tmp_path / "out", "pupil", within=1.0)
    with pytest.raises(RequestError, match="no two windows"):
        ml.export_pairs(short, tmp_path / "out", "spikes", within=0.01)
    assert not list(tmp_path.iterdir())


def test_patches_are_pieces_of_the_traces(files: list[Path]) -> None:
    stream = {"units": "units", "normalise": "zscore"}
    inputs = {"spikes": stream, "patches": {**stream, "form": "patches", "patch": 0.5}}
    dataset = ml.open_dataset(files[:2], declare(inputs=inputs))
    ml.assert_no_leakage(dataset)
    item = dataset[4]
    counts, patches = item["inputs"]["spikes"], item["inputs"]["patches"]
    units = counts.shape[1]
    assert patches["values"].shape == (2 * units, 5)
    for token in range(2 * units):
        first = round(float(patches["times"][token]) / 0.1)
        np.testing.assert_array_equal(patches["values"][token], counts[first : first + 5, patches["unit"][token]])
    batch = ml.collate([dataset.part("train").of_session(name)[0] for name in NAMES[:2]])
    sizes = batch["inputs"]["patches_mask"].sum(axis=1)
    assert sizes[0] != sizes[1]
    assert batch["inputs"]["patches_values"].shape == (2, sizes.max(), 5)


def test_patches_must_fit(files: list[Path]) -> None:
    for patch in (0.3, 0.25, None):
        stream = {"units": "units", "form": "patches", **({} if patch is None else {"patch": patch})}
        with pytest.raises(SpecError):
            ml.open_dataset(files[:1], declare(inputs={"spikes": stream}))


def test_units_of_two_sessions_share_no_number(catalog: Catalog) -> None:
    dataset = ml.open_dataset(catalog, declare_trials())
    numbers = dataset.number_units("spikes")
    trained = np.concatenate([numbers[name] for name in NAMES[:3]])
    assert sorted(trained.tolist()) == list(range(len(trained)))
    assert set(numbers[NAMES[3]].tolist()) == {-1}  # a session of the test part
    with pytest.raises(UnknownNameError):
        dataset.number_units("choice")
