"""A folder for tools that demand one: links, downloads, outputs captured, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nwbpipe.errors import ConflictError, FileAccessError, RequestError
from nwbpipe.stores import LocalStore, Stage, open_store, remove_leftovers
from tests.fixtures.s3 import Bucket


def folders(scratch: Path) -> list[str]:
    return sorted(one.name for one in scratch.iterdir())


def test_local_files_are_linked(tmp_path: Path) -> None:
    raw = open_store(tmp_path / "raw")
    raw.write_bytes("m1/run/a.bin", b"a")
    raw.write_bytes("m1/run/deep/b.bin", b"b")
    with Stage(scratch=tmp_path / "scratch") as stage:
        folder = stage.place(raw, "m1/run", "input")
        assert folder == stage.folder / "input"
        assert (folder / "a.bin").resolve() == tmp_path / "raw" / "m1" / "run" / "a.bin"
        assert (folder / "deep" / "b.bin").read_bytes() == b"b"
        (folder / "written_beside_it.txt").write_text("by a tool")
        assert stage.place(raw, "m1/run/a.bin").read_bytes() == b"a"
    assert sorted(one.path for one in raw.list()) == ["m1/run/a.bin", "m1/run/deep/b.bin"]
    assert folders(tmp_path / "scratch") == []


def test_remote_files_are_downloaded_once(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = np.random.default_rng(0).bytes(3_000_000)
    store = open_store(f"s3://{bucket.name}/raw")
    store.write_bytes("m1/body.avi", content)
    store.write_bytes("m1/times.csv", b"t\n0\n")
    with Stage(scratch=tmp_path) as stage:
        folder = stage.place(store, "m1")
        assert (folder / "body.avi").read_bytes() == content
        assert not (folder / "body.avi").is_symlink()  # a tool that resolves links keeps the name and its neighbours
        assert not os.stat(folder / "body.avi").st_mode & 0o222  # noqa: PTH116
        assert (folder / "times.csv").read_bytes() == b"t\n0\n"

    def nothing(*_: object) -> bytes:
        raise AssertionError("it was downloaded again")

    monkeypatch.setattr("nwbpipe.stores.s3.RemoteObject.fetch", nothing)
    with Stage(scratch=tmp_path) as stage:
        assert stage.place(store, "m1/body.avi").read_bytes() == content
    assert folders(tmp_path) == []


def test_outputs_are_captured(tmp_path: Path) -> None:
    raw, out = open_store("memory://capture/raw"), open_store("memory://capture/out")
    raw.write_bytes("in/a.txt", b"input")
    with Stage(scratch=tmp_path) as stage:
        folder = stage.place(raw, "in")
        (folder / "result").mkdir()
        (folder / "result" / "x.npy").write_bytes(b"x")
        (folder / "log.txt").write_bytes(b"log")
        assert sorted(stage.capture("in", out, "run1")) == ["run1/log.txt", "run1/result/x.npy"]
        assert stage.capture("in/log.txt", out, "log.txt", if_absent=True) == ["log.txt"]
        with pytest.raises(ConflictError):
            stage.capture("in/log.txt", out, "log.txt", if_absent=True)
        with pytest.raises(FileAccessError, match="did not leave"):
            stage.capture("in/nothing", out, "nothing")
        (folder / "leak").symlink_to(Path(__file__).resolve())
        with pytest.raises(RequestError, match="link"):
            stage.capture("in/leak", out, "leak")
        assert "run2/leak" not in stage.capture("in", out, "run2")
    assert out.read_bytes("run1/result/x.npy") == b"x"


@pytest.mark.parametrize("name", ["../out", "/abs", "a/../../b"])
def test_nothing_is_placed_outside(tmp_path: Path, name: str) -> None:
    raw = open_store("memory://outside")
    raw.write_bytes("a", b"1")
    with Stage(scratch=tmp_path) as stage, pytest.raises(RequestError):
        stage.place(raw, "a", name)


def test_what_is_not_there(tmp_path: Path) -> None:
    with Stage(scratch=tmp_path) as stage:
        for store in (open_store("memory://empty-stage"), LocalStore(tmp_path / "raw")):
            with pytest.raises(FileAccessError, match="no such"):
                stage.place(store, "m1/run")


def test_a_failure_cleans_up(tmp_path: Path) -> None:
    def fail() -> None:
        with Stage(scratch=tmp_path) as stage:
            (stage.folder / "half").write_bytes(b"half")
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert folders(tmp_path) == []


OWNER = """
import sys
from pathlib import Path
from nwbpipe.stores import Stage, open_store
store = open_store(sys.argv[2])
with Stage(scratch=Path(sys.argv[1])) as stage:
    stage.place(store, "a.bin")
    print(stage.folder, flush=True)
    sys.stdin.read()
"""


def test_a_dead_owners_folder_is_removed_and_a_living_ones_stays(tmp_path: Path) -> None:
    open_store(tmp_path / "raw").write_bytes("a.bin", b"raw data")
    scratch = tmp_path / "scratch"
    command = [sys.executable, "-c", OWNER, str(scratch), str(tmp_path / "raw")]
    owners = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        paths = [Path(one.stdout.readline().strip()) for one in owners if one.stdout is not None]
        assert all((path / "a.bin").is_file() for path in paths)
        assert remove_leftovers(scratch) == []
        owners[0].send_signal(signal.SIGKILL)
        owners[0].wait()
        with Stage(scratch=scratch) as stage:
            assert not paths[0].exists()
            assert (paths[1] / "a.bin").is_file()
            assert stage.folder.is_dir()
        assert (tmp_path / "raw" / "a.bin").read_bytes() == b"raw data"  # the link went, not what it leads to
    finally:
        for one in owners:
            one.kill()
            one.communicate()
    with Stage(scratch=scratch):
        pass
    assert folders(scratch) == []


def test_a_video_is_streamed_from_s3(bucket: Bucket, tmp_path: Path) -> None:
    """PyAV on the store's file object: exact frames, a part of the bytes, nothing on the disk."""
    av = pytest.importorskip("av")
    path, frames = tmp_path / "body.mp4", 600
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.bit_rate, stream.gop_size = 320, 240, 8_000_000, 30
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, 7 * number, axis=1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert path.stat().st_size > 10_000_000
    store = open_store(f"s3://{bucket.name}/raw")
    store.put_file(path, "body.mp4")
    received: list[int] = []
    state = store.open_ranged("body.mp4")
    fetch = state.fetch

    def counted(start: int, stop: int) -> bytes:
        received.append(stop - start)
        return fetch(start, stop)

    state.fetch = counted  # type: ignore[method-assign]
    from nwbpipe.stores import RangeReader

    with av.open(RangeReader(state)) as remote, av.open(str(path)) as local:
        for second in (3, 15):
            assert np.array_equal(_frame_at(remote, second), _frame_at(local, second))
    assert 0 < sum(received) < path.stat().st_size / 2
    with store.open("body.mp4") as raw, av.open(raw) as remote:
        assert remote.streams.video[0].frames == frames
    assert not list(Path(os.environ["NWBPIPE_CACHE"]).rglob("body*"))


def _frame_at(container: object, second: int) -> np.ndarray:
    stream = container.streams.video[0]  # type: ignore[attr-defined]
    container.seek(int(second / stream.time_base), stream=stream)  # type: ignore[attr-defined]
    for frame in container.decode(stream):  # type: ignore[attr-defined]
        if frame.time >= second:
            found: np.ndarray = frame.to_ndarray(format="gray")
            return found
    raise AssertionError
