"""Session files in S3, on a real server: what is moved, what is kept, and who wins."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import nwbpipe
from nwbpipe import files
from nwbpipe.errors import ConflictError
from nwbpipe.files.s3 import _commit
from nwbpipe.session import SessionFile
from nwbpipe.stores import _s3
from nwbpipe.stores.s3 import _client
from tests.files.helpers import child, wait_for_line
from tests.fixtures.s3 import Bucket

pytestmark = pytest.mark.slow

MB = 10**6


class Traffic:
    """What one of nwbpipe's clients sends and receives."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.up = self.down = 0
        self._lock = threading.Lock()

    def watch(self, client: Any) -> Any:
        client.meta.events.register("before-send.s3", self._sent)
        client.meta.events.register("after-call.s3", self._answered)
        return client

    def _sent(self, request: Any, event_name: str, **_: Any) -> None:
        with self._lock:
            self.requests.append(event_name.rpartition(".")[2])
            self.up += int(request.headers.get("Content-Length", 0))

    def _answered(self, http_response: Any, event_name: str, **_: Any) -> None:
        with self._lock:
            if not event_name.endswith("HeadObject"):
                self.down += int(http_response.headers.get("Content-Length", 0))


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> Traffic:
    watched = Traffic()
    monkeypatch.setattr(_s3, "connect", lambda: watched.watch(_client.connect()))
    return watched


