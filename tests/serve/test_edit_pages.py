"""The form of a session: what it shows, refuses and writes."""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from typing import Any

import pytest

from nwbpipe.serve import _spec_edit
from tests.serve.specs import LAB, SPEC, SUBJECT, write_spec_project
from tests.serve.visitor import Visitor, read_text

_INPUT = re.compile(r"<(input|textarea|select)\b([^>]*)>(.*?)(?=<(?:input|textarea|select|/form)\b)", re.DOTALL)
EDIT = "/session/m1/s1/edit"


class Writer(Visitor):
    """Fill in the form of the first session, and send it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.spec = write_spec_project(folder)
        super().__init__(folder, **options)
        self.form = read_form(self.get(EDIT).text) if not options else {}

    def send(self, action: str = "check", **changes: str) -> Any:
        """Send the form with some fields changed: `subject__sex` is ``subject.sex``."""
        fields = {name.replace("__", "."): text for name, text in changes.items()}
        return self.post(EDIT, {**self.form, **fields, "action": action})

    def save(self, **changes: str) -> Any:
        """Save what was shown as the difference."""
        page = self.send(**changes).text
        assert "the difference" in page, read_text(page)
        return self.post(EDIT, {**read_form(page), "action": "save"})


def read_form(page: str) -> dict[str, str]:
    """Return what a browser would send of a form."""
    values = {}
    for tag, attributes, rest in _INPUT.findall(page):
        name = re.search(r'name="([^"]*)"', attributes)
        if not name or " disabled" in attributes or 'type="checkbox"' in attributes:
            continue
        if tag == "input":
            value = re.search(r'value="([^"]*)"', attributes)
            text = value[1] if value else ""
        elif tag == "textarea":
            text = rest.partition("</textarea>")[0].removeprefix("\n").replace("\n", "\r\n")
        else:
            chosen = re.search(r'<option value="([^"]*)" selected', rest)
            text = chosen[1] if chosen else ""
        values[html.unescape(name[1])] = html.unescape(text)
    values.pop("csrf", None)
    return values


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "lab")


def test_the_form_shows_what_the_spec_says_and_sends_it_back_unchanged(writer: Writer) -> None:
    assert writer.form["subject.species"] == "Mus musculus"
    assert writer.form["subject.surgeries.1.procedure"] == "implantation"
    assert writer.form["session.notes.0.text"] == "calm"
    assert writer.form["session.lab"] == "Lab X"
    assert writer.form["devices.0.description"] == "A microscope."
    assert "subject.subject_id" not in writer.form  # it can't be changed here
    assert "Nothing has changed." in writer.send().text


def test_a_right_entry_changes_the_file_where_the_value_stands(writer: Writer) -> None:
    raw = writer.spec.parents[1]
    difference = writer.send(subject__sex="M", session__institution="Institute: Y", session__lab="Lab Z")
    text = read_text(difference.text)
    assert "- sex: F + sex: M" in text.replace("  ", " ")
    assert "1 other session extends this file" in text
    assert (raw / "m1.yaml").read_text() == SUBJECT  # only shown
    saved = writer.save(subject__sex="M", session__institution="Institute: Y", session__lab="Lab Z")
    assert saved.status_code == 303
    assert saved.headers["location"] == "/session/m1/s1?saved=1"
    assert (raw / "m1.yaml").read_text() == SUBJECT.replace("sex: F", "sex: M")
    assert (raw / "lab.yaml").read_text() == LAB.replace("Lab X", "Lab Z")
    line = "  session_description: A session.\n"
    assert writer.spec.read_text() == SPEC.replace(line, f"{line}  institution: 'Institute: Y'\n")
    assert read_text(writer.get("/session/m1/s1?saved=1").text).count("Saved.") == 1


def test_entries_are_added_changed_and_removed_one_by_one(writer: Writer) -> None:
    file = writer.spec.parents[1] / "m1.yaml"
    writer.save(
        subject__surgeries__0__surgeon="Doe, J",
        **{"subject__surgeries__1__@remove": "yes"},
        subject__surgeries__2__procedure="perfusion",
        subject__surgeries__2__date="2024-06-01",
    )
    assert file.read_text() == SUBJECT.replace(
        "    date: 2024-04-01\n", "    date: 2024-04-01\n    surgeon: Doe, J\n"
    ).replace("procedure: implantation\n    date: 2024-04-08", "procedure: perfusion\n    date: 2024-06-01")


def test_devices_and_implants_are_entered_together(writer: Writer) -> None:
    writer.save(
        subject__implants__0__name="window", subject__implants__0__kind="cranial window",
        subject__implants__0__location="V1", subject__implants__0__device="ring",
        **{"devices__1__@name": "ring"}, devices__1__description="A ring.",
    )  # fmt: skip
    raw = writer.spec.parents[1]
    assert "ring:\n    description: A ring.\n" in (raw / "lab.yaml").read_text()
    assert "implants:\n  - name: window\n" in (raw / "m1.yaml").read_text()


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"subject__species": "mouse"}, "subject.species", "Latin binomial"),
        ({"subject__species": ""}, "subject.species", "is missing"),
        ({"subject__surgeries__1__date": "1.4.2024"}, "subject.surgeries.1.date", "2024-04-01"),
        (
            {"subject__surgeries__0__@remove": "yes", "subject__surgeries__1__date": "1.4.2024"},
            "subject.surgeries.1.date",
            "2024-04-01",
        ),
        ({"subject__injections__0__location": "V1"}, "subject.injections.0.substance", "is missing"),
        ({"session__session_start_time": "2024-05-01 10:00"}, "session.session_start_time", "time zone"),
        ({"devices__0__description": ""}, "devices.0.description", "is missing"),
    ],
)
def test_a_mistake_is_told_beside_its_field_and_nothing_is_written(
    writer: Writer, changes: dict[str, str], field: str, text: str
) -> None:
    before = {path: path.read_bytes() for path in writer.spec.parents[1].rglob("*.yaml")}
    answer = writer.send("save", **changes)
    assert answer.status_code == 422
    beside = re.search(rf'<p class="mistake" id="{re.escape(field)}-mistake-1">([^<]*)</p>', answer.text)
    assert beside is not None
    assert text in html.unescape(beside[1])
    assert f'aria-describedby="{field}-mistake-1"' in answer.text
    assert read_form(answer.text)["digest"] == writer.form["digest"]
    assert {path: path.read_bytes() for path in before} == before


def test_a_mistake_of_the_whole_entry_or_spec_is_told(writer: Writer) -> None:
    whole = writer.send(
        subject__injections__0__substance="AAV", subject__injections__0__location="V1",
        subject__injections__0__ap_in_mm="1",
    )  # fmt: skip
    assert "expected all of ap_in_mm, ml_in_mm and dv_in_mm" in html.unescape(whole.text)
    missing = writer.send(
        subject__implants__0__name="x", subject__implants__0__kind="window", subject__implants__0__location="V1",
        subject__implants__0__device="nothing",
    )  # fmt: skip
    assert missing.status_code == 422
    assert "nothing" in read_text(missing.text)
    twice = writer.send(**{"devices__1__@name": "scope"}, devices__1__description="Another.")
    assert "there is a device 'scope' already" in html.unescape(twice.text)


def test_old_mistakes_elsewhere_do_not_keep_a_field_from_being_corrected(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "lab")
    (writer.spec.parent / "trials.csv").unlink()
    assert writer.save(subject__weight="23 g").status_code == 303


def test_the_second_editor_is_refused_and_nothing_is_lost(writer: Writer) -> None:
    first, second = dict(writer.form), dict(writer.form)
    writer.form = first
    page = writer.send(subject__sex="M").text
    shown = read_form(page)
    assert writer.post(EDIT, {**shown, "action": "save"}).status_code == 303
    writer.form = second
    refused = writer.send(subject__weight="23 g")
    assert refused.status_code == 409
    assert "has changed since this form was opened" in refused.text
    assert read_form(refused.text)["subject.weight"] == "23 g"
    again = writer.post(EDIT, {**read_form(refused.text), "action": "save"})
    assert again.status_code == 409
    assert "weight" not in (writer.spec.parents[1] / "m1.yaml").read_text()


def test_a_change_between_showing_and_writing_is_seen_in_the_lock(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = writer.spec.parents[1] / "m1.yaml"
    page = writer.send(subject__sex="M").text
    write = _spec_edit.write_edits

    def change_first(*arguments: Any) -> None:
        file.write_text(SUBJECT + "# by hand\n")
        write(*arguments)

    monkeypatch.setattr("nwbpipe.serve._edit_pages.write_edits", change_first)
    assert writer.post(EDIT, {**read_form(page), "action": "save"}).status_code == 409
    assert file.read_text() == SUBJECT + "# by hand\n"


def test_what_is_saved_is_what_was_shown(writer: Writer) -> None:
    shown = read_form(writer.send(subject__sex="M").text)
    other = writer.post(EDIT, {**shown, "subject.sex": "U", "action": "save"})
    assert other.status_code == 200
    assert "+ sex: U" in read_text(other.text).replace("  ", " ")
    assert (writer.spec.parents[1] / "m1.yaml").read_text() == SUBJECT


def test_a_value_of_two_files_is_not_removed_from_one(writer: Writer) -> None:
    writer.spec.write_text(SPEC.replace("session:\n", "session:\n  lab: Lab Y\n"))
    writer.form = read_form(writer.get(EDIT).text)
    answer = writer.send(session__lab="")
    assert answer.status_code == 422
    assert "stands in two files" in read_text(answer.text)


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_spec_that_leads_out_of_the_project_is_not_written(writer: Writer, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text(SPEC.replace("extends: [../lab.yaml, ../m1.yaml]\n", SUBJECT))
    writer.spec.unlink()
    writer.spec.symlink_to(elsewhere)
    answer = writer.get(EDIT)
    assert answer.status_code in (400, 404)
    assert "subject.sex" not in answer.text


@pytest.mark.skipif(os.name != "posix", reason="modes and symbolic links")
def test_a_file_keeps_its_mode_and_its_link_and_is_not_replaced_if_protected(writer: Writer) -> None:
    raw = writer.spec.parents[1]
    shared = (raw / "lab.yaml").rename(raw / "shared.yaml")
    (raw / "lab.yaml").symlink_to("shared.yaml")
    shared.chmod(0o664)
    writer.form = read_form(writer.get(EDIT).text)
    assert writer.save(session__lab="Lab Z").status_code == 303
    assert (raw / "lab.yaml").is_symlink()
    assert shared.read_text() == LAB.replace("Lab X", "Lab Z")
    assert shared.stat().st_mode & 0o777 == 0o664
    shared.chmod(0o444)
    writer.form = read_form(writer.get(EDIT).text)
    refused = writer.send(session__lab="Lab W")
    assert refused.status_code == 422
    assert "protected" in read_text(refused.text)


def test_two_files_are_locked_in_one_order(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    locked: list[str] = []
    create = _spec_edit.create_atomically

    def note(path: Path, **options: Any) -> Any:
        locked.append(path.name)
        return create(path, **options)

    monkeypatch.setattr(_spec_edit, "create_atomically", note)
    writer.save(subject__sex="M", session__lab="Lab Z")
    assert locked == ["lab.yaml", "m1.yaml"]


@pytest.mark.parametrize(
    "changes",
    [{"devices.1.@name": "<<", "devices.1.description": "x"}, {"session.session_description": "a\0b"}],
    ids=["merge key", "null"],
)
def test_nothing_is_saved_that_leaves_a_spec_that_can_not_be_read(writer: Writer, changes: dict[str, str]) -> None:
    assert writer.send(**changes).status_code == 422
    assert writer.get(EDIT).status_code == 200


def test_texts_of_the_spec_are_texts_in_the_form(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "lab")
    hostile = '</textarea><script>alert(1)</script>" onfocus="x'
    writer.spec.write_text(SPEC.replace("A session.", f"'{hostile}'"))
    page = writer.get(EDIT).text
    assert "<script>alert" not in page
    assert read_form(page)["session.session_description"] == hostile
    writer.form = read_form(page)
    assert "Nothing has changed." in writer.send().text


def test_read_only_shows_no_form_to_save(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "lab", read_only=True)
    assert "Show the difference" not in writer.get(EDIT).text
    assert "Enter and correct" not in writer.get("/session/m1/s1").text
    assert writer.post(EDIT, {}).status_code == 403
