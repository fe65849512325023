"""A session file in S3 is processed where it is: ranges down, results up, no credentials in the tool's process."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe import files, stores
from nwbpipe.errors import ConflictError, FileAccessError, RequestError, ToolFailedError
from nwbpipe.files import FollowingObject
from nwbpipe.provenance import IdentityCache
from nwbpipe.run import process, verify_run
from nwbpipe.session import read_records, remove_step
from tests.fixtures.processing import Scale, write_session
from tests.fixtures.s3 import SECRET, Bucket


class Distant(Scale):
    """Reads a series in this process, in a forked and in a spawned one, and looks for credentials."""

    compute = "tests.fixtures._distant_compute"


def wide_session(path: Path, megabytes: int = 8) -> Path:
    """A session with a series of noise, whose bytes nothing compresses."""
    write_session(path, "lever")
    rng = np.random.default_rng(0)
    with nwbpipe.transaction(path) as nwbfile:
        from pynwb import TimeSeries

        data = rng.normal(size=(megabytes * 2**17,))
        nwbfile.add_acquisition(TimeSeries(name="noise", description="d", data=data, unit="V", rate=1000.0))
    return path


def test_results_go_into_the_object(bucket: Bucket, session_nwb: Path) -> None:
    url = bucket.put(session_nwb)
    run = process(url, Scale())
    assert run.computed
    assert not process(url, Scale()).computed  # done, nothing to do
    with nwbpipe.read(url) as nwbfile:
        scaled = nwbfile.processing["behavior"]["Scaled_scale"].data[:]
        assert np.array_equal(scaled, 2 * nwbfile.acquisition["lever"].data[:])
    assert bucket.uploads() == []


@pytest.mark.long
def test_a_result_is_replaced(bucket: Bucket, session_nwb: Path, tmp_path: Path) -> None:
    url = bucket.put(session_nwb)
    run = process(url, Scale())
    assert process(session_nwb, Scale()).record.key == run.record.key  # the same run, wherever the file is
    with pytest.raises(nwbpipe.errors.ResultExistsError):
        process(url, Scale(), params={"factor": 3.0})
    assert process(url, Scale(), params={"factor": 3.0}, replace=True).computed
    assert [(one.step, bool(one.superseded)) for one in read_records(url)] == [("scale", True), ("scale", False)]
    assert nwbpipe.check(bucket.get(tmp_path / "down.nwb")).in_order


def test_the_tool_reads_ranges_and_holds_no_credentials(bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put(wide_session(tmp_path / "session.nwb"))
    run = process(url, Distant(), inputs={"series": "noise"}, step="far")
    with nwbpipe.read(url) as nwbfile:
        expected = float(np.sum(nwbfile.acquisition["noise"].data[:]))
    log = run.log.read_text() if run.log else ""
    assert SECRET not in log
    sums = [float(line.split()[-1]) for line in log.splitlines() if " sum " in line]
    assert sums == pytest.approx([expected] * 3)
    assert "no credentials" in log


@pytest.mark.long
def test_what_was_identified_is_not_downloaded_again(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bucket.put(wide_session(tmp_path / "session.nwb", megabytes=24))
    received: list[int] = []
    fetch = stores.s3.RemoteObject.fetch

    def counted(self: Any, start: int, stop: int) -> bytes:
        received.append(stop - start)
        return fetch(self, start, stop)

    monkeypatch.setattr(stores.s3.RemoteObject, "fetch", counted)
    process(url, Scale(), inputs={"series": "noise"})
    once = sum(received)
    assert once < 1.6 * 24e6  # identities and the tool share what was read; the commit reads metadata
    received.clear()
    process(url, Scale(), inputs={"series": "noise"}, step="again", params={"factor": 3.0})
    assert sum(received) < 2 * once  # identities were carried over the commit: only the tool reads


@pytest.mark.long
def test_a_commit_that_comes_first_is_built_upon(bucket: Bucket, session_nwb: Path) -> None:
    url = bucket.put(session_nwb)

    class Overtaken(Scale):
        tries = 0

        def write(self, nwbfile: Any, results: Any, context: Any) -> None:
            super().write(nwbfile, results, context)
            Overtaken.tries += 1
            if Overtaken.tries == 1:
                process(url, Scale(), step="other", params={"factor": 3.0})

    process(url, Overtaken(), step="mine")
    assert Overtaken.tries == 2
    assert {one.step for one in read_records(url)} == {"mine", "other"}
    with nwbpipe.read(url) as nwbfile:
        assert {"Scaled_mine", "Scaled_other"} <= set(nwbfile.processing["behavior"].data_interfaces)


@pytest.mark.usefixtures("test_processors")
def test_a_result_is_verified_where_it_is(bucket: Bucket, session_nwb: Path) -> None:
    url = bucket.put(session_nwb)
    process(url, "scale")
    before = bucket.data()
    found = verify_run(url, "scale", threads=1)
    assert found
    assert all(one.ok for one in found)
    assert bucket.data() == before


@pytest.mark.long
def test_a_reader_goes_on_through_commits_but_not_through_a_new_file(bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put(wide_session(tmp_path / "session.nwb"))
    process(url, Scale(), inputs={"series": "lever"})  # from now on the object says which writes it holds
    source = FollowingObject(bucket.client, stores.s3.parse_address(url))
    with files.open_remote(url) as file:
        chunk = file["/acquisition/noise/data"].id.get_chunk_info(0)
    start, stop = chunk.byte_offset, chunk.byte_offset + chunk.size
    before = bucket.data()[start:stop]
    process(url, Scale(), inputs={"series": "lever"}, step="second", params={"factor": 3.0})
    remove_step(url, "scale")
    assert source.fetch(start, stop) == before
    assert source.failure is None
    bucket.put(tmp_path / "session.nwb")
    with pytest.raises(ConflictError):
        source.fetch(start, stop)


@pytest.mark.long
def test_identities_are_carried_over_only_the_own_commit(bucket: Bucket, session_nwb: Path) -> None:
    url = bucket.put(session_nwb)
    process(url, Scale())
    assert IdentityCache().look_up(url, "/acquisition/lever") is not None
    with nwbpipe.transaction(url) as nwbfile:
        nwbfile.acquisition["lever"].data[0, 0] = 99.0
    assert IdentityCache().look_up(url, "/acquisition/lever") is None
    assert not IdentityCache().identify(url, "/acquisition/lever").cached
    assert process(url, Scale(), replace=True).computed


@pytest.mark.long
def test_what_the_server_of_ranges_could_not_read_fails_the_run(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bucket.put(wide_session(tmp_path / "session.nwb"))
    before = bucket.data()

    def lost(self: Any, start: int, stop: int) -> bytes:
        raise FileAccessError("S3 can't be reached", where=url)

    monkeypatch.setattr(FollowingObject, "fetch", lost)
    monkeypatch.setattr(stores.CachedFile, "_read_cached", lambda *_, **__: None)
    monkeypatch.setattr("nwbpipe.provenance._cache.IdentityCache.identify_all", _identify)
    with pytest.raises(FileAccessError, match="can't be reached"):
        process(url, Scale(), inputs={"series": "noise"})
    assert bucket.data() == before


def _identify(self: Any, file: Any, paths: Any, **_: Any) -> Any:
    from nwbpipe.provenance import Identity

    return [Identity(hashlib.sha256(path.encode()).hexdigest(), path, "", "TimeSeries", False) for path in paths]


@pytest.mark.long
def test_a_tool_that_fails_leaves_the_object(bucket: Bucket, session_nwb: Path) -> None:
    url = bucket.put(session_nwb)
    before = bucket.data()
    with pytest.raises(ToolFailedError):
        process(url, Scale(), params={"ending": "raise"})
    assert bucket.data() == before
    scratch = Path(os.environ["NWBPIPE_SCRATCH"])
    assert [one for one in scratch.iterdir() if one.is_dir()] == []


def test_other_stores_are_changed_where_writes_are_conditional(session_nwb: Path) -> None:
    store = stores.open_store("memory://process")
    store.put_file(session_nwb, "session.nwb")
    url = store.location("session.nwb")
    run = process(url, Scale())
    assert read_records(url) == [run.record]
    assert not process(url, Scale()).computed
    with pytest.raises(RequestError, match="not supported"):
        process("abfs://bucket/session.nwb", Scale())
    store.write_bytes("text.nwb", b"no HDF5 at all")
    with pytest.raises(nwbpipe.errors.UnsupportedFileError), nwbpipe.read(store.location("text.nwb")):
        pass


@pytest.mark.long
def test_an_external_video_is_downloaded_once(bucket: Bucket, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.image import ImageSeries

    class Video(Scale):
        inputs: ClassVar = {"series": nwbpipe.Input("ImageSeries")}
        compute = "tests.fixtures._video_size_compute"

        def prepare(self, nwbfile: Any, context: Any) -> dict[str, str]:
            return {"unit": "a.u."}

    nwbfile = NWBFile("s", "id", datetime(2024, 5, 1, tzinfo=UTC))
    nwbfile.add_acquisition(
        ImageSeries(name="video", external_file=["session/body.avi"], rate=10.0, starting_time=0.0, format="external",
                    starting_frame=[0], unit="n.a.", num_samples=2)
    )  # fmt: skip
    with NWBHDF5IO(tmp_path / "session.nwb", "w") as io:
        io.write(nwbfile)
    url = bucket.put(tmp_path / "session.nwb", "deep/session.nwb")
    with pytest.raises(nwbpipe.errors.InputError, match="external file"):
        process(url, Video())
    media = np.random.default_rng(0).bytes(3_000_000)
    bucket.client.put_object(Bucket=bucket.name, Key="deep/session/body.avi", Body=media)
    process(url, Video())
    with nwbpipe.read(url) as found:
        scaled = found.processing["behavior"]["Scaled_scale"].data[:]
    assert scaled.tolist() == [len(media), sum(media)]
    with h5py.File(tmp_path / "session.nwb", "r") as file:
        assert file["/acquisition/video/external_file"].asstr()[0] == "session/body.avi"
