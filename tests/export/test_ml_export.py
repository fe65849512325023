"""Exported data sets: the same as the sessions give, known by their content."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nwbpipe.catalog import Catalog
from nwbpipe.cli import main
from nwbpipe.errors import DamagedFileError, OverwriteError, RequestError, SpecError
from nwbpipe.export import ml
from nwbpipe.export.ml import MlDataset
from tests.export.ml_sessions import NAMES, ROOT, declare, declare_trials, example
from tests.export.sessions import RATE, write_arrays_session


@pytest.mark.parametrize(
    "declaration", [declare(), declare_trials(speed={"series": "speed"})], ids=["blocks", "trials"]
)
def test_an_exported_data_set_is_the_same(catalog: Catalog, tmp_path: Path, declaration: dict[str, Any]) -> None:
    opened = ml.export_dataset(catalog, declaration, tmp_path / "out")
    loaded = ml.load_dataset(tmp_path / "out")
    assert opened is not None
    ml.assert_no_leakage(loaded)
    assert (loaded.windows, loaded.digest, loaded.left_out) == (opened.windows, opened.digest, opened.left_out)
    for number in (0, 11, len(opened) - 1):
        expected, found = opened[number], loaded[number]
        for group in ("inputs", "targets"):
            for name, values in expected[group].items():
                np.testing.assert_equal(found[group][name], values)


def test_temporaldata_reads_the_files(catalog: Catalog, tmp_path: Path, blocks: MlDataset) -> None:
    from temporaldata import Data

    ml.export_dataset(catalog, declare(), tmp_path / "out")
    window = blocks.part("test").numbers[0]
    name, start = blocks.windows[window].session, blocks.windows[window].start
    with h5py.File(tmp_path / "out" / "sessions" / f"{name}.h5") as file:
        data = Data.from_hdf5(file)
        sliced = data.slice(start, start + 1.0)
        counts = np.bincount(sliced.spikes.unit_index, minlength=len(data.units.id))
        assert data.session.id == name
        assert data.units.id[0] == f"{name}/units/1"
        stretches = [s for s in blocks.stretches[name] if s.part == "test"]
        np.testing.assert_allclose(data.test.start, [s.start for s in stretches])
        assert sliced.speed.values.shape == (50, 1)
    np.testing.assert_array_equal(counts, blocks.read(blocks.windows[window], "spikes").sum(axis=0))


def test_a_session_that_changed_makes_it_stale(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.nwb"
    path.write_bytes(files[0].read_bytes())
    out = tmp_path / "out"
    assert ml.export_dataset([path], declare(), out) is not None
    assert ml.export_dataset([path], declare(), out) is None
    with h5py.File(path, "r+") as file:
        file["acquisition/speed/data"][3] = 7.0
    with pytest.raises(OverwriteError) as caught:
        ml.export_dataset([path], declare(), out)
    assert "sub-M1_ses-day1: /acquisition/speed changed" in str(caught.value)
    with pytest.raises(OverwriteError, match=r"the declaration has changed; sub-M1_ses-day2 is new"):
        ml.export_dataset([path, files[1]], declare(dataset={"window": 2.0}), out)


@pytest.mark.parametrize("name", [f"sessions/{NAMES[0]}.h5", "windows.parquet"])
def test_files_of_two_data_sets_in_one_folder_are_refused(files: list[Path], tmp_path: Path, name: str) -> None:
    for folder, seed in (("old", 0), ("new", 1)):
        ml.export_dataset(files[:1], declare(split={**declare()["split"], "seed": seed}), tmp_path / folder)
    shutil.copyfile(tmp_path / "old" / name, tmp_path / "new" / name)
    with pytest.raises(DamagedFileError, match="files of several data sets"):
        ml.load_dataset(tmp_path / "new")


def test_the_command_writes_a_data_set_with_its_card(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "dataset.toml"
    toml.write_text(
        'nwbpipe = 1\n[dataset]\nname = "speed"\nwindow = 1.0\nbin = 0.1\nlicence = "CC0-1.0"\n'
        '[inputs.spikes]\nunits = "units"\nwhere = "quality = \'good\'"\n[targets.speed]\nseries = "speed"\n'
        '[split]\nby = "subject"\ntrain = 0.4\nvalid = 0.3\ntest = 0.3\n'
    )
    words = ["export", "ml", *map(str, files), str(toml), "-o", str(tmp_path / "out")]
    for expected in ("windows of 4 sessions", "up to date"):
        with pytest.raises(SystemExit) as ending:
            main(words)
        assert (ending.value.code, expected in capsys.readouterr().out) == (0, True)
    card = (tmp_path / "out" / "CARD.md").read_text()
    assert "Licence: CC0-1.0" in card
    assert "| train |" in card
    facts = json.loads((tmp_path / "out" / "dataset.json").read_text())["card"]
    assert sum(part["sessions"] for part in facts["parts"].values()) == 4
    assert str(tmp_path) not in (tmp_path / "out" / "dataset.json").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": {"bin": 0.3}}, "not a whole number of bins"),
        ({"dataset": {"window": [0.0, 1.0]}}, "does not fit 'around'"),
        ({"inputs": {"spikes": {"units": "units", "series": "speed"}}}, "several sources"),
        ({"inputs": {"spikes": {}}}, "the data are not named"),
        ({"inputs": {"speed": {"series": "speed"}}}, "an input and a target have one name"),
        ({"inputs": {"wheel": {"series": "wheel", "form": "events"}}}, "has values, not times"),
        ({"inputs": {"train": {"units": "units"}}}, "used for something else"),
        ({"targets": {"choice": {"column": "trials.choice"}}}, "a value for each trial"),
        ({"split": {"by": "block"}}, "a length of blocks belongs"),
        ({"split": {"by": "block", "block": 2.0}}, "no window would fit"),
        ({"split": {"by": "subject", "train": 0.9}}, "are not 1 together"),
        ({"split": {"by": "subject", "assign": {"test": ["a"], "valid": ["a"]}}}, "assigned twice"),
    ],
)
def test_mistakes_in_a_declaration_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        ml.load_declaration(declare(**changes))
    assert message in str(caught.value)


def test_sessions_that_lack_a_series_are_left_out_with_the_reason(files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "bare.nwb"
    path.write_bytes(files[3].read_bytes())
    with h5py.File(path, "r+") as file:
        del file["acquisition/speed"]
    dataset = ml.open_dataset([*files[:2], path], declare())
    assert list(dataset.sessions) == NAMES[:2]
    assert "the file has no series 'speed'" in dataset.left_out["bare.nwb"]


def test_rois_that_meet_a_condition_are_the_columns_of_a_series(tmp_path: Path) -> None:
    path = write_arrays_session(tmp_path / "rois.nwb")
    section = {"window": 0.2, "sessions": "SELECT subject_id, session_id FROM sessions"}
    cells = {"cells": {"series": "Fluorescence.dff", "where": "id = 22"}}
    split = {"by": "block", "block": 0.6, "gap": 0.0}
    dataset = ml.open_dataset([path], declare(dataset=section, inputs=cells, targets={}, split=split))
    (session,) = dataset.sessions.values()
    assert session.data["cells"].labels == [f"{session.name}/Fluorescence.dff/22"]  # type: ignore[union-attr]
    window = dataset.windows[0]
    expected = 1000 + (window.start - 0.5) * RATE + np.array([4.5, 14.5])  # two bins of ten samples
    np.testing.assert_allclose(dataset.read(window, "cells")[:, 0], expected, atol=1)
    around = {"window": [-0.2, 0.2], "around": "trials.go_cue", "sessions": section["sessions"]}
    with pytest.raises(RequestError, match="2 windows: the window crosses a border"):  # and one is left, of three
        ml.open_dataset([path], declare(dataset=around, inputs=cells, targets={}, split=split))


def test_the_example_reaches_what_the_simulation_allows(tmp_path: Path) -> None:
    scores = example.main(tmp_path, seconds=120.0)
    assert all(example.is_right(*values) for values in scores.values()), scores


def test_the_declaration_in_the_documentation_is_valid() -> None:
    page = (ROOT / "docs" / "how-do-i-train-a-model.md").read_text(encoding="utf-8")
    declaration = ml.load_declaration(tomllib.loads(page.split("```toml")[1].split("```")[0]))
    assert declaration.dataset.stride == 0.5
