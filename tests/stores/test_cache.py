"""Blocks of remote files on disk: right whatever happened to them, shared, and within the limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from nwbpipe.errors import ConflictError, FileAccessError, RequestError
from nwbpipe.stores import CachedFile, cache_limit, open_store, trim_cache
from nwbpipe.stores._cache import BLOCK

CONTENT = np.random.default_rng(0).bytes(5 * BLOCK + 12_345)


class Source:
    """A remote file that counts what is asked of it."""

    def __init__(self, content: bytes = CONTENT, tag: str = "one") -> None:
        self.content, self.tag, self.size = content, tag, len(content)
        self.asked: list[tuple[int, int]] = []
        self.fail_after: int | None = None

    def fetch(self, start: int, stop: int) -> bytes:
        if self.fail_after is not None and len(self.asked) >= self.fail_after:
            raise FileAccessError("the network is gone")
        self.asked.append((start, stop))
        return self.content[start:stop]


def opened(source: Source, folder: Path, limit: int = 10**9, url: str = "s3://b/dir/x.bin") -> CachedFile:
    return CachedFile(source, url, folder=folder, limit=limit)


def test_what_was_read_is_not_fetched_again(tmp_path: Path) -> None:
    first, second = Source(), Source()
    with opened(first, tmp_path) as file:
        assert file.read_at(10, 2 * BLOCK - 5) == CONTENT[2 * BLOCK - 5 : 2 * BLOCK + 5]
        assert first.asked == [(BLOCK, 3 * BLOCK)]  # neighbours with one request
        assert file.read_at(100, len(CONTENT) - 50) == CONTENT[-50:]
        assert file.read_at(10, len(CONTENT) + 5) == b""
    with opened(second, tmp_path) as file:
        assert file.read_at(BLOCK, BLOCK) == CONTENT[BLOCK : 2 * BLOCK]
        assert second.asked == []
        assert file.path.name == "x.bin"
        assert file.fetch_whole().read_bytes() == CONTENT
        assert sorted(second.asked) == [(0, BLOCK), (3 * BLOCK, 5 * BLOCK)]


def test_another_state_is_another_file(tmp_path: Path) -> None:
    with opened(Source(), tmp_path) as file:
        file.fetch_whole()
    changed = Source(CONTENT[::-1], "two")
    with opened(changed, tmp_path) as file:
        assert file.fetch_whole().read_bytes() == CONTENT[::-1]


def test_reading_in_order_asks_ahead(tmp_path: Path) -> None:
    source = Source()
    with opened(source, tmp_path) as file:
        read = b"".join(file.read_at(BLOCK // 2, offset) for offset in range(0, len(CONTENT), BLOCK // 2))
    assert read == CONTENT
    assert len(source.asked) == 2


@pytest.mark.parametrize("harm", ["torn", "changed", "index", "cut"])
def test_what_is_wrong_on_the_disk_is_fetched_again(tmp_path: Path, harm: str) -> None:
    with opened(Source(), tmp_path) as file:
        path = file.fetch_whole()
    path.chmod(0o600)
    index = path.parents[1] / "blocks"
    if harm == "torn":
        with path.open("r+b") as raw:
            raw.seek(BLOCK + 1000)
            raw.write(b"\0" * 5000)
    elif harm == "changed":
        path.write_bytes(CONTENT[::-1])
    elif harm == "index":
        index.write_bytes(b"\x01" * index.stat().st_size)
    else:
        os.truncate(path, BLOCK)
    source = Source()
    with opened(source, tmp_path) as file:
        assert file.read_at(BLOCK, BLOCK) == CONTENT[BLOCK : 2 * BLOCK]
        assert file.fetch_whole().read_bytes() == CONTENT
        assert source.asked


def test_what_nobody_uses_goes_first_and_what_is_used_stays(tmp_path: Path) -> None:
    size = len(CONTENT)
    for number, url in enumerate(("s3://b/old", "s3://b/used", "s3://b/new")):
        with opened(Source(), tmp_path, url=url) as file:
            file.fetch_whole()
            os.utime(file.path.parents[1] / "lock", (number, number))
    with opened(Source(), tmp_path, url="s3://b/used") as used:
        os.utime(used.path.parents[1] / "lock", (0, 0))  # used longest ago, but in use
        assert trim_cache(tmp_path, int(2.5 * size)) <= 2.5 * size
        assert used.path.read_bytes() == CONTENT
        assert trim_cache(tmp_path, 0) > 0
        source = Source()
        with opened(source, tmp_path, url="s3://b/new") as again:
            again.read_at(1, 0)
            assert source.asked
    assert trim_cache(tmp_path, 0) == 0
    assert [one.name for one in tmp_path.iterdir()] == [".lock"]


def test_without_room_ranges_are_read_and_not_kept(tmp_path: Path) -> None:
    source = Source()
    with opened(source, tmp_path, limit=2 * BLOCK) as file:
        for offset in range(0, len(CONTENT), BLOCK):
            assert file.read_at(BLOCK, offset) == CONTENT[offset : offset + BLOCK]
        kept = sum(one.stat().st_blocks * 512 for one in tmp_path.rglob("*") if one.is_file())
        assert kept < 4 * BLOCK
        assert file.fetch_whole().read_bytes() == CONTENT  # what is needed whole is made whole


def test_a_lost_connection_leaves_what_was_fetched(tmp_path: Path) -> None:
    source = Source(np.random.default_rng(1).bytes(40 * BLOCK))
    source.fail_after = 1
    with opened(source, tmp_path) as file, pytest.raises(FileAccessError):
        file.fetch_whole()
    assert len(source.asked) == 1
    source.fail_after = None
    with opened(source, tmp_path) as file:
        assert file.fetch_whole().read_bytes() == source.content
    assert sum(stop - start for start, stop in source.asked) == source.size


def test_a_file_that_changes_while_it_is_downloaded_is_refused(tmp_path: Path) -> None:
    store = open_store("memory://changing")
    store.write_bytes("a", CONTENT)
    with CachedFile(store.open_ranged("a"), "memory://changing/a", folder=tmp_path) as file:
        file.read_at(1, 0)
        store.write_bytes("a", CONTENT[::-1])
        with pytest.raises(ConflictError):
            file.fetch_whole()


def test_a_source_that_goes_on_with_a_newer_state_is_not_kept(tmp_path: Path) -> None:
    source = Source()
    with opened(source, tmp_path) as file:
        file.read_at(1, 0)
        source.tag = "newer"
        assert file.read_at(BLOCK, BLOCK) == CONTENT[BLOCK : 2 * BLOCK]
    fresh = Source()
    with opened(fresh, tmp_path) as file:
        file.read_at(1, 0)
        assert fresh.asked == []
        file.read_at(1, BLOCK)
        assert fresh.asked


FILL = """
import sys
from pathlib import Path
from tests.stores.test_cache import CONTENT, Source, opened
file = opened(Source(), Path(sys.argv[1]), limit=int(sys.argv[2]))
print("open", flush=True)
assert file.fetch_whole().read_bytes() == CONTENT
print("whole", flush=True)
sys.stdin.read()
"""


def child(folder: Path, limit: int = 10**9) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FILL, str(folder), str(limit)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)


def test_several_processes_and_a_killed_one(tmp_path: Path) -> None:
    children = [child(tmp_path, limit=1) for _ in range(2)]  # each would throw out what the others use
    for one in children:
        assert one.stdout is not None
        assert [one.stdout.readline().strip() for _ in range(2)] == ["open", "whole"]
    assert trim_cache(tmp_path, 0) > len(CONTENT)
    for one in children:
        one.send_signal(signal.SIGKILL)
        one.wait()
        assert one.stdin is not None
        assert one.stdout is not None
        one.stdin.close()
        one.stdout.close()
    assert trim_cache(tmp_path, 0) == 0  # their locks died with them


def test_threads_that_read_at_once(tmp_path: Path) -> None:
    wrong: list[int] = []
    with opened(Source(), tmp_path) as file:

        def read(seed: int) -> None:
            rng = np.random.default_rng(seed)
            for _ in range(30):
                start = int(rng.integers(len(CONTENT)))
                size = int(rng.integers(2 * BLOCK))
                if file.read_at(size, start) != CONTENT[start : start + size]:
                    wrong.append(start)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert not wrong


def test_the_limit_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_limit() == 50_000_000_000
    monkeypatch.setenv("NWBPIPE_CACHE_GB", "0.5")
    assert cache_limit() == 500_000_000
    monkeypatch.setenv("NWBPIPE_CACHE_GB", "much")
    with pytest.raises(RequestError, match="NWBPIPE_CACHE_GB"):
        cache_limit()
