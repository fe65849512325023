"""Loading a spec: every mistake named, at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nwbpipe.converters import check_draft, interfaces, load_spec
from nwbpipe.converters._interface_names import neuroconv_modules, our_modules
from nwbpipe.converters.interfaces import interface_names
from nwbpipe.errors import SpecError
from tests.converters import raw


def mistakes(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert caught.value.exit_code == 2
    return [f"{problem.what} | {problem.where} | {problem.hint}" for problem in caught.value.problems]


def test_texts_are_typed_by_the_schema_and_the_interface(folder):
    (folder / "s.yaml").write_text(
        """nwbpipe: 1
subject: {subject_id: 042, species: Mus musculus, sex: M, age: P90D}
session: {session_id: 2024-05-01, session_start_time: 2024-05-01T10:00:00-04:00, experimenter: "Doe, Jane"}
sources:
  scope:
    interface: TiffImagingInterface
    args: {file_path: movie.tif, sampling_frequency: 25}
    options: {always_write_timestamps: true}
"""
    )
    spec = load_spec(folder / "s.yaml")
    assert spec.subject.subject_id == "042"
    assert spec.session.session_id == "2024-05-01"
    assert spec.session.experimenter == ["Doe, Jane"]
    assert spec.sources["scope"].args == {"file_path": folder / "movie.tif", "sampling_frequency": 25.0}
    assert spec.sources["scope"].options == {"always_write_timestamps": True}
    assert spec.reference_clock == "scope"
    assert spec.as_dict()["sources"]["scope"]["args"]["file_path"] == "movie.tif"


def test_texts_of_the_metadata_complete_the_subject_and_numbers_stay_there(folder):
    metadata = {"Subject": {"strain": "C57BL/6J", "weight": 22.5}}
    spec = load_spec(raw.write_spec(folder, {"scope": raw.tiff()}, metadata=metadata))
    assert (spec.subject.strain, spec.subject.weight) == ("C57BL/6J", None)
    assert spec.metadata == metadata


def test_five_mistakes_are_five_problems(folder):
    (folder / "s.yaml").write_text(
        """nwbpipe: 1
subject: {subject_id: m, species: Mus musculus, sex: N, age: P90D}
session: {session_id: s1, session_start_time: 2024-05-01T10:00:00, wether: sunny}
sources:
  scope: {interface: TifImagingInterface, args: {file_path: movie.tif}}
  body: {interface: ExternalVideoInterface, args: {file_paths: [bdy.avi]}, clock: scope}
