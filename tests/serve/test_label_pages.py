"""Labels of ROIs and units in the browser: what `nwbpipe curate` does, unless somebody was faster."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe.errors import InputError
from nwbpipe.review import curate, list_label_steps, read_curated_cells, read_label_table
from nwbpipe.serve import _label_pages
from nwbpipe.session import SessionFile
from tests.processors.ephys import recording as rec
from tests.processors.ephys.phy_folder import write_phy
from tests.processors.imaging.session import write_session
from tests.processors.imaging.test_suite2p_load import FRAMES, NX, NY, write_folder
from tests.serve.visitor import Visitor, read_text

PROJECT = 'nwbpipe = 1\n[project]\nname = "lab"\nsessions = "nwb://*.nwb"\n[stores]\nnwb = "nwb"\nstate = "state"\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of two sessions: three ROIs of suite2p, and four units of `sort`."""
    folder = tmp_path_factory.mktemp("labels") / "lab"
    (folder / "nwb").mkdir(parents=True)
    (folder / "nwbpipe.toml").write_text(PROJECT)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LOGS", "SCRATCH", "CACHE"):
            patch.setenv(f"NWBPIPE_{name}", str(folder.parent / name.lower()))
        path = write_session(folder / "nwb" / "rois.nwb", np.ones((FRAMES, NX, NY), np.int16), rate=10.0)
        nwbpipe.load(path, "suite2p", write_folder(folder.parent / "a" / "plane0"))
        with h5py.File(path, "r+") as file:
            file["general/session_id"][()] = "b"
        path = rec.write_session(folder / "nwb" / "units.nwb", np.ones((50_000, 4), "int16"), places=rec.column(4))
        nwbpipe.load(path, "spikesorting", write_phy(folder.parent / "phy"), step="sort")
    return folder


class Labeller(Visitor):
    """Fill in the form of a step's labels."""

    def __init__(self, made: Path, folder: Path, file: str, step: str, **options: Any) -> None:
        super().__init__(shutil.copytree(made, folder), **options)
        self.file, self.step = folder / "nwb" / file, step
        snapshot = self.view.refresh()
        assert not snapshot.problems
        key = next(row.key for row in snapshot.rows if row.session and Path(row.session.file).name == file)
        self.session = f"/session/{key}"
        self.form = f"{self.session}/labels/{step}"

    def send(self, action: str = "check", *, seen: str | None = None, who: str = "Ada", **labels: str) -> Any:
        """Send labels by row: ``row_0="cell"``."""
        seen = self.read().state if seen is None else seen
        fields = {name.replace("row_", "label."): text for name, text in labels.items()}
        return self.post(self.form, {"seen": seen, "who": who, "action": action, **fields})

    def read(self) -> Any:
        return SessionFile.at(self.file).read(lambda reader: read_label_table(reader, self.step))


@pytest.fixture
def rois(made: Path, tmp_path: Path, own_places: Path) -> Labeller:
    return Labeller(made, tmp_path / "lab", "rois.nwb", "suite2p")


def test_labels_of_rois_are_shown_and_written_as_curate_does(rois: Labeller) -> None:
    assert SessionFile.at(rois.file).read(list_label_steps) == {"suite2p": "roi"}
    assert f'href="{rois.form}"' in rois.get(rois.session).text
    page = rois.get(rois.form).text
    assert len(re.findall(r'<select name="label\.\d"', page)) == 3
    assert "by the tool label 0 " in read_text(page)
    before = rois.file.read_bytes()
    difference = rois.send(row_0="not cell", row_1="", row_2="cell")
    assert difference.status_code == 200
    assert "2 of 3 ROIs" in read_text(difference.text)
    assert "0 none not cell" in read_text(difference.text)
    assert rois.file.read_bytes() == before  # only shown
    assert rois.send("save", row_0="not cell", row_2="cell").headers["location"] == f"{rois.session}?saved=labels"
    cells = read_curated_cells(rois.file, "suite2p")
    assert cells is not None
    assert cells.tolist() == [False, True, True]
    table = rois.read()
    assert (table.curator, table.labels) == ("Ada", {"0": "not cell", "2": "cell"})
    assert "The labels are saved" in rois.get(f"{rois.session}?saved=labels").text
    assert rois.send("save", who="Bea", row_2="").status_code == 303  # of a form with this row alone
    assert rois.read().labels == {"0": "not cell"}
    assert nwbpipe.check(rois.file, rehash=True).findings == ()


