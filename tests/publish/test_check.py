"""DANDI's own checks and metadata, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from nwbpipe.cli import main
from nwbpipe.publish import _upload, check_readiness, upload
from tests.fixtures.archive import Archive


def test_a_file_passes_dandis_checks_and_gets_its_metadata(
    archive: Archive, make_session: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_upload, "SHA256_WAIT_S", 0.0)
    archive.knows_sha256 = False
    good, bad = make_session(), make_session("bad.nwb", session="b")
    with h5py.File(bad, "r+") as file:
        file["general/subject/species"][()] = "mouse"
    report = upload([good, bad], instance=archive.api, dandiset="000123", skip_refused=True)
    [refused] = report.plan.refused
    assert refused.file == bad
    assert "check_subject_species_form" in str(refused.problems[0].hint)
    assert report.receipt.outcome == "done"
    assert not any(asset.sha256_confirmed for asset in report.receipt.assets)
    metadata = {asset["path"]: asset["metadata"] for asset in archive.dandisets["000123"].assets.values()}
    assert set(metadata) == {"sub-M1/sub-M1_ses-a.nwb", "sub-M1/session/face.mp4"}
    [subject] = metadata["sub-M1/sub-M1_ses-a.nwb"]["wasAttributedTo"]
    assert subject["identifier"] == "M1"
    assert subject["species"]["name"] == "Mus musculus - House mouse"
    assert metadata["sub-M1/session/face.mp4"]["encodingFormat"] == "video/mp4"


SPEC = """\
nwbpipe: 1
subject: {{subject_id: {subject}, species: Mus musculus, sex: F, age: {age}}}
session: {{session_id: a, session_start_time: "2024-05-01T10:00:00-04:00", session_description: d}}
sources:
  trials: {{interface: CsvTimeIntervalsInterface, args: {{file_path: trials.csv}}}}
  face: {{interface: ExternalVideoInterface, args: {{file_paths: [face.{suffix}]}}, clock: trials}}
"""


def write_spec(folder: Path, subject: str = "M1", age: str = "P90D", suffix: str = "webm") -> Path:
    (folder / "trials.csv").write_text("start_time,stop_time\n0.0,1.0\n2.0,3.0\n")
    (folder / f"face.{suffix}").write_bytes(b"video")
    (folder / "session.yaml").write_text(SPEC.format(subject=subject, age=age, suffix=suffix))
    return folder / "session.yaml"


def test_a_spec_tells_what_dandi_would_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = check_readiness(write_spec(tmp_path, subject="M_1"))
    assert report.assets == ["sub-M-1/sub-M-1_ses-a.nwb"]
    assert "no such video" in report.problems[0].what
    assert "can't hold the ids" in report.notes[0].what
    with pytest.raises(SystemExit) as caught:
        main(["check", "--dandi", str(write_spec(tmp_path, age="90 days", suffix="mp4"))])
    assert caught.value.code == 1
    printed = capsys.readouterr().out
    assert "DANDI would refuse it" in printed
    assert "subject.age" in printed


def test_a_file_is_ready_or_not(make_session: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    file = make_session()
    with pytest.raises(SystemExit) as caught:
        main(["check", "--dandi", str(file)])
    assert caught.value.code == 0
    assert capsys.readouterr().out == (
        f"{file}: DANDI would take it as sub-M1/sub-M1_ses-a.nwb\n  with sub-M1/session/face.mp4\n"
    )
    file.write_bytes(file.read_bytes()[:-4000])
    report = check_readiness(file)
    assert not report.is_ready
    with pytest.raises(SystemExit) as caught:
        main(["check", "--dandi", "--repair", str(file)])
    assert caught.value.code == 2
