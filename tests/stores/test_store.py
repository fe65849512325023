"""Every kind of store keeps the contract: local folders, a real S3 server, fsspec; and what each has alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from nwbpipe.errors import ConflictError, FileAccessError, RequestError
from nwbpipe.stores import FsspecStore, S3Store, Store, open_store
from nwbpipe.stores.s3 import _conditions
from nwbpipe.testing import Fault, FaultyStore, StoreTests
from tests.fixtures.s3 import READER, Bucket


class TestLocalStore(StoreTests):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return open_store(tmp_path / "root")


class TestMemoryStore(StoreTests):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        fsspec.filesystem("memory").store.clear()
        yield open_store("memory://root")
        fsspec.filesystem("memory").store.clear()


class TestS3Store(StoreTests):
    @pytest.fixture
    def store(self, bucket: Bucket) -> Store:
        return open_store(f"s3://{bucket.name}/some/prefix")


class TestFsspecStoreWithoutConditions(StoreTests):
    """A file system of fsspec's that has no conditional writes."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return FsspecStore(f"local://{tmp_path}/root")


class TestFaultyStore(StoreTests):
    """Undisturbed, it is the store that it wraps."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return FaultyStore(open_store(tmp_path / "root"))


@pytest.mark.parametrize("fault", Fault)
def test_a_faulty_store_fails_once(tmp_path: Path, fault: Fault) -> None:
    inner = open_store(tmp_path)
    inner.write_bytes("a", b"12345678")
    store = FaultyStore(inner, at=2, fault=fault)
    tag = store.stat("a").tag
    with pytest.raises(FileAccessError):
        store.write_bytes("a", b"abcdefgh", if_tag=tag)
    left = {Fault.REFUSE: b"12345678", Fault.LOSE: b"abcdefgh", Fault.HALF: b"abcd"}[fault]
    assert store.read_bytes("a") == left
    assert store.operations == ["stat", "write_bytes", "stat", "read_range"]
    with pytest.raises(FileAccessError):  # half an answer is noticed, too
        FaultyStore(inner, at=1, fault=fault, only="read_range").read_bytes("a")


# Local ------------------------------------------------------------------------------------------------------


def test_links_out_of_a_local_root_are_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path / "root")
    store.write_bytes("a/inside.txt", b"1")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.txt").write_text("x")
    (tmp_path / "root" / "out.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "root" / "outside").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "again").symlink_to(tmp_path / "root" / "a")
    for path in ("out.txt", "outside/x.txt"):
        with pytest.raises(RequestError, match="link"):
            store.read_bytes(path)
        with pytest.raises(RequestError, match="link"):
            store.write_bytes(path, b"")
    assert store.read_bytes("again/inside.txt") == b"1"  # within the root, links may lead where they like
    assert len(list(store.list())) == 1  # each file once, and none from outside
    assert (tmp_path / "secret.txt").read_text() == "secret"


def test_a_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    store = open_store(tmp_path / "root")
    store.write_bytes("a.txt", b"1")
    assert store.local_path("a.txt") == tmp_path / "root" / "a.txt"
    assert (tmp_path / "disk" / "a.txt").read_bytes() == b"1"


def test_a_killed_writers_leftover_is_not_listed_and_goes(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    left = tmp_path / ".nwbpipe-0123456789abcdef.partial"
    left.write_bytes(b"half")
    assert list(store.list()) == []
    store.write_bytes("a", b"1")
    assert left.exists()  # its writer may be at work
    os.utime(left, (0, 0))
    store.write_bytes("b", b"1")
    assert not left.exists()


def test_a_local_store_says_where_its_files_are(tmp_path: Path) -> None:
    assert open_store(tmp_path).local_path("a/b") == tmp_path / "a" / "b"
    assert open_store("file://" + str(tmp_path)).local_path("a") == tmp_path / "a"
    assert open_store("rel", base=tmp_path).local_path("a") == tmp_path / "rel" / "a"


# S3 ---------------------------------------------------------------------------------------------------------


def test_a_lost_answer_is_no_conflict(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"s3://{bucket.name}/x")
    assert isinstance(store, S3Store)
    store.write_bytes("warm", b"", if_absent=True)
    put = store._client.put_object

    def twice(**given: object) -> object:
        put(**given)  # carried out, and the answer lost: boto3 sends it again
        return put(**given)

    monkeypatch.setattr(store._client, "put_object", twice)
    tag = store.write_bytes("lease", b"mine", if_absent=True)
    assert store.stat("lease").tag == tag
    with pytest.raises(ConflictError):
        store.write_bytes("lease", b"mine", if_absent=True)


def test_a_server_that_checks_nothing_is_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"s3://{bucket.name}/x")
    assert isinstance(store, S3Store)
    put = store._client.put_object

    def careless(**given: object) -> object:
        return put(**{name: value for name, value in given.items() if not name.startswith("If")})

    monkeypatch.setattr(store._client, "put_object", careless)
    monkeypatch.setattr(_conditions, "_answers", {})
    with pytest.raises(FileAccessError, match="does not check"):
        store.write_bytes("lease", b"1", if_absent=True)
    assert list(store.list()) == []
    store.write_bytes("free", b"1")  # nothing was asked for that it can't do


def test_a_missing_permission_is_said(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(f"s3://{bucket.name}").write_bytes("a", b"1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER)
    store = open_store(f"s3://{bucket.name}")
    assert store.read_bytes("a") == b"1"
    with pytest.raises(FileAccessError, match="denied") as caught:
        store.write_bytes("a", b"2")
    assert READER not in str(caught.value)


# Others -----------------------------------------------------------------------------------------------------


def test_what_a_file_system_cannot_do_is_refused() -> None:
    store = open_store("http://127.0.0.1:9/folder")
    for condition in ({"if_absent": True}, {"if_tag": "x"}):
        with pytest.raises(RequestError, match="not supported"):
            store.write_bytes("a", b"1", **condition)  # type: ignore[arg-type]


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(FileAccessError, match="abfs://") as caught:
        open_store("abfs://bucket/prefix").exists("a")
    assert "install" in str(caught.value)