def large_file(path: Path, megabytes: int, **layout: Any) -> Path:
    values = np.random.default_rng(megabytes).integers(0, 2**62, megabytes * MB // 8)
    with h5py.File(path, "w", **layout) as file:
        for number, part in enumerate(np.array_split(values, 8)):
            file.create_dataset(f"group{number}/values", data=part, chunks=(2**16,))
    return path


def append(url: str, name: str = "new", size: int = MB) -> None:
    with files.transaction(url) as file:
        file[name] = np.arange(size)


# What is moved ---------------------------------------------------------------------------------------------


def test_what_an_append_moves_does_not_grow_with_the_object(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = {"fs_strategy": "page", "fs_page_size": 2**16}
    moved = {}
    for megabytes in (32, 128):
        url = bucket.put(large_file(tmp_path / "old.h5", megabytes, **layout), f"{megabytes}.h5")
        append(url, "first", 10)  # asks, once, whether the server checks conditions
        watched = Traffic()
        monkeypatch.setattr(_s3, "connect", lambda watched=watched: watched.watch(_client.connect()))
        append(url)
        moved[megabytes] = watched
        new = bucket.get(tmp_path / "new.h5", f"{megabytes}.h5")
        with h5py.File(new) as after, h5py.File(tmp_path / "old.h5") as before:
            assert np.array_equal(after["new"][()], np.arange(MB))
            for number in range(8):
                assert np.array_equal(after[f"group{number}/values"][()], before[f"group{number}/values"][()])
    for one in moved.values():
        print(f"up {one.up / MB:.1f} MB, down {one.down / MB:.1f} MB, {len(one.requests)} requests")
        assert one.up < 8 * MB + 20 * MB  # what is new is 8 MB
        assert one.down < 20 * MB
        assert len(one.requests) < 30
    small, large = moved[32], moved[128]
    assert large.up <= small.up + 6 * MB
    assert large.down <= small.down + 6 * MB
    assert len(large.requests) <= len(small.requests) + 4


def test_a_small_object_is_sent_whole(bucket: Bucket, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    append(bucket.put(tmp_path / "a.h5"), size=10)
    with h5py.File(bucket.get(tmp_path / "b.h5")) as file:
        assert sorted(file) == ["new", "x"]


def test_a_block_that_changes_nothing_sends_nothing(bucket: Bucket, tmp_path: Path, traffic: Traffic) -> None:
    url = bucket.put(large_file(tmp_path / "a.h5", 8))
    before = bucket.data()
    with pytest.raises(RuntimeError), files.transaction(url) as file:  # noqa: PT012
        file["x"] = 1
        raise RuntimeError
    assert bucket.data() == before
    assert bucket.uploads() == []
    assert "CompleteMultipartUpload" not in traffic.requests[-1]


def test_opening_and_reading_one_trace_takes_few_requests(bucket: Bucket, tmp_path: Path, traffic: Traffic) -> None:
    layout = {"fs_strategy": "page", "fs_page_size": 2**16}
    url = bucket.put(large_file(tmp_path / "a.h5", 64, **layout))
    with files.open_remote(url) as file:
        assert file["group5/values"][:10].shape == (10,)
    assert len(traffic.requests) <= 10
    assert traffic.down < 10 * MB


# What is kept ----------------------------------------------------------------------------------------------


def test_what_an_object_has_beside_its_bytes_is_kept(bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put(
        large_file(tmp_path / "a.h5", 8),
        ContentType="application/x-hdf5",
        CacheControl="no-cache",
        ContentDisposition='attachment; filename="a.nwb"',
        Metadata={"lab": "x"},
        Tagging="project=a%20b&public=no",
    )
    append(url)
    head = bucket.client.head_object(Bucket=bucket.name, Key="session.nwb")
    assert head["ContentType"] == "application/x-hdf5"
    assert head["CacheControl"] == "no-cache"
    assert head["ContentDisposition"] == 'attachment; filename="a.nwb"'
    assert head["Metadata"].pop("nwbpipe-writes")
    assert head["Metadata"] == {"lab": "x"}
    tags = bucket.client.get_object_tagging(Bucket=bucket.name, Key="session.nwb")["TagSet"]
    assert {one["Key"]: one["Value"] for one in tags} == {"project": "a b", "public": "no"}


def test_storage_class_and_encryption_are_asked_for_again() -> None:
    from nwbpipe.files.s3._commit import _KEPT

    assert {"StorageClass", "ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled"} <= set(_KEPT)


# Who wins --------------------------------------------------------------------------------------------------


def test_of_two_writers_one_is_told(bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put(large_file(tmp_path / "a.h5", 16))
    with pytest.raises(ConflictError, match="another writer") as caught, files.transaction(url) as file:  # noqa: PT012
        file["late"] = np.arange(10)
        append(url, "early", 10)
    assert caught.value.exit_code == 1
    assert url in str(caught.value)
    with h5py.File(bucket.get(tmp_path / "b.h5")) as file:
        assert "early" in file
        assert "late" not in file
    assert bucket.uploads() == []


def test_a_writer_that_comes_between_the_last_look_and_the_completion(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bucket.put(large_file(tmp_path / "a.h5", 16))
    send, nested = _commit.ObjectCommit._send, []

    def and_another(self: Any, *given: Any) -> Any:
        done = send(self, *given)
        if not nested:
            nested.append(1)
            append(url, "early", 10)
        return done

    monkeypatch.setattr(_commit.ObjectCommit, "_send", and_another)
    with pytest.raises(ConflictError):
        append(url, "late", 10)
    with h5py.File(bucket.get(tmp_path / "b.h5")) as file:
        assert "early" in file
        assert "late" not in file


def test_update_does_it_again(bucket: Bucket, session_nwb: Path, tmp_path: Path) -> None:
    url, calls = bucket.put(session_nwb), []

    def change(nwbfile: Any) -> str:
        calls.append(sorted(nwbfile.processing))
        if len(calls) == 1:
            with nwbpipe.transaction(url) as other:
                other.create_processing_module("ophys", "another writer's")
        nwbfile.create_processing_module("behavior", "ours")
        return "done"

    assert nwbpipe.update(url, change) == "done"
    assert calls == [[], ["ophys"]]
    with nwbpipe.read(bucket.get(tmp_path / "b.nwb")) as nwbfile:
        assert sorted(nwbfile.processing) == ["behavior", "ophys"]


def test_many_writers_lose_nothing(bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put(large_file(tmp_path / "a.h5", 6))
    outcomes: list[str] = []

    def work(name: str) -> None:
        for _ in range(60):
            script = f"""
                from nwbpipe.errors import ConflictError
                try:
                    with transaction({url!r}) as file:
                        file[{name!r}] = 1
                    print("done")
                except ConflictError:
                    print("conflict")
            """
            with child(script) as process:
                assert process.stdout is not None
                answer = process.stdout.read().strip()
            outcomes.append(answer)
            if answer != "conflict":
                return

    threads = [threading.Thread(target=work, args=(f"writer{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("done") == 3, outcomes
    with h5py.File(bucket.get(tmp_path / "b.h5")) as file:
        assert [name for name in file if name.startswith("writer")] == ["writer0", "writer1", "writer2"]


def test_a_reader_is_told_that_its_state_is_gone(bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put(large_file(tmp_path / "a.h5", 96))
    with pytest.raises(ConflictError), files.open_remote(url) as file:  # noqa: PT012
        append(url, size=10)
        for number in range(8):
            file[f"group{number}/values"][()]


# Uploads that were not completed -----------------------------------------------------------------------------


def test_an_upload_of_a_killed_process_is_found_and_removed(bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put(large_file(tmp_path / "a.h5", 16))
    before = bucket.data()
    foreign = bucket.client.create_multipart_upload(Bucket=bucket.name, Key="session.nwb")["UploadId"]
    script = f"""
        from nwbpipe.files.s3 import _commit
        send = _commit.ObjectCommit._send
        def stop(self, *given):
            send(self, *given)
            print("waiting", flush=True)
            time.sleep(60)
        _commit.ObjectCommit._send = stop
        with transaction({url!r}) as file:
            file["x"] = 1
    """
    with child(script) as process:
        wait_for_line(process)
        process.kill()
        process.wait()
    assert bucket.data() == before
    (orphan,) = files.s3_orphans(url)
    assert orphan.url == url
    assert orphan.upload_id != foreign
    assert files.s3_orphans(f"s3://{bucket.name}/") == [orphan]
    assert files.s3_orphans(f"s3://{bucket.name}/session") == []
    assert files.abort_s3_orphans(url) == []  # too young
    assert files.abort_s3_orphans(url, older_than=timedelta(0)) == [orphan]
    assert files.s3_orphans(url) == []
    assert bucket.uploads() == ["session.nwb"]  # the foreign one
    append(url)


# NWB -------------------------------------------------------------------------------------------------------


def test_nwb_files(bucket: Bucket, session_nwb: Path) -> None:
    url = bucket.put(session_nwb)
    assert SessionFile.at(url).snapshot().nwb_version >= (2, 0)
    with nwbpipe.transaction(url) as nwbfile:
        nwbfile.create_processing_module("behavior", "test")
    with nwbpipe.read(url) as nwbfile:
        assert list(nwbfile.processing) == ["behavior"]
        assert nwbfile.acquisition["lever"].data[0, 0] == 0.0
    assert nwbpipe.read_records(url) == []


def test_log(bucket: Bucket, session_nwb: Path) -> None:
    from nwbpipe.cli._main import app

    url = bucket.put(session_nwb)
    done = CliRunner().invoke(app, ["log", url, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output) == []
