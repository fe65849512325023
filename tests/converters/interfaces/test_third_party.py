"""The package that docs/how-do-i-write-an-interface.md shows, installed: nothing but a folder on the path."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from nwbpipe.converters.interfaces import interface_class, interface_names, missing_reader_error
from nwbpipe.errors import SourceError, ToolMissingError
from tests.docs.test_docs import DOCS, blocks

SOURCES = {"wheel": {"interface": "LabEncoderInterface", "args": {"file_path": "wheel.txt"}}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A session's folder with a log, beside the installed package."""
    files = {block.file: block.text for block in blocks(DOCS / "how-do-i-write-an-interface.md") if block.file}
    project = tomllib.loads(files["pyproject.toml"])["project"]
    points = [f"{name} = {value}" for name, value in project["entry-points"]["nwbpipe.interfaces"].items()]
    site = tmp_path / "site"
    information = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    (information / "entry_points.txt").write_text("\n".join(["[nwbpipe.interfaces]", *points, ""]))
    (site / "lab_encoder.py").write_text(files["lab_encoder.py"])
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])
    monkeypatch.delitem(sys.modules, "lab_encoder", raising=False)
    session = tmp_path / "session"
    session.mkdir()
    (session / "wheel.txt").write_text("0.00 10.0\n0.01 12.5\n0.03 14.0\n")
    return session


def test_a_spec_finds_it(folder, convert_to):
    assert "LabEncoderInterface" in interface_names()
    series = convert_to(SOURCES).nwbfile.acquisition["TimeSeries_wheel"]
    np.testing.assert_array_equal(series.data, [10.0, 12.5, 14.0])
    np.testing.assert_allclose(series.timestamps, [0.0, 0.01, 0.03])


def test_its_guard_is_asked_before_it_reads(folder, convert_to):
    (folder / "wheel.txt").write_text("0.00 10.0\n0.01 oops")  # its reader raises ValueError
    with pytest.raises(SourceError) as caught:
        convert_to(SOURCES)
    assert "ends within a line" in str(caught.value.problems or caught.value.problem)
    assert "sources.wheel" in str(caught.value)


def test_a_missing_reader_names_the_packages_own_extra(folder, convert_to, monkeypatch):
    cls = interface_class("LabEncoderInterface")

    def construct(self: object, file_path: Path, **more: object) -> None:
        raise ModuleNotFoundError("No module named 'serial'", name="serial")

    monkeypatch.setattr(cls, "__init__", construct)
    with pytest.raises(ToolMissingError) as caught:
        convert_to(SOURCES)
    assert caught.value.problem.hint == "pip install 'lab-encoder[reader]'"
    # A subclass inherits the declaration; one that declares nothing must not send the user to an extra of nwbpipe.
    heir = type("Heir", (cls,), {"__module__": "lab_encoder"})
    error = ModuleNotFoundError("No module named 'serial'")
    assert missing_reader_error("Heir", error, heir).problem.hint == "pip install 'lab_encoder[reader]'"
    plain = type("Plain", (cls.__mro__[1],), {"__module__": "lab_encoder"})
    assert missing_reader_error("Plain", error, plain).problem.hint == "install the readers that lab_encoder asks for"
