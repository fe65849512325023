"""Files of strangers that lead out of their folder, or would harm their reader, are refused before they are read."""

from __future__ import annotations

import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.errors import DamagedFileError, FileAccessError, UnsafeFileError
from nwbpipe.files import FileCondition, inspect_file, repack, require_safe, screen, transaction
from nwbpipe.files import _screening as screening
from nwbpipe.machine import _forked
from nwbpipe.session import SessionFile


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Return a private file outside of the data's folder; an HDF5 file stands beside it."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "id_rsa").write_bytes(b"-----BEGIN PRIVATE KEY-----")
    with h5py.File(home / "other.h5", "w") as file:
        file["values"] = np.arange(4.0)
    return home / "id_rsa"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    with h5py.File(tmp_path / "data" / "a.nwb", "w") as file:
        file["acquisition/position/data"] = np.arange(10.0)
        file["acquisition/link"] = h5py.SoftLink("/acquisition/position")
        file["acquisition/nothing"] = h5py.SoftLink("/gone")
        file["acquisition/position"].attrs["table"] = file["acquisition"].ref
    return tmp_path / "data" / "a.nwb"


def external_storage(group: h5py.Group, secret: Path) -> None:
    group.create_dataset("bad", (4,), "u1", external=[(str(secret), 0, 4)])


def external_storage_of_the_current_folder(group: h5py.Group, secret: Path) -> None:
    group.create_dataset("bad", (4,), "u1", external=[(secret.name, 0, 4)])


def virtual(group: h5py.Group, name: str) -> None:
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(name, "values", (4,))
    group.create_virtual_dataset("bad", layout)


def virtual_dataset(group: h5py.Group, secret: Path) -> None:
    virtual(group, str(secret.with_name("other.h5")))


def external_link(group: h5py.Group, secret: Path) -> None:
    group["bad"] = h5py.ExternalLink(str(secret.with_name("other.h5")), "values")


def external_link_upwards(group: h5py.Group, secret: Path) -> None:
    group["bad"] = h5py.ExternalLink("../home/other.h5", "values")


def external_link_through_a_symbolic_link(group: h5py.Group, secret: Path) -> None:
    (Path(group.file.filename).parent / "here.h5").symlink_to(secret.with_name("other.h5"))
    group["bad"] = h5py.ExternalLink("here.h5", "values")


def link_to_a_file_of_the_folder_that_leads_out(group: h5py.Group, secret: Path) -> None:
    with h5py.File(Path(group.file.filename).parent / "beside.h5", "w") as beside:
        external_storage(beside.create_group("x"), secret)
    group["bad"] = h5py.ExternalLink("beside.h5", "/x")


def external_link_in_the_current_folder(group: h5py.Group, secret: Path) -> None:
    group["bad"] = h5py.ExternalLink("other.h5", "values")


def deep_groups(group: h5py.Group, _: Path) -> None:
    for _number in range(300):
        group = group.create_group("bad")


def group_in_itself(group: h5py.Group, _: Path) -> None:
    group["bad"] = group.file["acquisition"]


def soft_link_upwards(group: h5py.Group, _: Path) -> None:
    group["bad"] = h5py.SoftLink("/")


def groups_in_each_other(group: h5py.Group, _: Path) -> None:
    group["bad"] = h5py.SoftLink("/other")
    group.file["other/bad"] = h5py.SoftLink(group.name)


def links_in_a_circle(group: h5py.Group, _: Path) -> None:
    group["bad"] = h5py.SoftLink(f"{group.name}/bad2")
    group["bad2"] = h5py.SoftLink(f"{group.name}/bad")


def values_without_end(group: h5py.Group, _: Path) -> None:
    group.create_dataset("bad", (10**12,), "f8", chunks=(1000,), compression="gzip")


def texts_without_end(group: h5py.Group, _: Path) -> None:
    group.create_dataset("bad", (10**10,), h5py.string_dtype(), chunks=(1000,))


def values_that_were_never_written(group: h5py.Group, _: Path) -> None:
    group.create_dataset("bad", (10**12,), "f8")


def chunk_of_nothing(group: h5py.Group, _: Path) -> None:
    pack = zlib.compressobj(9)
    packed = b"".join(pack.compress(bytes(2**24)) for _ in range(17)) + pack.flush()
    bad = group.create_dataset("bad", (17 * 2**24,), "u1", chunks=(17 * 2**24,), compression="gzip")
    bad.id.write_direct_chunk((0,), packed)