"""
    )
    found = mistakes(folder / "s.yaml")
    assert len(found) == 5
    for text, line in [
        ("subject.sex", 2),
        ("session.session_start_time", 3),
        ("session.wether", 3),
        ("sources.scope.interface", 5),
        ("sources.body.args.file_paths", 6),
    ]:
        assert any(text in item and f"line {line}:" in item for item in found), text
    assert any("TiffImagingInterface" in item for item in found)
    assert any("body.avi" in item for item in found)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"nwbpipe": 2}, "version of the format"),
        ({"sourcess": {}}, "'sourcess' is unknown"),
        ({"sources": {}}, "there are no sources"),
        ({"sources": {"1x": raw.tiff()}}, "can't be the name of a source"),
        ({"sources": {"scope": {"args": {}}}}, "'interface' is missing"),
        ({"sources": {"scope": {**raw.tiff(), "klock": "a"}}}, "did you mean 'clock'"),
        ({"sources": {"scope": {"interface": "TiffImagingInterface", "args": {"file_pth": "a"}}}}, "file_path"),
        ({"sources": {"scope": {"interface": "CSVEventsInterface", "args": {"file_path": "events.csv"}}}}, "missing"),
        ({"sources": {"scope": raw.tiff(options={"stub": "true"})}}, "stub_test"),
        ({"sources": {"scope": raw.tiff("../../x.tif")}}, "outside the root"),
        ({"sources": {"scope": raw.tiff("/etc/hostname")}}, "outside the root"),
        ({"sources": {"scope": raw.tiff("nas://x.tif")}}, "store is not known"),
        ({"sources": {"body": raw.video(options={"video": "move"})}}, "is not allowed"),
        ({"sources": {"body": {**raw.video(), "video": "copy"}}}, "the key 'video' is unknown"),
        ({"reference_clock": "prob"}, "no source is in the reference clock"),
        ({"clocks": {"scope": {"align": "start", "offset_s": 1}}}, "can't be shifted"),
        ({"clocks": {"camera": {"align": "start", "offset_s": 1}}}, "no source is in the clock 'camera'"),
        ({"session": {**raw.SESSION, "session_id": "a/b"}}, "session.session_id"),
        ({"subject": {**raw.SUBJECT, "species": "mouse"}}, "subject.species"),
        ({"subject": {**raw.SUBJECT, "age": "90 days"}}, "subject.age"),
        ({"subject": {"subject_id": "m", "species": "Mus musculus", "sex": "F"}}, "'age' is missing"),
        ({"subject": None}, "section 'subject' is missing"),
    ],
)
def test_each_mistake_is_named(folder, change, text):
    content = {"sources": {"scope": raw.tiff()}, **change}
    if content.get("subject", 0) is None:
        path = raw.write_spec(folder, content["sources"])
        path.write_text("\n".join(line for line in path.read_text().split("subject:")[0].splitlines()) + "\n")
        path.write_text("nwbpipe: 1\nsession: {session_id: a}\nsources: {}\n")
        assert any("'subject'" in item for item in mistakes(path))
        return
    found = mistakes(raw.write_spec(folder, **content))
    assert any(text in item for item in found), found


@pytest.mark.parametrize(
    ("clock", "text"),
    [
        ({"align": "sundial"}, "way to align is not supported"),
        ({}, "way to align is missing"),
        ({"align": "start"}, "'offset_s' is missing"),
        ({"align": "start", "offset_s": "soon"}, "offset_s"),
        ({"align": "start", "offset_s": ".inf"}, "offset_s"),
        ({"align": "timestamps", "file": "no.csv"}, "file not found"),
        ({"align": "timestamps", "file": "events.csv", "unit": "hours"}, "unit"),
        ({"align": "timestamps", "file": "events.csv", "drift": "1"}, "'drift' is unknown"),
    ],
)
def test_mistakes_of_clocks(folder, clock, text):
    sources = {"scope": raw.tiff(), "body": raw.video()}
    found = mistakes(raw.write_spec(folder, sources, clocks={"body": clock}))
    assert len(found) == 1
    assert text in found[0]


def test_a_clock_that_nothing_aligns_is_refused(folder):
    found = mistakes(raw.write_spec(folder, {"scope": raw.tiff(), "body": raw.video()}))
    assert len(found) == 1
    assert "nothing aligns the clock 'body'" in found[0]


def test_stores_of_the_project_are_followed(folder, monkeypatch):
    other = folder.parent / "disk"
    other.mkdir()
    raw.write_movie(other / "m.tif")
    (folder.parent / "nwbpipe.toml").write_text(
        '[stores]\nraw = "nowhere"\n[profiles.rig.stores]\nraw = "disk"\n', encoding="utf-8"
    )
    path = raw.write_spec(folder, {"scope": raw.tiff("raw://m.tif")})
    assert "nowhere" in str(mistakes(path)) or "not found" in str(mistakes(path))
    monkeypatch.setenv("NWBPIPE_PROFILE", "rik")
    assert any("there is no profile 'rik'" in item for item in mistakes(path))
    monkeypatch.setenv("NWBPIPE_PROFILE", "rig")
    spec = load_spec(path)
    assert spec.sources["scope"].args["file_path"] == other / "m.tif"
    assert spec.as_dict()["sources"]["scope"]["args"]["file_path"] == "raw://m.tif"
    raw.write_spec(folder, {"scope": raw.tiff("raw://../session/movie.tif")})
    assert any("outside" in item for item in mistakes(path))


def test_a_text_for_a_mapping_is_told_in_words_of_yaml(folder):
    with pytest.raises(SpecError) as caught:
        load_spec(raw.write_spec(folder, {"scope": {**raw.tiff(), "args": "scan.tif"}}))
    assert [item.expected for item in caught.value.problems] == ["`key: value` lines"]


def test_each_missing_file_of_a_list_is_named(folder):
    found = mistakes(raw.write_spec(folder, {"body": raw.video() | {"args": {"file_paths": ["a.avi", "b.avi"]}}}))
    assert len(found) == 2


def test_a_missing_spec_is_one_clear_error(tmp_path):
    with pytest.raises(SpecError, match="can't be read"):
        load_spec(tmp_path / "no.yaml")


def test_a_wrong_spec_is_refused_without_neuroconv(folder: Path) -> None:
    """Within tenths of a second: keys, values, references, names of interfaces and of their arguments, paths."""
    sources = {
        "scope": {"interface": "TiffImagingInterfac", "args": {"file_pth": "movie.tif"}, "cloc": "x"},
        "other": raw.tiff() | {"args": {"file_pth": "movie.tif", "sampling_frequency": "fast"}},
        "probe": {"interface": "SpikeGLXRecordingInterface"},
        "trials": {"interface": "TrialsInterface", "args": {"file_path": "movie.tiff", "metadata_key": "x"}},
        "ephys": {"interface": "IntanRecordingInterface", "options": {"stub_tst": True}},
    }
    path = raw.write_spec(folder, sources, clocks={"y": {"align": "start", "offset_s": 1.0}})
    script = f"""
import sys
from nwbpipe.cli import main
try:
    main(["convert", {str(path)!r}])
finally:
    print(*{{"neuroconv", "pynwb", "hdmf", "h5py", "numpy"}} & set(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "\n")
    for text in (
        "no data interface is called 'TiffImagingInterfac'",
        "the key 'cloc' is unknown",
        "the key 'file_pth' is unknown",
        "sources.other.args.sampling_frequency",
        "sources.probe.args.folder_path",
        "the key 'stub_tst' is unknown",
        "file not found",
    ):
        assert text in result.stderr
    assert result.stderr.count("'file_pth' is unknown") == 1  # whose interface is not known has no known arguments
    check_draft(raw.write_spec(folder, {"scope": raw.tiff()}))


def test_names_of_interfaces_are_known_without_their_import() -> None:
    assert {*our_modules(), *neuroconv_modules()} <= set(interface_names())
    assert len(neuroconv_modules()) > 50
    texts = [path.read_text() for path in Path(interfaces.__path__[0]).glob("_*.py")]
    assert sum(text.count("\n@interface(") for text in texts) == len(our_modules())


def test_a_draft_asks_no_store_over_the_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWBPIPE_STORE_RAW", "memory://nothing")
    path = raw.write_spec(folder, {"scope": raw.tiff() | {"args": {"file_path": "raw://x.tif"}}})
    check_draft(path)
    assert "file not found" in mistakes(path)[0]
