"""What is refused in S3: what is not there or not NWB, who may not, and servers that check nothing."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest

import nwbpipe
from nwbpipe import files
from nwbpipe.errors import DamagedFileError, FileAccessError, NwbpipeError, UnsafeFileError, UnsupportedFileError
from nwbpipe.stores.s3 import _conditions
from tests.fixtures.s3 import KEY, READER, SECRET, Bucket

pytestmark = pytest.mark.slow

WAYS: list[Callable[[str], Any]] = [nwbpipe.read, nwbpipe.transaction, files.open_remote]


def refused(url: str, error: type[NwbpipeError], text: str, ways: list[Callable[[str], Any]] = WAYS) -> None:
    for way in ways:
        with pytest.raises(error, match=text) as caught, way(url):
            pytest.fail("it was opened")
        shown = "".join(traceback.format_exception(caught.value))
        assert url in str(caught.value)
        for secret in (KEY, SECRET, READER, "wrong-secret"):
            assert secret not in shown
        assert "botocore" not in shown.lower() or "Traceback" in shown


def test_a_missing_object_and_a_missing_bucket(bucket: Bucket) -> None:
    refused(f"s3://{bucket.name}/no.nwb", FileAccessError, "no such object")
    refused("s3://no-such-bucket-here/no.nwb", FileAccessError, "no such (bucket|object)")


def test_what_is_not_nwb(bucket: Bucket, tmp_path: Path, session_nwb: Path) -> None:
    (tmp_path / "a").write_bytes(b"II*\0 a picture")
    refused(bucket.put(tmp_path / "a"), UnsupportedFileError, "not an HDF5 file")
    (tmp_path / "a").write_bytes(b"")
    refused(bucket.put(tmp_path / "a"), UnsupportedFileError, "not an HDF5 file")
    (tmp_path / "a").write_bytes(session_nwb.read_bytes()[:9000])
    refused(bucket.put(tmp_path / "a"), DamagedFileError, "damaged or truncated")
    with h5py.File(tmp_path / "a", "w") as file:
        file["x"] = 1
    url = bucket.put(tmp_path / "a")
    with pytest.raises(UnsupportedFileError, match="not NWB"), nwbpipe.read(url):
        pytest.fail("it was opened")


def test_virtual_datasets_are_refused(bucket: Bucket, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        layout = h5py.VirtualLayout((4,), "f8")
        layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
        file.create_virtual_dataset("x", layout)
    url = bucket.put(tmp_path / "a.h5")
    with pytest.raises(UnsafeFileError, match="virtual"), files.transaction(url):
        pytest.fail("it was opened")


def test_without_credentials(bucket: Bucket, session_nwb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = bucket.put(session_nwb)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    refused(url, FileAccessError, "no credentials")


def test_with_wrong_credentials(bucket: Bucket, session_nwb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = bucket.put(session_nwb)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    refused(url, FileAccessError, "does not know these credentials")


def test_a_reader_may_not_write(bucket: Bucket, session_nwb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = bucket.put(session_nwb)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER)
    monkeypatch.setattr(_conditions, "_answers", {})
    with nwbpipe.read(url) as nwbfile:
        assert nwbfile.acquisition
    refused(url, FileAccessError, "access denied", [nwbpipe.transaction])


def test_no_server(s3_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    refused("s3://bucket/x.nwb", FileAccessError, "can't be reached", [nwbpipe.read])


# A server that checks nothing ------------------------------------------------------------------------------


@pytest.fixture
def careless(s3_credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket of moto's, which completes an upload whatever its condition."""
    moto = pytest.importorskip("moto")
    import boto3

    monkeypatch.setattr(_conditions, "_answers", {})
    # moto plays Amazon, whose servers are known to check: here they must be asked.
    monkeypatch.setattr(_conditions, "_CHECKING", ())
    with moto.mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="careless")
        yield Bucket("careless", client)
    assert os.environ["AWS_ACCESS_KEY_ID"]


def test_a_server_that_checks_nothing_is_refused(careless: Bucket, session_nwb: Path) -> None:
    url = careless.put(session_nwb)
    before = careless.data()
    with pytest.raises(FileAccessError, match="does not check") as caught, nwbpipe.transaction(url):
        pytest.fail("it was opened")
    assert "unsafe_no_cas" in str(caught.value)
    assert careless.data() == before
    assert [one["Key"] for one in careless.client.list_objects_v2(Bucket="careless")["Contents"]] == ["session.nwb"]
    with nwbpipe.read(url) as nwbfile:  # reading needs no condition
        assert nwbfile.acquisition


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_who_asks_for_it_may_write_there(
    careless: Bucket, session_nwb: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = careless.put(session_nwb)
    if by == "environment":
        monkeypatch.setenv("NWBPIPE_UNSAFE_NO_CAS", "1")
    with nwbpipe.transaction(url, unsafe_no_cas=by == "argument") as nwbfile:
        nwbfile.create_processing_module("behavior", "test")
    with nwbpipe.read(url) as nwbfile:
        assert list(nwbfile.processing) == ["behavior"]