def many_attributes(group: h5py.Group, _: Path) -> None:
    bad = group.create_group("bad", track_order=True)
    for number in range(5001):
        bad.attrs[f"a{number}"] = 1


def schema_of_brackets(group: h5py.Group, _: Path) -> None:
    group.file["specifications/core/2.8.0/bad"] = "[" * 200_000


def schema_of_nested_brackets(group: h5py.Group, _: Path) -> None:
    group.file["specifications/core/2.8.0/bad"] = '{"a": [' * 400 + "]}" * 400


LEAD_OUT: list[Callable[[h5py.Group, Path], None]] = [
    external_storage,
    external_storage_of_the_current_folder,
    virtual_dataset,
    external_link,
    external_link_upwards,
    external_link_through_a_symbolic_link,
    link_to_a_file_of_the_folder_that_leads_out,
    external_link_in_the_current_folder,
]
HARM: list[Callable[[h5py.Group, Path], None]] = [
    deep_groups,
    group_in_itself,
    soft_link_upwards,
    groups_in_each_other,
    links_in_a_circle,
    values_without_end,
    texts_without_end,
    values_that_were_never_written,
    chunk_of_nothing,
    many_attributes,
    schema_of_brackets,
    schema_of_nested_brackets,
]


@pytest.mark.parametrize("make", [*LEAD_OUT, *HARM], ids=lambda make: make.__name__)
def test_an_unsafe_file_is_refused(
    data: Path, secret: Path, make: Callable[[h5py.Group, Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(secret.parent)
    with h5py.File(data, "r+") as file:
        make(file["acquisition/position"], secret)
    before = data.read_bytes()
    for act in (require_safe, repack, lambda path: transaction(path).__enter__()):
        with pytest.raises(UnsafeFileError, match="/bad") as caught:
            act(data)
        assert len(str(caught.value).splitlines()) < 10
    assert data.read_bytes() == before


def test_a_plain_file_and_links_within_its_folder_pass(data: Path) -> None:
    with h5py.File(data.parent / "beside.h5", "w") as file:
        file["values"] = np.arange(4.0)
    with h5py.File(data, "r+") as file:
        file["external"] = h5py.ExternalLink("beside.h5", "values")
        file["missing"] = h5py.ExternalLink("gone.h5", "values")
        file["acquisition"].attrs["empty"] = h5py.Empty("f8")
        file["acquisition"].attrs["nothing"] = np.zeros(0)
        file["acquisition"].attrs["text"] = ""
        file["null"] = h5py.Empty("f8")
        file["specifications/core/2.8.0/namespace"] = '{"groups": [{"datasets": [{"dims": [["x", "y"]]}]}]}' * 500
        file["type"] = np.dtype("f8")
        file.create_dataset("none", (0, 3), "f8", maxshape=(None, 3))
        virtual(file.create_group("v"), "beside.h5")
        file.create_dataset("half", (2**31,), "u1", chunks=(2**20,))[: 2**10] = 1
    require_safe(data)
    assert inspect_file(data).state is FileCondition.WHOLE


def test_check_lists_the_objects(data: Path, secret: Path) -> None:
    with h5py.File(data, "r+") as file:
        external_storage(file["acquisition/position"], secret)
    report = inspect_file(data)
    assert report.state is FileCondition.UNSAFE
    assert [(danger.where, danger.found) for danger in report.dangers] == [("/acquisition/position/bad", str(secret))]


def test_a_file_is_looked_at_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_safe(data)
    walks: list[Path] = []

    def walk(path: Path) -> dict[str, object]:
        walks.append(path)
        return screening.walk(path)

    monkeypatch.setattr(screening, "may_fork", lambda: True)
    monkeypatch.setattr(screening, "_walk_in_fork", walk)
    require_safe(data)
    with transaction(data) as file:
        file["x"] = 1
    require_safe(data)
    assert walks == []
    with h5py.File(data, "r+") as file:  # another program
        file["y"] = 1
    require_safe(data)
    assert walks == [data]


def test_many_files_are_looked_at_in_a_few_forks(
    data: Path, tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screening, "may_fork", lambda: True)
    monkeypatch.setattr(_forked, "may_fork", lambda: True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    good, bad, pipe = (data.with_name(f"{name}.h5") for name in ("good", "bad", "pipe"))
    shutil.copyfile(data, good)
    shutil.copyfile(data, bad)
    with h5py.File(bad, "r+") as file:
        external_storage(file["acquisition/position"], secret)
    os.mkfifo(pipe)
    screen([bad, pipe, tmp_path / "missing.h5", good, data])
    monkeypatch.setattr(screening, "_walk_in_fork", None)
    require_safe(good)
    require_safe(data)
    monkeypatch.undo()
    with pytest.raises(UnsafeFileError, match="bad"):
        require_safe(bad)


def test_a_file_that_ends_a_fork_leaves_the_others_to_be_looked_at(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screening, "may_fork", lambda: True)
    monkeypatch.setattr(_forked, "may_fork", lambda: True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    copies = [shutil.copyfile(data, tmp_path / f"{number}.h5") for number in range(3)]
    walk = screening.walk
    monkeypatch.setattr(
        screening, "walk", lambda path: os.kill(os.getpid(), 9) if path.name == "1.h5" else walk(path)
    )
    screen(copies)
    assert [screening.is_self_contained(path) for path in copies] == [True, False, False]
    with pytest.raises(DamagedFileError, match="Killed"):
        require_safe(copies[1])
    require_safe(copies[2])


def test_what_fails_in_no_expected_way_is_said_of_that_file_alone(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screening, "may_fork", lambda: True)
    monkeypatch.setattr(_forked, "may_fork", lambda: True)
    copies = [shutil.copyfile(data, tmp_path / f"{number}.h5") for number in range(3)]
    walk = screening.walk

    def fail_once(path: Path) -> object:
        if path.name == "1.h5":
            raise AttributeError("of h5py")
        return walk(path)

    monkeypatch.setattr(screening, "walk", fail_once)
    screen(copies)
    assert [screening.is_self_contained(path) for path in copies] == [True, False, True]
    with pytest.raises(DamagedFileError, match="without a word"):
        require_safe(copies[1])


def test_links_in_a_circle_lead_to_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.nwb").symlink_to("a.nwb")
    screen([tmp_path / "a.nwb"])
    with pytest.raises(FileAccessError, match="not a regular file"):
        require_safe(tmp_path / "a.nwb")
    with pytest.raises(FileAccessError):
        SessionFile.at(tmp_path / "a.nwb").snapshot()


def test_many_files_have_one_bound_of_memory(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_forked, "may_fork", lambda: True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    held: list[bytearray] = []

    def hold(_: Path) -> int:
        held.append(bytearray(int(0.7 * screening.MEMORY)))
        return len(held)

    monkeypatch.setattr(screening, "walk", hold)
    assert list(_forked.map_forked(screening._walk_limited, [data] * 3, instead=screening._leave)) == [1, {}, {}]


def test_a_reader_that_crashes_or_hangs_harms_nobody(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "may_fork", lambda: True)
    for act, told in ((lambda _: os.kill(os.getpid(), 9), "Killed"), (lambda _: time.sleep(60), "no end")):
        monkeypatch.setattr(screening, "TIMEOUT", 0.5)
        monkeypatch.setattr(screening, "walk", act)
        with pytest.raises(DamagedFileError, match=told):
            require_safe(data)


def test_a_session_file_that_was_exchanged_for_a_pipe_is_refused(data: Path) -> None:
    import os

    data.unlink()
    os.mkfifo(data)
    with pytest.raises(FileAccessError, match="named pipe"):
        require_safe(data)


def test_thousands_of_attributes_are_looked_at_in_time(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        notes = file.create_group("notes", track_order=True)
        for number in range(2000):
            notes.attrs[f"note{number}"] = number
    began = time.process_time()
    assert screening.walk(path) == {"dangers": [], "leads_elsewhere": False}
    assert time.process_time() - began < 2  # by their index it takes half a minute


def test_a_file_in_which_each_text_takes_long_is_refused_soon(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nwbpipe.files._dangers import Danger, DangerFinder

    def find(_self: DangerFinder, _file: h5py.File) -> Iterator[Danger]:
        for number in range(10):
            end = time.process_time() + 0.3
            while time.process_time() < end:
                pass
            yield Danger("a dataset can't be read", f"/{number}", "its heap is damaged")

    monkeypatch.setattr(DangerFinder, "find", find)
    began = time.process_time()
    assert 1 <= len(screening.walk(data)["dangers"]) < 10
    assert time.process_time() - began < 2.5
