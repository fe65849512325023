"""A whole file becomes an object in one step, and only in the place of what its writer knows of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from botocore.exceptions import ConnectionClosedError

from nwbpipe import files
from nwbpipe.errors import ConflictError, FileAccessError
from nwbpipe.files.s3 import _complete, _upload
from nwbpipe.stores.s3 import connect
from tests.fixtures.s3 import Bucket


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "new.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.random.default_rng(0).normal(size=2_000_000)
    return path


@pytest.mark.parametrize("parts", [False, True], ids=["one request", "parts"])
def test_only_in_the_known_place(bucket: Bucket, source: Path, parts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if parts:
        monkeypatch.setattr(_upload, "_ONE_REQUEST", 2**20)
    url = f"s3://{bucket.name}/a.nwb"
    tag = files.s3_upload(source, url)
    assert bucket.data("a.nwb") == source.read_bytes()
    with pytest.raises(ConflictError, match="already"):
        files.s3_upload(source, url)
    with files.transaction(url) as file:
        file["y"] = 1
    newer = bucket.data("a.nwb")
    with pytest.raises(ConflictError, match="changed"):
        files.s3_upload(source, url, replaces=tag)
    assert bucket.data("a.nwb") == newer
    files.s3_upload(source, url, replaces=files.s3_state(url).etag)
    assert bucket.data("a.nwb") == source.read_bytes()
    assert len(files.s3_state(url).writes) == 1  # what came before is no part of this file
    with pytest.raises(ConflictError):
        files.s3_upload(source, f"s3://{bucket.name}/gone.nwb", replaces=tag)
    assert bucket.uploads() == []
    keys = [one["Key"] for one in bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]]
    assert keys == ["a.nwb"]  # neither locks nor probes


@pytest.mark.parametrize("parts", [False, True], ids=["one request", "parts"])
@pytest.mark.parametrize("carried_out", [False, True])
def test_a_lost_answer(
    bucket: Bucket, source: Path, parts: bool, carried_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if parts:
        monkeypatch.setattr(_upload, "_ONE_REQUEST", 2**20)
    monkeypatch.setattr(_complete, "_PAUSE", 0.0)
    client = connect()
    name = "complete_multipart_upload" if parts else "put_object"
    request = getattr(client, name)

    def lost(**given: Any) -> None:
        if given["Key"] != "a.nwb":
            return request(**given)
        if carried_out:
            request(**given)
        raise ConnectionClosedError(endpoint_url="http://127.0.0.1")

    files.s3_upload(source, f"s3://{bucket.name}/warm.nwb")  # the server was asked what it checks
    monkeypatch.setattr(client, name, lost)
    monkeypatch.setattr(_upload, "connect", lambda: client)
    url = f"s3://{bucket.name}/a.nwb"
    if carried_out:
        assert files.s3_upload(source, url) == files.s3_state(url).etag
    else:
        with pytest.raises(FileAccessError):
            files.s3_upload(source, url)
        with pytest.raises(FileAccessError, match="no such"):
            files.s3_state(url)
    assert bucket.uploads() == []
