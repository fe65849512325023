"""Downloads of a dandiset into a project or a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nwbpipe.cli import main
from nwbpipe.errors import NwbpipeError
from nwbpipe.project import Project
from nwbpipe.publish import DownloadReport, _client, download
from nwbpipe.publish._download import parse_address
from tests.fixtures.archive import SIGNATURE, Archive

NWB = "sub-M1/sub-M1_ses-a.nwb"
PROJECT = """\
nwbpipe = 1
[project]
name = "lab"
sessions = "nwb://**/*.nwb"
[stores]
nwb = "nwb"
"""


def fetch(archive: Archive, folder: Path, path: str = "", **options: Any) -> DownloadReport:
    return download(f"000123/{path}", instance=archive.api, output=folder, **options)


def test_a_session_becomes_one_of_the_project(
    archive: Archive, make_session: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.add_asset(NWB, make_session().read_bytes())
    archive.add_asset("sub-M1/session/face.mp4", b"video")
    archive.add_asset("sub-M2/sub-M2_ses-a.nwb", b"other")
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "nwbpipe.toml").write_text(PROJECT)
    words = ["download", "DANDI:000123/sub-M1/", "--instance", archive.api, "--project", str(tmp_path / "lab")]
    for count in (2, 0):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 0
        assert f"{count} files of dandiset 000123 (draft), {2 - count} more were here" in capsys.readouterr().out
    assert (tmp_path / "lab" / "nwb" / NWB).read_bytes() == make_session().read_bytes()
    [session] = Project(tmp_path / "lab").sessions()[0]
    assert session.key == "M1/a"
    assert archive.count("GET /s3") == 2
    assert not list(tmp_path.rglob("*.partial"))


def test_a_version_and_a_pattern_are_chosen(archive: Archive, tmp_path: Path) -> None:
    stored = archive.dandisets["000123"]
    archive.add_asset(NWB, b"old")
    archive.add_asset("sub-M1/face.mp4", b"video")
    stored.published["0.240101.1200"] = dict(stored.assets)
    stored.assets.clear()
    archive.add_asset(NWB, b"new")
    assert fetch(archive, tmp_path / "a", "**/*.nwb").dandiset.version == "0.240101.1200"
    fractions: list[float] = []
    fetch(archive, tmp_path / "b", "draft", progress=lambda fraction, text: fractions.append(fraction))
    assert fractions == [1.0]
    paths = [path for path in tmp_path.rglob("*.*") if path.is_file() and "sub-M1" in path.parts]
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in paths}
    assert files == {f"a/{NWB}": b"old", f"b/{NWB}": b"new"}


@pytest.mark.parametrize(
    "path",
    ["../out.nwb", "/tmp/out.nwb", "a/../../out.nwb", "C:/out.nwb", "a\\..\\out.nwb", "sub/.hidden.nwb", "a//b.nwb",
     "link/out.nwb", "a\n.nwb"],
)  # fmt: skip
def test_no_path_leads_outside(archive: Archive, tmp_path: Path, path: str) -> None:
    archive.add_asset(path, b"evil")
    archive.add_asset(NWB, b"good")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    report = fetch(archive, tmp_path / "in")
    assert "leads elsewhere" in report.problems[0].what
    assert not report.is_complete
    assert [file.file for file in report.files] == [tmp_path / "in" / NWB]
    assert [file.read_bytes() for file in tmp_path.rglob("*.nwb")] == [b"good"]


def test_a_file_with_other_content_is_left_alone(archive: Archive, tmp_path: Path) -> None:
    archive.add_asset(NWB, b"theirs")
    (tmp_path / "sub-M1").mkdir()
    (tmp_path / NWB).write_bytes(b"mine")
    report = fetch(archive, tmp_path)
    assert "left alone" in report.problems[0].what
    assert (tmp_path / NWB).read_bytes() == b"mine"


def test_content_that_is_not_the_archives_is_not_kept(archive: Archive, tmp_path: Path) -> None:
    archive.add_asset(NWB, b"good")

    def fault(call: str) -> None:
        if call.startswith("GET /s3"):
            archive.blobs.update(dict.fromkeys(archive.blobs, b"evil"))

    archive.fault = fault
    report = fetch(archive, tmp_path)
    assert "another digest" in report.problems[0].what
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_bad_file_does_not_hold_up_the_others(archive: Archive, tmp_path: Path) -> None:
    archive.add_asset(NWB, b"good")
    archive.add_asset("sub-M2/sub-M2_ses-a.nwb", b"good too")
    first = next(iter(archive.blobs))

    def fault(call: str) -> None:
        if call == f"GET /s3/blobs/{first}":
            archive.blobs[first] = b"evil"

    archive.fault = fault
    report = fetch(archive, tmp_path, jobs=1)
    assert [file.asset.path for file in report.files] == ["sub-M2/sub-M2_ses-a.nwb"]
    assert len(report.problems) == 1
    assert not report.is_complete


def test_a_download_that_breaks_off_goes_on_and_a_dead_archive_is_told(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_client, "WAITS", ())
    content = bytes(range(256)) * 2**14  # 4 MiB
    archive.add_asset(NWB, content)
    archive.break_after = 10**6
    assert fetch(archive, tmp_path / "a").is_complete
    assert (tmp_path / "a" / NWB).read_bytes() == content
    assert archive.count("GET /s3") > 2
    archive.break_after, archive.fault = None, lambda call: "drop" if call.startswith("GET /s3") else None
    report = fetch(archive, tmp_path / "b")
    assert "does not answer" in report.problems[0].what
    assert SIGNATURE not in str(report.as_dict())
    assert not [file for file in (tmp_path / "b").rglob("*") if file.is_file()]


def test_a_stop_keeps_whole_files_alone(archive: Archive, tmp_path: Path) -> None:
    archive.add_asset(NWB, bytes(2**22))
    report = fetch(archive, tmp_path, stopped=lambda: archive.count("GET /s3") > 0)
    assert not report.is_complete
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("DANDI:123", "not one of a dandiset"),
        ("000999", "there is no dandiset 000999"),
        ("000123/0.1.2", "has no version 0.1.2"),
        ("000123/sub-M3", "no such files"),
        ("000123", "no such files"),
    ],
)
def test_what_is_not_there_is_told(archive: Archive, tmp_path: Path, address: str, words: str) -> None:
    with pytest.raises(NwbpipeError, match=words) as caught:
        download(address, instance=archive.api, output=tmp_path)
    assert caught.value.exit_code == 2


def test_a_project_of_specs_takes_no_files(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "nwbpipe.toml").write_text(
        PROJECT.replace('"nwb://**/*.nwb"', '"raw://**/session.yaml"\noutput = "nwb://{session_id}.nwb"')
        + 'raw = "raw"\n'
    )
    with pytest.raises(NwbpipeError, match="converted from specs"):
        download("000123", instance=archive.api, project=tmp_path)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("DANDI:000123", ("dandi", "000123", None, "")),
        ("DANDI:000123/draft", ("dandi", "000123", "draft", "")),
        ("DANDI:000123/0.21.3/sub-1/", ("dandi", "000123", "0.21.3", "sub-1")),
        ("ember-dandi:000123/sub-1/a.nwb", ("ember-dandi", "000123", None, "sub-1/a.nwb")),
        ("000123/drafts", ("", "000123", None, "drafts")),
    ],
)
def test_an_address_is_taken_apart(address: str, parts: tuple[Any, ...]) -> None:
    assert parse_address(address) == parts
