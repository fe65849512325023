"""The cache of identities: when it may be trusted, and that nothing breaks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.errors import FileAccessError, InputError, SourceError, UnsupportedFileError
from nwbpipe.files import transaction
from nwbpipe.provenance import IdentityCache, default_cache_folder, identify_file, identify_object
from nwbpipe.provenance import _cache as cache_module
from tests.provenance.nwb import CURRENT, EPHYS, SPEED, VIDEO, write_session

SETTLE = 0.1


@pytest.fixture
def cache(tmp_path: Path) -> IdentityCache:
    return IdentityCache(tmp_path / "cache", settle_s=SETTLE)


@pytest.fixture
def session(tmp_path: Path) -> Path:
    path = write_session(tmp_path / "session.nwb")
    time.sleep(SETTLE)
    return path


# Opening is watched by an audit hook, which can't be removed: one for all, switched on by a list.
_opened: list[str] | None = None


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _opened is not None and event == "open":
        _opened.append(str(arguments[0]))


sys.addaudithook(_hook)


def test_an_unchanged_file_is_not_opened(
    cache: IdentityCache, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cache.identify(session, EPHYS)
    video = cache.identify(session, VIDEO)
    assert not first.cached
    with h5py.File(session) as file:
        assert first.identity == identify_object(file, EPHYS, folder=session.parent)
        assert first.object_id == file[EPHYS].attrs["object_id"]
        assert first.neurodata_type == "ElectricalSeries"

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the file was opened")

    # HDF5 opens files in C, which no audit hook sees; Python's own opens are watched by one.
    monkeypatch.setattr(h5py, "File", refuse)
    global _opened
    _opened = []
    again, video_again = cache.identify(session, EPHYS), cache.identify(str(session), VIDEO)
    opened, _opened = _opened, None
    assert again.cached
    assert video_again.cached
    assert (again.identity, again.object_id) == (first.identity, first.object_id)
    assert video_again.identity == video.identity
    assert opened
    assert all(name.startswith((str(cache.folder), "/proc/self/mountinfo")) for name in opened)


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts bytes read, which only Linux tells")
def test_nothing_is_read_of_a_large_file(cache: IdentityCache, tmp_path: Path) -> None:
    path = tmp_path / "large.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(5_000_000)
    time.sleep(SETTLE)

    def read() -> int:
        return int(dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())["rchar"])

    start = read()
    cache.identify(path, "x")
    middle = read()
    assert cache.identify(path, "x").cached
    assert middle - start > 40_000_000
    assert read() - middle < 50_000


def test_a_changed_file_is_hashed_again(cache: IdentityCache, session: Path) -> None:
    before = cache.identify(session, CURRENT)
    stat = session.stat()
    with h5py.File(session, "r+") as file:
        file[f"{SPEED}/timestamps"][25] += 1.0
    os.utime(session, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # a program that hides its change
    assert session.stat().st_size == stat.st_size
    time.sleep(SETTLE)
    after = cache.identify(session, CURRENT)
    assert not after.cached
    assert after.identity != before.identity
    assert cache.identify(session, CURRENT).cached


def test_a_changed_video_counts(cache: IdentityCache, session: Path) -> None:
    before = cache.identify(session, VIDEO)
    probe = cache.identify(session, EPHYS)
    video = session.parent / "media/body.avi"
    content = video.read_bytes()
    video.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    time.sleep(SETTLE)
    after = cache.identify(session, VIDEO)
    assert not after.cached
    assert after.identity != before.identity
    assert cache.identify(session, EPHYS) == type(probe)(
        probe.identity, EPHYS, probe.object_id, "ElectricalSeries", True
    )
    video.unlink()
    with pytest.raises(InputError, match=r"body\.avi"):
        cache.identify(session, VIDEO)


def test_a_file_that_has_just_changed_is_not_kept(tmp_path: Path) -> None:
    """As in git: a change within the resolution of the clock would leave the same stat."""
    cache = IdentityCache(tmp_path / "cache", settle_s=60)
    path = write_session(tmp_path / "session.nwb")
    assert not cache.identify(path, SPEED).cached
    assert not cache.identify(path, SPEED).cached
    (tmp_path / "raw").write_bytes(b"x")
    os.utime(tmp_path / "raw", (1, 1))  # as copying programs do: it has changed now all the same
    cache.identify_file(tmp_path / "raw")
    assert not cache.folder.exists()


def test_a_large_file_is_given_time_to_rest(
    cache: IdentityCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_LARGE", 1000)
    path = write_session(tmp_path / "session.nwb")
    assert not cache.identify(path, SPEED).cached
    assert cache.identify(path, SPEED).cached


def test_replaced_by_a_file_of_another_inode(cache: IdentityCache, session: Path) -> None:
    cache.identify(session, SPEED)
    stat = session.stat()
    copy = session.with_suffix(".copy")
    copy.write_bytes(session.read_bytes())
    os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    copy.replace(session)
    time.sleep(SETTLE)
    assert not cache.identify(session, SPEED).cached


def commit(path: Path) -> None:
    """A commit of ours: a copy is changed and moved into place."""
    new = path.with_suffix(".new")
    new.write_bytes(path.read_bytes())
    with h5py.File(new, "r+") as file:
        file["processing/ophys/added/data"] = np.arange(3)
    new.replace(path)


def test_our_own_commit_costs_nothing(cache: IdentityCache, session: Path) -> None:
    paths = [EPHYS, SPEED, VIDEO, "/processing/ophys", "/processing/ophys/Fluorescence/traces"]
    found = {path: cache.identify(session, path).identity for path in paths}
    before = cache.stat(session)
    commit(session)
    assert cache.carry_over(session, before, ["processing/ophys/added"]) == 4
    for path in paths:
        now = cache.identify(session, path)
        assert now.cached == (path != "/processing/ophys")  # it contains what was added
        assert (now.identity == found[path]) == (path != "/processing/ophys")


def test_what_depends_on_a_change_is_forgotten(cache: IdentityCache, session: Path) -> None:
    for path in (EPHYS, SPEED, CURRENT, VIDEO):
        cache.identify(session, path)
    before = cache.stat(session)
    commit(session)
    assert cache.carry_over(session, before, changed_paths=[f"{SPEED}/timestamps"]) == 1
    assert cache.identify(session, EPHYS).cached
    assert not cache.identify(session, CURRENT).cached


def test_a_foreign_change_before_our_commit_is_not_carried_over(cache: IdentityCache, session: Path) -> None:
    cache.identify(session, SPEED)
    with h5py.File(session, "r+") as file:
        file[f"{SPEED}/data"][0] += 1
    before = cache.stat(session)
    commit(session)
    assert cache.carry_over(session, before, []) == 0
    assert not cache.identify(session, SPEED).cached


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"{", b"[]", b"null", b"{}", b'{"format": 1}', "objects", "sha256", "stat", "format"],
    ids=str,
)
def test_a_corrupt_cache_counts_as_empty(cache: IdentityCache, session: Path, content: bytes | str) -> None:
    found = cache.identify(session, SPEED)
    (kept,) = cache.folder.iterdir()
    if isinstance(content, str):
        content = json.dumps(json.loads(kept.read_text()) | {content: {SPEED: {"identity": 5}}}).encode()
    kept.write_bytes(content)
    again = cache.identify(session, SPEED)
    assert (again.identity, again.cached) == (found.identity, False)
    assert cache.identify(session, SPEED).cached


def test_a_folder_that_can_not_be_written(session: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = IdentityCache(tmp_path / "file", settle_s=SETTLE)
    assert not cache.identify(session, SPEED).cached
    assert not cache.identify(session, SPEED).cached


def test_processes_that_write_at_once(session: Path, tmp_path: Path) -> None:
    code = f"""
