"""What the user trusts, and who could have written a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nwbpipe import machine
from nwbpipe.errors import FileAccessError
from nwbpipe.machine import _trust
from nwbpipe.machine._variables import close_python_path

ROOT_ONLY = pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")


@pytest.fixture(autouse=True)
def own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_trust, "user_config_path", lambda *_, **__: tmp_path / "config" / "nwbpipe")
    return tmp_path / "config" / "nwbpipe" / "trust.json"


def test_trust_counts_for_all_below_a_path_and_is_private(tmp_path: Path, own_configuration: Path) -> None:
    folder = tmp_path / "lab" / "raw"
    folder.mkdir(parents=True)
    assert not machine.is_trusted(folder)
    machine.trust(folder)
    assert machine.is_trusted(folder / "a.npy")
    assert not machine.is_trusted(tmp_path / "lab")
    assert not machine.is_trusted(tmp_path / "lab" / "raw2")
    assert not machine.is_trusted(folder / ".." / "other")
    assert machine.list_trusted() == [str(folder)]
    if os.name != "nt":
        assert own_configuration.stat().st_mode & 0o777 == 0o600
        assert own_configuration.parent.stat().st_mode & 0o777 == 0o700
    assert machine.withdraw_trust(folder)
    assert not machine.withdraw_trust(folder)
    assert not machine.is_trusted(folder)


def test_a_link_is_not_what_it_leads_to(tmp_path: Path) -> None:
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    machine.trust(tmp_path / "good")
    (tmp_path / "good" / "link").symlink_to(tmp_path / "bad")
    assert not machine.is_trusted(tmp_path / "good" / "link")


def test_a_variable_trusts_for_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWBPIPE_TRUST", os.pathsep.join([str(tmp_path / "a"), "relative", ""]))
    assert machine.is_trusted(tmp_path / "a" / "b")
    monkeypatch.chdir(tmp_path)
    assert not machine.is_trusted(tmp_path / "relative")
    assert not machine.is_trusted(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="owners and modes of POSIX")
def test_a_list_that_others_could_have_written_counts_for_nothing(tmp_path: Path, own_configuration: Path) -> None:
    machine.trust(tmp_path)
    own_configuration.chmod(0o666)
    assert not machine.is_trusted(tmp_path)
    own_configuration.chmod(0o600)
    own_configuration.rename(own_configuration.with_name("real"))
    own_configuration.symlink_to(own_configuration.with_name("real"))
    assert not machine.is_trusted(tmp_path)
    own_configuration.unlink()
    own_configuration.write_text("{}")
    assert not machine.is_trusted(tmp_path)


def test_what_is_not_there_is_not_trusted(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="can't be found"):
        machine.trust(tmp_path / "missing")


@ROOT_ONLY
def test_trust_ends_with_the_owner(tmp_path: Path) -> None:
    machine.trust(tmp_path / ".")
    os.chown(tmp_path, 65534, 65534)
    assert not machine.is_trusted(tmp_path)
    os.chown(tmp_path, 0, 0)


@pytest.mark.skipif(os.name == "nt", reason="owners and modes of POSIX")
def test_a_file_that_others_could_have_written_is_foreign(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    file = folder / "nwbpipe.toml"
    file.write_text("")
    assert machine.explain_foreign(file) == ""
    file.chmod(0o666)
    assert "everybody may change it" in machine.explain_foreign(file)
    file.chmod(0o644)
    folder.chmod(0o777)
    assert "exchange files" in machine.explain_foreign(file)
    folder.chmod(0o1777)
    assert machine.explain_foreign(file) == ""
    if os.getuid() == 0:
        os.chown(file, 65534, 65534)
        assert machine.explain_foreign(file) == "it belongs to the user 65534"


# Private folders ------------------------------------------------------------------------------------------


def make(path: Path, *, named: bool = False) -> Path:
    return machine.make_private_folder(path, variable="NWBPIPE_SCRATCH", named=named)


@pytest.mark.skipif(os.name == "nt", reason="owners and modes of POSIX")
def test_a_folder_is_made_private_and_tightened(tmp_path: Path) -> None:
    made = make(tmp_path / "a" / "scratch")
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o777)
    assert make(made).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["link", "dangling link", "file", pytest.param("foreign", marks=ROOT_ONLY)])
def test_a_prepared_folder_is_refused(kind: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    place = tmp_path / "scratch"
    if kind == "file":
        place.write_text("")
    elif kind == "foreign":
        place.mkdir()
        os.chown(place, 65534, 65534)
    else:
        place.symlink_to(tmp_path / ("elsewhere" if kind == "link" else "nowhere"))
    with pytest.raises(FileAccessError, match="NWBPIPE_SCRATCH"):
        make(place)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(os.name == "nt", reason="owners and modes of POSIX")
def test_in_a_named_folder_that_others_share_a_private_one_is_used(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    assert make(shared, named=True) == shared
    shared.chmod(0o1777)
    own = make(shared, named=True)
    assert own == shared / f"nwbpipe-{os.getuid()}"
    assert own.stat().st_mode & 0o777 == 0o700
    own.rmdir()
    own.symlink_to(tmp_path)
    with pytest.raises(FileAccessError, match="symbolic link"):
        make(shared, named=True)


# Children ----------------------------------------------------------------------------------------------------


def test_children_import_nothing_from_the_current_folder(tmp_path: Path) -> None:
    path = os.pathsep.join(["", str(tmp_path), "relative", "."])
    variables = close_python_path({"PYTHONPATH": path, "A": "1"})
    assert variables == {"PYTHONPATH": str(tmp_path), "A": "1", "PYTHONSAFEPATH": "1"}
    assert "PYTHONPATH" not in close_python_path({"PYTHONPATH": "."})
    assert "-P" in machine.child_python("-m", "nwbpipe")
