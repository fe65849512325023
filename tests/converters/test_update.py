"""A change of metadata: edited in the file where that gives what a new conversion would, and refused elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import pytest

from nwbpipe.converters import compare_specs, convert, load_spec, update_metadata
from nwbpipe.converters._update import _SESSION, _SUBJECT
from nwbpipe.errors import InputError
from nwbpipe.session import read_records
from tests.converters import raw

TEXTS = ["experimenter", "keywords", "related_publications"]
BEFORE = {
    "session": {**raw.SESSION, **{name: f"old {name}" for name in _SESSION}, "experimenter": "Doe, Jane"},
    "subject": {
        **raw.SUBJECT, **{name: f"old {name}" for name in ("description", "genotype", "strain")},
        "weight": "0.02 kg", "date_of_birth": "2024-02-01T00:00:00-04:00",
    },
}  # fmt: skip
AFTER = {
    "session": {**BEFORE["session"], **{name: f"new {name}" for name in _SESSION},
                **{name: [f"new {name}", "another"] for name in TEXTS}, "experimenter": ["Doe, Jane", "Roe, Jo"]},
    "subject": {
        **BEFORE["subject"], **{name: f"new {name}" for name in ("description", "genotype", "strain")},
        "weight": "0.03 kg", "date_of_birth": "2024-02-02T00:00:00-04:00", "age": "P91D", "sex": "M",
        "species": "Rattus norvegicus",
    },
}  # fmt: skip


def parameters(path: Path) -> dict[str, Any]:
    return {**load_spec(path).as_dict(), "stub": False}


def metadata_of(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {place: file[place].asstr()[()] for place in (*_SESSION.values(), *_SUBJECT.values()) if place in file}


def test_an_edit_gives_what_a_new_conversion_would(folder: Path) -> None:
    sources = {"log": raw.events()}
    path = convert(raw.write_spec(folder, sources, **BEFORE), folder / "edited.nwb", progress=False)
    before = metadata_of(path)
    spec = raw.write_spec(folder, sources, **AFTER)
    update_metadata(path, parameters(spec))
    fresh = convert(spec, folder / "fresh.nwb", progress=False)
    edited, wanted = metadata_of(path), metadata_of(fresh)
    assert set(edited) == set(wanted) == {*_SESSION.values(), *_SUBJECT.values()}
    for place, value in wanted.items():
        assert list(edited[place]) == list(value), place
        assert list(before[place]) != list(value), place
    with h5py.File(path) as file, h5py.File(fresh) as other:
        assert dict(file["general/subject/age"].attrs) == dict(other["general/subject/age"].attrs)
        assert read_records(file)[-1].key == read_records(other)[-1].key
    content = path.read_bytes()
    raw.write_spec(folder, sources, **{**AFTER, "subject": {**AFTER["subject"], "line": "DAT-IRES-Cre"}})
    with pytest.raises(InputError, match="more than metadata"):
        update_metadata(path, parameters(spec))
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("section", "field", "beside"),
    [
        ("session", "surgery", {"subject": {"surgeries": [{"procedure": "craniotomy"}]}}),
        ("session", "surgery", {"subject": {"implants": [{"name": "f", "kind": "fiber", "location": "NAc"}]}}),
        ("session", "virus", {"subject": {"injections": [{"substance": "AAV", "location": "NAc"}]}}),
        ("session", "notes", {"session": {"attributes": {"box": "2"}}}),
        ("subject", "description", {"subject": {"line": "DAT-IRES-Cre"}}),
    ],
)
def test_a_text_that_tells_more_than_its_field_needs_a_new_conversion(
    folder: Path, section: str, field: str, beside: dict[str, Any]
) -> None:
    def written(value: str, **more: Any) -> Path:
        parts = {"session": dict(raw.SESSION), "subject": dict(raw.SUBJECT)}
        for name, fields in more.items():
            parts[name] |= fields
        parts[section][field] = value
        return raw.write_spec(folder, {"log": raw.events()}, **parts)

    plain = parameters(written("old"))
    assert not compare_specs(plain, parameters(written("new"))).rebuild
    changes = compare_specs(parameters(written("old", **beside)), parameters(written("new", **beside)))
    assert changes.rebuild
    assert changes.differences == (f"{section}.{field} 'old' → 'new'",)


def test_notes_with_a_table_need_a_new_conversion(folder: Path) -> None:
    def noted(notes: Any) -> dict[str, Any]:
        return parameters(raw.write_spec(folder, {"log": raw.events()}, session={**raw.SESSION, "notes": notes}))

    text, table, other = noted("calm"), noted([{"text": "calm"}]), noted([{"text": "licks"}])
    assert not compare_specs(text, noted("licks")).rebuild
    assert all(compare_specs(*pair).rebuild for pair in ((table, other), (text, table), (table, text)))
