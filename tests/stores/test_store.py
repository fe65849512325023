"""One contract for every kind of store: a local folder, a real S3 server, fsspec's memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.errors import ConflictError, FileAccessError, RequestError
from nwbpipe.stores import S3Store, Store, open_store
from nwbpipe.stores.s3 import _conditions
from tests.fixtures.s3 import READER, Bucket


@pytest.fixture(params=["local", "s3", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("bucket")
        yield open_store(f"s3://{bucket.name}/some/prefix")
    elif request.param == "memory":
        import fsspec

        fsspec.filesystem("memory").store.clear()
        yield open_store("memory://root")
        fsspec.filesystem("memory").store.clear()
    else:
        yield open_store(tmp_path / "root")


def test_a_store_keeps_files(store: Store) -> None:
    assert list(store.list()) == []
    assert not store.exists("a/b.txt")
    tag = store.write_bytes("a/b.txt", b"text")
    assert store.exists("a/b.txt")
    assert store.exists("a")  # a folder
    assert not store.exists("a/b")
    assert store.read_bytes("a/b.txt") == b"text"
    entry = store.stat("a/b.txt")
    assert (entry.path, entry.size, entry.tag) == ("a/b.txt", 4, tag)
    assert entry.modified is not None
    assert entry.modified.tzinfo is not None
    assert store.write_bytes("a/b.txt", b"other") != tag
    assert store.read_bytes("a/b.txt") == b"other"
    store.remove("a/b.txt")
    store.remove("a/b.txt")
    assert not store.exists("a/b.txt")


def test_what_is_not_there_is_said(store: Store) -> None:
    for asked in (store.read_bytes, store.stat, store.open):
        with pytest.raises(FileAccessError, match="no such") as caught:
            asked("nothing.txt")
        assert "nothing.txt" in str(caught.value)


def test_listing_and_patterns(store: Store) -> None:
    names = [
        "a.yaml",
        "m1/s1/session.yaml",
        "m1/s2/session.yaml",
        "m1/s2/x.nwb",
        "m10/session.yaml",
        ".hidden/b.yaml",
    ]
    for name in names:
        store.write_bytes(name, name.encode())
    assert [one.path for one in store.list()] == sorted(names)
    assert [one.path for one in store.list("m1")] == ["m1/s1/session.yaml", "m1/s2/session.yaml", "m1/s2/x.nwb"]

    def found(pattern: str) -> list[str]:
        return [one.path for one in store.glob(pattern)]

    assert found("**/session.yaml") == ["m1/s1/session.yaml", "m1/s2/session.yaml", "m10/session.yaml"]
    assert found("m1/*/session.yaml") == ["m1/s1/session.yaml", "m1/s2/session.yaml"]
    assert found("*.yaml") == ["a.yaml"]
    assert found("**") == sorted(name for name in names if not name.startswith("."))
    assert found("m1/s?/x.*") == ["m1/s2/x.nwb"]
    assert found(".hidden/*.yaml") == [".hidden/b.yaml"]
    assert found("m1/[s]1/*") == []  # brackets are letters


def test_no_path_leads_out(store: Store) -> None:
    for path in ("../x", "a/../../x", "/etc/passwd", "", ".", "a\0b", "..", "a\\..\\b", "C:/x"):
        for asked in (store.read_bytes, store.exists, store.stat, store.open, store.remove, store.local_path):
            with pytest.raises(RequestError):
                asked(path)
        with pytest.raises(RequestError):
            store.write_bytes(path, b"")


def test_if_absent_and_if_tag(store: Store) -> None:
    first = store.write_bytes("lease", b"one", if_absent=True)
    with pytest.raises(ConflictError):
        store.write_bytes("lease", b"two", if_absent=True)
    assert store.read_bytes("lease") == b"one"
    second = store.write_bytes("lease", b"two", if_tag=first)
    with pytest.raises(ConflictError):
        store.write_bytes("lease", b"three", if_tag=first)
    with pytest.raises(ConflictError):
        store.remove("lease", if_tag=first)
    assert store.read_bytes("lease") == b"two"
    store.remove("lease", if_tag=second)
    store.remove("lease", if_tag=second)  # it is not there: none to remove
    with pytest.raises(ConflictError):
        store.write_bytes("lease", b"four", if_tag=second)
    with pytest.raises(RequestError):
        store.write_bytes("lease", b"five", if_absent=True, if_tag=second)
    assert not store.exists("lease")


def test_of_several_writers_one_wins(store: Store) -> None:
    won: list[int] = []

    def claim(number: int) -> None:
        try:
            store.write_bytes("lease", str(number).encode(), if_absent=True)
        except ConflictError:
            return
        won.append(number)

    together(claim, 8)
    assert len(won) == 1
    assert store.read_bytes("lease") == str(won[0]).encode()


def test_a_counter_loses_no_step(store: Store) -> None:
    store.write_bytes("counter", b"0")

    def count(_: int) -> None:
        for _ in range(3):
            while True:
                tag = store.stat("counter").tag
                value = int(store.read_bytes("counter"))
                try:
                    store.write_bytes("counter", str(value + 1).encode(), if_tag=tag)
                    break
                except ConflictError:
                    continue

    together(count, 4)
    assert store.read_bytes("counter") == b"12"


def together(work: object, count: int) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not failures, failures


def test_a_file_is_opened_where_it_is(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    values = np.arange(3_000_000)
    with h5py.File(path, "w") as file:
        file["x"] = values
    tag = store.put_file(path, "deep/data.h5", if_absent=True)
    assert store.stat("deep/data.h5").tag == tag
    with pytest.raises(ConflictError):
        store.put_file(path, "deep/data.h5", if_absent=True)
    with store.open("deep/data.h5") as raw, h5py.File(raw, "r") as file:
        assert (file["x"][1_000_000:1_000_010] == values[1_000_000:1_000_010]).all()
    with store.open("deep/data.h5") as raw:
        raw.seek(-5, os.SEEK_END)
        assert raw.read() == path.read_bytes()[-5:]
        raw.seek(0)
        assert raw.read() == path.read_bytes()


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
    monkeypatch.setattr(_conditions, "_known", {})
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
    with pytest.raises(FileAccessError, match="gs://") as caught:
        open_store("gs://bucket/prefix").exists("a")
    assert "install" in str(caught.value)
