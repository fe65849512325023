"""Many subjects at once: a pasted table is checked line by line, and makes a file of each subject or none."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from nwbpipe.converters import summarize_spec
from nwbpipe.serve import _subject_table
from nwbpipe.serve._subject_table import read_table
from tests.serve.specs import SUBJECT, write_spec_project
from tests.serve.visitor import Visitor, read_text

HEAD = "subject_id\tSpecies\tsex\tage\tdate of birth\tdescription\n"
ROWS = HEAD + "M1\tMus musculus\tF\tP90D\t\tcalm: yes\r\n042\tMus musculus\tU\t\t2024-01-01T00:00:00+00:00\t# no\n"


@pytest.fixture
def lab(tmp_path: Path) -> Visitor:
    """A project in which two sessions are of the subject m1, whose file stands in the raw folder."""
    write_spec_project(tmp_path / "lab")
    return Visitor(tmp_path / "lab")


def list_files(lab: Visitor) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in lab.view.path.parent.rglob("*.yaml")}


def save(lab: Visitor, table: str) -> Any:
    """Save what was shown."""
    page = lab.post("/subjects", {"table": table}).text
    shown = re.search(r'name="shown" value="(\w+)"', page)
    assert shown, read_text(page)
    return lab.post("/subjects", {"table": table, "shown": shown[1], "action": "save"})


def test_a_right_table_makes_a_file_of_each_subject(lab: Visitor) -> None:
    before = list_files(lab)
    assert 'href="/subjects"' in lab.get("/").text
    page = read_text(lab.post("/subjects", {"table": ROWS}).text)
    assert "2 new files" in page
    assert "+ description: 'calm: yes'" in page.replace("+  ", "+ ")
    assert list_files(lab) == before  # only shown
    assert lab.post("/subjects", {"table": ROWS, "action": "save", "shown": "other"}).status_code == 200
    assert list_files(lab) == before
    answer = save(lab, ROWS)
    assert answer.headers["location"] == "/subjects?added=2"
    assert "2 added in raw" in read_text(lab.get("/subjects?added=2").text)
    raw = lab.view.path.parent / "raw"
    assert yaml.load((raw / "042.yaml").read_text(), yaml.BaseLoader)["subject"] == {
        "subject_id": "042", "species": "Mus musculus", "sex": "U", "date_of_birth": "2024-01-01T00:00:00+00:00",
        "description": "# no",
    }  # fmt: skip
    spec = raw / "a" / "session.yaml"
    spec.write_text(spec.read_text().replace("../m1.yaml", "../042.yaml"))
    assert summarize_spec(spec).subject_id == "042"


def test_files_come_where_those_of_the_other_subjects_are(lab: Visitor) -> None:
    raw = lab.view.path.parent / "raw"
    assert save(lab, ROWS).status_code == 303
    assert (raw / "M1.yaml").exists()  # beside m1.yaml, which the sessions extend
    for spec in raw.glob("*/session.yaml"):
        spec.write_text(spec.read_text().replace(", ../m1.yaml]", "]") + "subject:\n" + SUBJECT.partition("\n")[2])
    other = Visitor(lab.view.path.parent)
    assert save(other, ROWS.replace("M1", "M7")).status_code == 303
    assert (raw / "subjects" / "M7.yaml").exists()


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("", "The table is empty"),
        (HEAD, "no subject"),
        ("subject_id,species\nM1,Mus musculus\n", "Missing columns: sex"),
        ("subject_id,species,sex,mood\nM1,Mus musculus,F,good\n", "Unknown columns: mood. There are subject_id"),
        ("subject_id,species,sex,sex\nM1,Mus musculus,F,F\n", "there twice: sex"),
        ('subject_id,species,sex\n"M1,Mus musculus,F\n', "can't be read"),
        ("subject_id;species;sex\nM1;mouse;F\nM2;Mus musculus;F\n", "Latin binomial"),
        ("subject_id,species,sex\n../M1,Mus musculus,F\n", "subject_id"),
        ("subject_id,species,sex\n,Mus musculus,F\n", "subject_id"),
        ("subject_id,species,sex\nM1,Mus musculus,F,2\n", "the line has 4 cells, the head 3"),
        ("subject_id,species,sex\nM7,Mus musculus,F\nm7,Mus musculus,F\n", "m7 stands in line 2, too"),
        ("subject_id,species,sex\nm1,Mus musculus,M\n", "m1.yaml is there with another sex"),
        ("subject_id,species,sex,description\nM7,Mus musculus,F,a\x00b\n", "description"),
    ],
)  # fmt: skip
def test_one_mistake_and_nothing_is_written(lab: Visitor, table: str, text: str) -> None:
    before = list_files(lab)
    answer = lab.post("/subjects", {"table": table, "action": "save"})
    assert answer.status_code == 422
    assert text in read_text(answer.text)
    assert "nothing was written" in answer.text
    assert list_files(lab) == before


def test_subjects_that_are_there_stay_and_the_others_are_added(lab: Visitor) -> None:
    known = "subject_id,species,sex\nm1,Mus musculus,F\n"
    assert "All of these subjects are there already." in lab.post("/subjects", {"table": known}).text
    assert save(lab, known + "m2,Mus musculus,M\n").headers["location"] == "/subjects?added=1"
    raw = lab.view.path.parent / "raw"
    assert (raw / "m1.yaml").read_text() == SUBJECT
    assert (raw / "m2.yaml").exists()


def test_a_file_that_came_meanwhile_keeps_all_from_being_written(
    lab: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, create = lab.view.path.parent / "raw", _subject_table.create_atomically

    def overtaken(path: Path) -> Any:
        (raw / "M1.yaml").write_text("subject: {}\n")
        return create(path)

    table = ROWS.replace("042", "A42")  # its file is made first
    monkeypatch.setattr(_subject_table, "create_atomically", overtaken)
    refused = save(lab, table)
    assert refused.status_code == 409
    assert "M1.yaml was written meanwhile" in refused.text
    assert (raw / "M1.yaml").read_text() == "subject: {}\n"
    assert not (raw / "A42.yaml").exists()


def test_a_disk_that_is_full_takes_none(lab: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    before, synced, sync = list_files(lab), [], os.fsync

    def fill(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fill)
    refused = save(lab, ROWS)
    assert refused.status_code == 409
    assert "No space left on device: nothing was written" in read_text(refused.text)
    assert list_files(lab) == before


def test_no_folder_is_made_or_followed_where_none_can_be(lab: Visitor, tmp_path: Path) -> None:
    raw = lab.view.path.parent / "raw"
    for spec in raw.glob("*/session.yaml"):
        spec.write_text(spec.read_text().replace(", ../m1.yaml]", "]") + "subject:\n" + SUBJECT.partition("\n")[2])
    (raw / "subjects").write_text("a file")
    refused = save(Visitor(raw.parent), ROWS)
    assert (refused.status_code, "can't be made" in read_text(refused.text)) == (409, True)
    (raw / "subjects").unlink()
    (tmp_path / "elsewhere").mkdir()
    (raw / "subjects").symlink_to(tmp_path / "elsewhere")
    answer = Visitor(raw.parent).get("/subjects")
    assert (answer.status_code, "leads out of the project" in answer.text) == (400, True)


def test_a_project_that_can_not_take_subjects_says_so(lab: Visitor) -> None:
    path = lab.view.path
    text = path.read_text()
    for old, new, reason in [
        ("raw://**/session.yaml", "raw://**/*.yaml", "would take files of subjects for sessions"),
        ('raw = "raw"', 'raw = "s3://bucket/raw"', "only be added where the specs are on this machine"),
    ]:
        path.write_text(text.replace(old, new))
        answer = Visitor(path.parent).get("/subjects")
        assert answer.status_code == 400
        assert reason in read_text(answer.text)


def test_hostile_cells_are_text_and_a_form_of_ours_is_needed(lab: Visitor) -> None:
    hostile = "</textarea><script>alert(1)</script>"
    page = lab.post("/subjects", {"table": f"subject_id,species,sex\n{hostile},{hostile},F\n"}).text
    assert "<script>alert" not in page
    assert hostile in read_text(page)
    assert lab.ask("POST", "/subjects", data={"table": ROWS}).status_code == 400
    reader = Visitor(lab.view.path.parent, read_only=True)
    assert "/subjects" not in reader.get("/").text
    assert "<textarea" not in reader.get("/subjects").text
    assert reader.post("/subjects", {"table": ROWS}).status_code == 403


def test_many_subjects_are_refused_before_they_are_read() -> None:
    rows = "".join(f"M{number},Mus musculus,F\n" for number in range(501))
    table = read_table("subject_id,species,sex\n" + rows)
    assert "at most 500" in table.mistakes[0]
    assert table.rows == []
