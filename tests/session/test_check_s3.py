"""`check` and `edit` on session files in S3."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import h5py
import pytest

import nwbpipe
from nwbpipe import files
from nwbpipe.errors import ConflictError, FileAccessError
from nwbpipe.files.s3._orphans import mark_upload
from nwbpipe.run import process
from nwbpipe.session import check, read_records, remove_step, rename_step, repack
from tests.fixtures.processing import Scale
from tests.fixtures.s3 import Bucket


def test_a_whole_file_and_an_abandoned_upload(bucket: Bucket, session_nwb: Path) -> None:
    url = bucket.put(session_nwb)
    place = {"Bucket": bucket.name, "Key": "session.nwb"}
    upload = {**place, "UploadId": bucket.client.create_multipart_upload(**place)["UploadId"]}
    mark_upload(bucket.client, upload)
    report = check(url, repair=True, abandoned_after=timedelta(0))
    assert report.in_order
    assert len(report.repaired) == 1
    assert bucket.uploads() == []


@pytest.mark.long
def test_an_upload_that_may_be_under_way_is_left(bucket: Bucket, session_nwb: Path) -> None:
    url = bucket.put(session_nwb)
    place = {"Bucket": bucket.name, "Key": "session.nwb"}
    upload = {**place, "UploadId": bucket.client.create_multipart_upload(**place)["UploadId"]}
    mark_upload(bucket.client, upload)
    report = check(url, repair=True)
    assert report.repaired == ()
    assert [one.kind for one in report.findings if one.kind == "leftover"] == ["leftover"]
    assert bucket.uploads() == ["session.nwb"]


@pytest.mark.long
def test_what_is_no_session_file(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"no HDF5 at all")
    assert check(bucket.put(tmp_path / "text", "text.nwb")).verdict == "not NWB"
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = list(range(100_000))
    assert check(bucket.put(tmp_path / "a.h5", "a.nwb")).verdict == "not NWB"
    cut = (tmp_path / "a.h5").read_bytes()[:-5000]
    (tmp_path / "cut").write_bytes(cut)
    assert check(bucket.put(tmp_path / "cut", "cut.nwb")).verdict == "damaged"
    with pytest.raises(FileAccessError):
        check(f"s3://{bucket.name}/nothing.nwb")


@pytest.mark.long
def test_edits(bucket: Bucket, session_nwb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = bucket.put(session_nwb)
    process(url, Scale())
    assert rename_step(url, "scale", "scaled")
    assert check(url, rehash=True).in_order
    assert remove_step(url, "scaled").steps == ("scaled",)
    assert [one.superseded for one in read_records(url)] == [True]
    before, after = repack(url)
    assert before != after
    assert check(url).in_order

    repacked = files.repack

    def overtaken(*given: object, **more: object) -> tuple[int, int]:
        with nwbpipe.transaction(url) as nwbfile:
            nwbfile.acquisition["lever"].data[0, 0] = 5.0
        return repacked(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "repack", overtaken)
    with pytest.raises(ConflictError):
        repack(url)
    with nwbpipe.read(url) as nwbfile:
        assert nwbfile.acquisition["lever"].data[0, 0] == 5.0
