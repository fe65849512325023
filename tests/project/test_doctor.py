"""The doctor tells, before hours of work, what a machine and a project lack."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest

from nwbpipe.cli import main
from nwbpipe.errors import FileAccessError
from nwbpipe.machine import Finding, Severity
from nwbpipe.project import _doctor, examine_folders, examine_project, examine_python
from tests.fixtures.lab import LAB_URL

PROJECT = """
nwbpipe = 1
[project]
name = "lab"
sessions = "raw://**/session.yaml"
output = "nwb://{{subject_id}}_{{session_id}}.nwb"
[stores]
raw = "{raw}"
nwb = "{nwb}"
"""


def write_project(folder: Path, *, raw: str = "raw", nwb: str = "nwb", more: str = "") -> Path:
    (folder / "raw").mkdir()
    path = folder / "nwbpipe.toml"
    path.write_text(PROJECT.format(raw=raw, nwb=nwb) + more, encoding="utf-8")
    return path


def faults(findings: Iterable[Finding]) -> list[str]:
    return [finding.text for finding in findings if finding.verdict is Severity.FAULT]


def test_this_python_has_what_nwbpipe_wants() -> None:
    findings = examine_python()
    assert faults(findings) == []
    assert any(f"h5py {metadata.version('h5py')}" in finding.text for finding in findings)


def test_a_missing_and_a_wrong_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    required = {
        "nwbpipe": ["h5py>=99", "numpy", "no-such-package>=1", 'demo-part[plots]; extra == "demo"'],
        "demo-part": ["hdmf>=99", 'no-such-plots; extra == "plots"'],
    }
    version = metadata.version
    monkeypatch.setattr(metadata, "requires", required.get)
    monkeypatch.setattr(metadata, "version", lambda name: "1.0" if name == "demo-part" else version(name))
    _doctor._list_required.cache_clear()
    try:
        assert _doctor._list_unmet("") == [f"h5py>=99 (found {version('h5py')})", "no-such-package is not installed"]
        assert _doctor._list_unmet("demo") == ["no-such-plots is not installed"]
    finally:
        _doctor._list_required.cache_clear()


def test_a_core_package_that_is_gone_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version

    def find(name: str) -> str:
        if name == "nwbinspector":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", find)
    (fault,) = faults(examine_python())
    assert "nwbinspector is not installed" in fault


def test_a_folder_that_cannot_be_made_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NWBPIPE_SCRATCH", str(tmp_path / "file" / "below"))
    (fault,) = faults(examine_folders())
    assert fault.startswith("scratch: ")
    assert "NWBPIPE_SCRATCH" in fault


def test_a_project_in_order_is_not_changed(tmp_path: Path) -> None:
    path = write_project(tmp_path)
    findings = examine_project(path)
    assert faults(findings) == []
    assert any("nwb" in finding.text and "made when it is first needed" in finding.text for finding in findings)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["nwbpipe.toml", "raw"]


def test_where_there_is_no_project_there_is_nothing_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert examine_project() == []
    assert len(faults(examine_project("nowhere.toml"))) == 1


def test_faults_of_a_project_are_told(tmp_path: Path) -> None:
    path = write_project(tmp_path, raw="gone", more='[tools.suite2p]\npython = "/opt/python"\n')
    untrusted, missing = faults(examine_project(path))
    assert "nwbpipe trust" in untrusted
    assert str(tmp_path / "gone") in missing
    path.write_text(PROJECT.format(raw="x" * 300, nwb="nwb"), encoding="utf-8")  # no file system has such a name
    assert ["no such folder" in fault for fault in faults(examine_project(path))] == [True]
    path.write_text("nwbpipe = 1\n[stores]\nraw = 3\n", encoding="utf-8")
    (wrong,) = faults(examine_project(path))
    assert "line 3" in wrong


def test_a_store_elsewhere_is_tried_and_left_as_it_was(
    lab_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nwbpipe.stores import open_store

    path = write_project(tmp_path, more=f'state = "{LAB_URL}/state"\n')
    before = [entry.path for entry in open_store(LAB_URL).list()]
    (finding,) = [finding for finding in examine_project(path) if finding.text.startswith("state: ")]
    assert finding.verdict is Severity.FINE
    assert "can be read and written" in finding.text
    assert [entry.path for entry in open_store(LAB_URL).list()] == before

    def refuse(*_: object, **__: object) -> str:
        raise FileAccessError("you may not write there")

    monkeypatch.setattr(type(open_store(f"{LAB_URL}/state")), "write_bytes", refuse)
    (fault,) = faults(examine_project(path))
    assert "you may not write there" in fault


def test_the_command_ends_with_1_at_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_project(tmp_path, raw="gone")
    monkeypatch.setenv("NWBPIPE_TOOLS", str(tmp_path / "tools"))
    monkeypatch.chdir(path.parent)
    with pytest.raises(SystemExit) as ending:
        main(["doctor"])
    assert ending.value.code == 1
    shown = capsys.readouterr().out
    for text in ("Python 3", "fault  stores ", "not installed: ", "suite2p"):
        assert text in shown