from nwbpipe.provenance import IdentityCache
cache = IdentityCache({str(tmp_path / "cache")!r}, settle_s=0)
for _ in range(30):
    for path in {[EPHYS, SPEED, CURRENT]!r}:
        print(path, cache.identify({str(session)!r}, path).identity)
    for kept in cache.folder.glob("*.json"):
        if __import__("random").random() < 0.3:
            kept.unlink(missing_ok=True)
"""
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    lines: set[str] = set()
    for process in running:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        lines.update(out.splitlines())
    assert len(lines) == 3
    assert not list((tmp_path / "cache/identities").glob(".new-*"))


def test_what_can_not_be_read(cache: IdentityCache, session: Path, tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match=r"gone\.nwb"):
        cache.identify(tmp_path / "gone.nwb", SPEED)
    (tmp_path / "text.nwb").write_text("no HDF5")
    with pytest.raises(UnsupportedFileError, match=r"text\.nwb"):
        cache.identify(tmp_path / "text.nwb", SPEED)
    with pytest.raises(InputError, match="no object at this path"):
        cache.identify(session, "/acquisition/nothing")


def test_the_folder_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NWBPIPE_CACHE", str(tmp_path / "mine"))
    assert default_cache_folder() == tmp_path / "mine"
    assert IdentityCache().folder.parent == tmp_path / "mine"
    monkeypatch.delenv("NWBPIPE_CACHE")
    assert default_cache_folder().name == "nwbpipe"


# Raw files ------------------------------------------------------------------------------------------------


def test_a_raw_file(cache: IdentityCache, tmp_path: Path) -> None:
    raw = tmp_path / "a.bin"
    raw.write_bytes(b"abc")
    time.sleep(SETTLE)
    found = cache.identify_file(raw)
    assert found.size == 3
    assert found.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert identify_file(raw, cache=cache) == found
    global _opened
    _opened = []
    assert cache.identify_file(raw) == found
    opened, _opened = _opened, None
    assert str(raw) not in opened
    raw.write_bytes(b"abd")
    assert cache.identify_file(raw).identity != found.identity


def test_a_folder_is_a_tree_of_relative_names(cache: IdentityCache, tmp_path: Path) -> None:
    def make(name: str) -> Path:
        folder = tmp_path / name
        (folder / "sub").mkdir(parents=True)
        (folder / "a.bin").write_bytes(b"abc")
        (folder / "sub/b.bin").write_bytes(b"def")
        return folder

    one, two = make("one"), make("two")
    found = cache.identify_file(one)
    assert found.size == 6
    assert cache.identify_file(two) == found  # not its own name
    (two / "loop").symlink_to(two, target_is_directory=True)
    assert cache.identify_file(two) == found
    (two / "sub/b.bin").rename(two / "sub/c.bin")
    assert cache.identify_file(two) != found
    (two / "sub/c.bin").rename(two / "b.bin")
    assert cache.identify_file(two) != found
    (two / "b.bin").rename(two / "sub/b.bin")
    (two / "sub/b.bin").write_bytes(b"deg")
    assert cache.identify_file(two) != found
    (one / "empty").touch()
    assert cache.identify_file(one) != found


def test_mode_stat_reads_nothing(cache: IdentityCache, tmp_path: Path) -> None:
    raw = tmp_path / "raw/a.bin"
    raw.parent.mkdir()
    raw.write_bytes(b"abc")
    global _opened
    _opened = []
    found, folder = cache.identify_file(raw, mode="stat"), cache.identify_file(raw.parent, mode="stat")
    opened, _opened = _opened, None
    assert opened == []
    assert (found.size, found.sha256, found.mtime_ns) == (3, "", raw.stat().st_mtime_ns)
    assert found.identity.startswith("stat:")
    os.utime(raw, (1, 1))
    assert cache.identify_file(raw, mode="stat") != found
    assert cache.identify_file(raw.parent, mode="stat") != folder


def test_a_missing_source(cache: IdentityCache, tmp_path: Path) -> None:
    for mode in ("full", "stat"):
        with pytest.raises(SourceError, match=r"gone\.tif"):
            cache.identify_file(tmp_path / "gone.tif", mode=mode)


@pytest.mark.parametrize("torn", [InputError("a link leads nowhere"), RuntimeError("addr overflow"), KeyError("x")])
def test_what_a_commit_tore_is_read_again(
    torn: Exception, cache: IdentityCache, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, tries = cache_module.find_identity, []

    def find(file: h5py.File, path: str, **options: object) -> object:
        tries.append(path)
        if len(tries) == 1:
            with transaction(session) as changed:
                changed.attrs["late"] = 1
            raise torn
        return whole(file, path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(cache_module, "find_identity", find)
    found = cache.identify(session, EPHYS)
    assert len(tries) >= 2
    with h5py.File(session) as file:
        assert found.identity == identify_object(file, EPHYS, folder=session.parent)

    def fail(*given: object, **options: object) -> None:
        raise torn

    monkeypatch.setattr(cache_module, "find_identity", fail)
    with pytest.raises(type(torn)):  # no commit came between
        cache.identify(session, SPEED)


def test_files_elsewhere_have_the_identity_of_their_copies(tmp_path: Path) -> None:
    from nwbpipe.provenance import RemoteStat
    from nwbpipe.stores import Stage, open_store

    store = open_store(f"memory://{tmp_path.name}")
    for name in ("raw/b.bin", "raw/a/c.bin"):
        store.write_bytes(name, name.encode() * 100)
    entries = list(store.list("raw"))
    files = {one.path[4:]: (store.location(one.path), RemoteStat(one.tag, one.size)) for one in entries}
    cache = IdentityCache(tmp_path / "cache")
    assert cache.identify_remote_within(files, limit=10) is None  # larger, and not known
    with Stage(scratch=tmp_path / "scratch") as stage:
        copies = stage.place(store, "raw")
        found = cache.identify_file(copies, origins=stage.origins)
        assert found == IdentityCache(tmp_path / "other").identify_file(copies)
        one = cache.identify_file(copies / "b.bin", origins=stage.origins)
    assert cache.identify_remote_within(files, limit=10) == found  # what was hashed of the copies is known
    assert cache.identify_remote_within({"": files["b.bin"]}) == one
    assert IdentityCache(tmp_path / "third").identify_remote_within(files, limit=2000) == found
    changed = files | {"b.bin": (files["b.bin"][0], RemoteStat("another", 900))}
    assert cache.identify_remote_within(changed, limit=10) is None
