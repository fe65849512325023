"""DANDI's own checks and metadata, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from nwbpipe.publish import _upload, upload
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