def test_labels_of_units_and_what_a_table_can_not_say(made: Path, tmp_path: Path, own_places: Path) -> None:
    units = Labeller(made, tmp_path / "lab", "units.nwb", "sort")
    assert [row.name for row in units.read().rows] == ["0", "1", "2", "5"]
    assert units.send("save", row_0="good", row_3="noise").status_code == 303
    assert units.read().labels == {"0": "good", "5": "noise"}
    (tmp_path / "curation.json").write_text(
        '{"format_version": "2", "unit_ids": [0, 1, 2, 5], "merges": [{"unit_ids": [0, 2]}]}'
    )
    curate(units.file, "sort", tmp_path / "curation.json", who="Ada", replace=True)
    assert "holds merges" in units.get(units.form).text
    before = units.file.read_bytes()
    assert units.send("save", row_1="good").status_code == 422
    assert units.file.read_bytes() == before


def test_the_second_one_is_told_and_nothing_is_lost(rois: Labeller, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = rois.read().state
    curate(rois.file, "suite2p", {1: "dendrite"}, who="Bea")
    before = rois.file.read_bytes()
    for action in ("check", "save"):
        refused = rois.send(action, seen=seen, row_0="cell")
        assert refused.status_code == 409
        assert "have changed since" in refused.text
        assert "dendrite" in refused.text  # what is there now
    with pytest.raises(InputError, match="have changed since they were shown"):
        curate(rois.file, "suite2p", {0: "cell"}, who="Ada", replace=True, seen=seen)
    table, read = rois.read(), _label_pages.read_label_table

    def overtaken(reader: Any, step: str) -> Any:
        return type(table)(**{**vars(read(reader, step)), "state": seen})

    monkeypatch.setattr(_label_pages, "read_label_table", overtaken)  # between the look and the commit
    assert rois.send("save", seen=seen, row_0="cell").status_code == 409
    assert rois.file.read_bytes() == before


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"who": " ", "row_0": "cell"}, 422, "need the name of the person"),
        ({"row_0": "a\nb"}, 422, "in one line"),
        ({"who": "x" * 81, "row_0": "cell"}, 422, "at most 80 letters"),
        ({"row_0": ""}, 200, "Nothing has changed."),
        ({"row_7": "cell"}, 200, "Nothing has changed."),
    ],
)
def test_what_is_wrong_writes_nothing(rois: Labeller, fields: dict[str, str], status: int, text: str) -> None:
    before = rois.file.read_bytes()
    answer = rois.send("save", **fields)
    assert (answer.status_code, text in answer.text) == (status, True)
    assert rois.file.read_bytes() == before


def test_hostile_labels_are_text_and_a_form_of_ours_is_needed(rois: Labeller) -> None:
    hostile = "<script>alert(1)</script>\"'"
    assert rois.send("save", who=hostile, row_0=hostile).status_code == 303
    page = rois.get(rois.form).text
    assert "<script>alert" not in page
    assert hostile in read_text(page)
    assert rois.ask("POST", rois.form, data={"action": "save"}).status_code == 400
    assert rois.get(f"{rois.session}/labels/convert").status_code == 400
    assert rois.get("/session/nobody/s/labels/suite2p").status_code == 404


def test_read_only_labels_nothing(made: Path, tmp_path: Path, own_places: Path) -> None:
    reader = Labeller(made, tmp_path / "lab", "rois.nwb", "suite2p", read_only=True)
    assert "/labels/" not in reader.get(reader.session).text
    assert "<select" not in reader.get(reader.form).text
    assert reader.send("save", row_0="cell").status_code == 403


def test_many_rows_come_in_pages_and_those_of_others_stay(rois: Labeller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_label_pages, "LENGTH", 2)
    rois.send("save", row_0="cell")
    page = rois.get(f"{rois.form}?page=2").text
    assert re.findall(r'<select name="label\.(\d)"', page) == ["2"]
    assert "page 2 of 2" in page
    assert rois.send("save", row_2="dendrite").status_code == 303
    assert rois.read().labels == {"0": "cell", "2": "dendrite"}
