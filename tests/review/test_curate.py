"""A person's labels: beside the tool's own, on the run whose ROIs they are, and never on another's."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from nwbinspector import Importance, inspect_nwbfile
from pynwb import NWBHDF5IO, validate

import nwbpipe
from nwbpipe.cli import main
from nwbpipe.errors import InputError, OverwriteError, RequestError, ResultExistsError, SourceError, UnknownNameError
from nwbpipe.processors import Context, processor
from nwbpipe.provenance import IdentityCache, add_record
from nwbpipe.review import _curate as curating
from nwbpipe.review import curate, read_curated_cells, read_labels
from nwbpipe.run._pending_run import PendingRun
from nwbpipe.session import SessionFile, carry_results
from tests.fixtures.s3 import Bucket
from tests.processors.imaging.session import write_session
from tests.processors.imaging.test_suite2p_load import FRAMES, NX, NY, write_folder

SEGMENTATION = "/processing/ophys/ImageSegmentation_suite2p/PlaneSegmentation_suite2p"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loaded")
    path = write_session(folder / "session.nwb", np.ones((FRAMES, NX, NY), np.int16), rate=10.0)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LOGS", "SCRATCH", "CACHE"):
            patch.setenv(f"NWBPIPE_{name}", str(folder / name.lower()))
        nwbpipe.load(path, "suite2p", write_folder(folder / "a" / "plane0"))
    return path


@pytest.fixture
def file(loaded: Path, tmp_path: Path, own_places: Path) -> Path:
    """Three ROIs; the tool says cell, cell, no cell."""
    return Path(shutil.copy2(loaded, tmp_path / "session.nwb"))


def test_labels_are_a_table_beside_the_tools(file: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("roi, label\n2, Cell\n0, dendrite\n")
    before = IdentityCache().identify(file, SEGMENTATION).identity
    record = curate(file, "suite2p", labels, who="Jane Doe")
    assert validate(path=str(file)) == []
    found = inspect_nwbfile(nwbfile_path=file, importance_threshold=Importance.BEST_PRACTICE_VIOLATION)
    assert [one.message for one in found if "Curation" in str(one.location)] == []
    assert IdentityCache().identify(file, SEGMENTATION).identity == before  # nothing that was made from it is stale
    run = next(one for one in nwbpipe.read_records(file) if one.step == "suite2p")
    with NWBHDF5IO(file, "r") as io:
        ophys = io.read().processing["ophys"]
        table = ophys["Curation_suite2p_curation"]
        segmentation = ophys["ImageSegmentation_suite2p"]["PlaneSegmentation_suite2p"]
        assert table["roi"].table is segmentation
        assert segmentation["iscell"].data[:].tolist() == [True, True, False]
        assert table["label"].data[:].tolist() == ["dendrite", "", "Cell"]
        assert table["curated_iscell"].data[:].tolist() == [True, True, True]
        assert table["curator"].data[:].tolist() == ["Jane Doe", "", "Jane Doe"]
        assert table["run_id"].data[:].tolist() == [run.run_id, "", run.run_id]
        assert table["curated_at"].data[0].startswith(f"{record.started:%Y-%m-%d}")
    assert record.parameters == {"who": "Jane Doe", "labels": {"0": "dendrite", "2": "Cell"}}
    assert record.sources[0]["path"] == "labels.csv"
    cells = read_curated_cells(file, "suite2p")
    assert cells is not None
    assert cells.tolist() == [True, True, True]


def test_an_edited_iscell_is_taken_whole(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "iscell.npy", np.array([[0, 0.9], [1, 0.2], [1, 0.1]]))
    with pytest.raises(SystemExit):
        main(["curate", str(file), "suite2p", str(tmp_path / "iscell.npy"), "--who", "Jane Doe"])
    assert "2 cell, 1 not cell" in capsys.readouterr().out
    cells = read_curated_cells(file, "suite2p")
    assert cells is not None
    assert cells.tolist() == [False, True, True]
    np.save(tmp_path / "iscell.npy", np.array([[0, 0.9], [1, 0.2]]))
    with pytest.raises(InputError, match="not of these ROIs"):
        curate(file, "suite2p", tmp_path / "iscell.npy", who="Jane Doe", replace=True)


def test_a_new_segmentation_does_not_inherit_labels(file: Path, tmp_path: Path) -> None:
    curate(file, "suite2p", {0: "not cell"}, who="Jane Doe")
    other = write_folder(tmp_path / "b" / "plane0", seed=1)
    before = file.read_bytes()
    with pytest.raises(ResultExistsError, match="refer to the results"):  # a person's work is not lost in silence
        nwbpipe.load(file, "suite2p", other, replace=True)
    with pytest.raises(ResultExistsError):
        nwbpipe.remove_step(file, "suite2p")
    assert file.read_bytes() == before
    assert nwbpipe.remove_step(file, "suite2p", cascade=True).steps == ("suite2p", "suite2p_curation")
    nwbpipe.load(file, "suite2p", other)
    assert read_curated_cells(file, "suite2p") is None
    with h5py.File(file) as opened:
        assert "Curation_suite2p_curation" not in opened["processing/ophys"]


def test_a_cascade_takes_no_labels_away(file: Path) -> None:
    curate(file, "suite2p", {0: "not cell"}, who="Jane Doe")
    before = file.read_bytes()
    job = PendingRun(
        method=processor("suite2p"), session=SessionFile.at(file), context=Context("suite2p", None, {}),
        descriptions={}, seed=0, key="key", may_replace=True, cascade=True,
    )  # fmt: skip
    with h5py.File(file, "r+") as opened, pytest.raises(ResultExistsError, match="refer to the results"):
        job.remove_replaced(opened, "new")
    assert file.read_bytes() == before


def test_labels_are_carried_over_with_their_rois_or_refuse_a_rebuild(file: Path, tmp_path: Path) -> None:
    curate(file, "suite2p", {0: "not cell"}, who="Jane Doe")
    run = next(one for one in nwbpipe.read_records(file) if one.step == "suite2p")
    conversion = replace(run, step="convert", processor="convert", run_id="c" * 32, inputs=(), outputs=())
    for name, value in (("same", 1), ("other", 2)):
        path = write_session(tmp_path / f"{name}.nwb", np.full((FRAMES, NX, NY), value, np.int16), rate=10.0)
        with nwbpipe.transaction(path) as nwbfile:
            add_record(nwbfile, conversion)
    assert carry_results(SessionFile.at(file), tmp_path / "same.nwb", conversion) == ["suite2p", "suite2p_curation"]
    assert validate(path=str(tmp_path / "same.nwb")) == []
    cells = read_curated_cells(tmp_path / "same.nwb", "suite2p")
    assert cells is not None
    assert cells.tolist() == [False, True, False]
    with pytest.raises(OverwriteError, match="a person's labels") as caught:
        carry_results(SessionFile.at(file), tmp_path / "other.nwb", conversion)
    assert "suite2p, suite2p_curation" in str(caught.value)


def test_labels_are_replaced_only_when_asked_and_follow_a_renamed_step(file: Path) -> None:
    curate(file, "suite2p", {0: "not cell"}, who="Jane Doe")
    with pytest.raises(ResultExistsError, match="labels already"):
        curate(file, "suite2p", {0: "cell"}, who="John Roe")
    curate(file, "suite2p", {1: "no"}, who="John Roe", replace=True)
    nwbpipe.rename_step(file, "suite2p", "lab")  # and labels follow
    nwbpipe.rename_step(file, "suite2p_curation", "lab_curation")
    cells = read_curated_cells(file, "lab")
    assert cells is not None
    assert cells.tolist() == [True, False, False]
    history = [one for one in nwbpipe.read_records(file) if one.processor == "curation"]
    assert [one.superseded for one in sorted(history, key=lambda one: one.started)] == [True, False]


def test_a_result_of_another_processor_is_not_replaced_by_labels(file: Path, tmp_path: Path) -> None:
    nwbpipe.load(file, "suite2p", write_folder(tmp_path / "a" / "plane0"), step="suite2p_curation")
    before = file.read_bytes()
    with pytest.raises(ResultExistsError, match="a result of the processor 'suite2p'"):
        curate(file, "suite2p", {0: "cell"}, who="Jane Doe", replace=True)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\n0,cell\n", "lacks the columns"),
        ("roi,label\nx,cell\n", "number of an ROI"),
        ("roi,label\n0,\n", "number of an ROI"),
        ("roi,label\n0,cell\n0,noise\n", "two labels"),
        ("", "lacks the columns"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(SourceError, match=message) as caught:
        read_labels(path)
    assert "labels.csv" in str(caught.value)


def test_a_bad_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([0.3, 1]))
    with pytest.raises(SourceError, match="other values than 0 and 1"):
        read_labels(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array([{"a": 1}]))
    with pytest.raises(SourceError, match="can't be read"):  # a pickle is not opened
        read_labels(tmp_path / "b.npy")


def test_labels_of_what_is_not_there_are_refused(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(InputError, match="not of these ROIs"):
        curate(file, "suite2p", {3: "cell"}, who="Jane Doe")
    with pytest.raises(UnknownNameError):
        curate(file, "caiman", {0: "cell"}, who="Jane Doe")
    with pytest.raises(InputError, match="name of the person"):
        curate(file, "suite2p", {0: "cell"}, who=" ")
    assert file.read_bytes() == before


def test_in_s3_labels_are_built_upon_a_commit_that_came_first(
    bucket: Bucket, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bucket.put(file)
    make, tries = curating._build_table, []

    def overtaken(*given: Any) -> Any:
        tries.append(given)
        if len(tries) == 1:
            with nwbpipe.transaction(url) as nwbfile:
                nwbfile.create_processing_module("ecephys", "Another writer was here first.")
        return make(*given)

    monkeypatch.setattr(curating, "_build_table", overtaken)
    curate(url, "suite2p", {0: "not cell"}, who="Jane Doe")
    assert len(tries) == 2
    with h5py.File(bucket.get(tmp_path / "down.nwb")) as opened:
        assert opened["processing/ophys/Curation_suite2p_curation/curated_iscell"][:].tolist() == [False, True, False]
        assert "ecephys" in opened["processing"]


def test_where_nothing_can_be_changed_labels_are_refused_at_once() -> None:
    with pytest.raises(RequestError, match="not supported"):
        curate("abfs://bucket/session.nwb", "suite2p", "labels that nobody looked for.csv", who="Jane Doe")
