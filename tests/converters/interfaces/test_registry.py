"""Interfaces by name."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from nwbpipe.converters.interfaces import (
    _registry,
    build_interface,
    interface_class,
    interface_names,
    missing_reader_error,
)
from nwbpipe.errors import SourceError, ToolMissingError, UnknownNameError

_OURS = [
    "BehaviorEventsInterface",
    "DeepLabCutInterface",
    "FacemapInterface",
    "FacemapPoseInterface",
    "MinianSegmentationInterface",
]


@pytest.mark.parametrize("name", _OURS)
def test_ours_come_first_and_are_data_interfaces(name):
    from neuroconv import BaseDataInterface

    found = interface_class(name)
    assert found.__module__.startswith("nwbpipe.")
    assert found.__name__ == name
    assert issubclass(found, BaseDataInterface)
    assert (
        "file_path" in found.get_source_schema()["properties"]
        or "folder_path" in found.get_source_schema()["required"]
    )


def test_neuroconvs_are_found_by_class_name():
    from neuroconv.datainterfaces import SpikeGLXRecordingInterface

    assert interface_class("SpikeGLXRecordingInterface") is SpikeGLXRecordingInterface
    assert {*_OURS, "SpikeGLXRecordingInterface", "Suite2pSegmentationInterface"} <= set(interface_names())


def test_ours_that_neuroconv_lacks_need_none_of_its_interfaces():
    code = (
        "import sys; from nwbpipe.converters.interfaces import interface_class; interface_class('FacemapInterface');"
        "interface_class('BehaviorEventsInterface'); sys.exit('neuroconv.datainterfaces' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "near"),
    [("DeepLabcutInterfaec", "DeepLabCutInterface"), ("SpikeGLX", "SpikeGLXRecordingInterface")],
)
def test_an_unknown_name_names_the_nearest(name, near):
    with pytest.raises(UnknownNameError) as caught:
        interface_class(name)
    assert near in caught.value.problem.hint
    assert caught.value.problem.found == name


def test_a_third_partys_interface(monkeypatch):
    good = EntryPoint("LabInterface", "neuroconv.datainterfaces:AudioInterface", _registry.ENTRY_POINT_GROUP)
    no_class = EntryPoint("NoClass", "json:dumps", _registry.ENTRY_POINT_GROUP)
    broken = EntryPoint("Broken", "not_a_package_xyz:Thing", _registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(_registry, "entry_points", lambda group: [good, no_class, broken])
    assert interface_class("LabInterface").__name__ == "AudioInterface"
    assert "LabInterface" in interface_names()
    with pytest.raises(SourceError, match="is no data interface"):
        interface_class("NoClass")
    with pytest.raises(SourceError, match="doesn't load"):
        interface_class("Broken")


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("SpikeGLXRecordingInterface", "ephys"),
        ("Suite2pSegmentationInterface", "imaging"),
        ("SLEAPInterface", "behavior"),
        ("TDTFiberPhotometryInterface", "photometry"),
        ("TDTEventsInterface", "photometry"),
        ("FacemapPoseInterface", "behavior"),
    ],
)
def test_a_missing_reader_names_the_extra(name, extra):
    error = missing_reader_error(name, ModuleNotFoundError("No module named 'x'"), interface_class(name))
    assert error.problem.hint == f"pip install 'nwbpipe[{extra}]'"


def test_building_without_the_reader(monkeypatch, tmp_path):
    file = tmp_path / "a_FacemapPose.h5"
    file.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "ndx_pose", None)  # importing it raises ImportError
    with pytest.raises(ToolMissingError, match=r"nwbpipe\[behavior\]"):
        build_interface("FacemapPoseInterface", {"file_path": file})


def test_building_asks_the_guards(tmp_path):
    (tmp_path / "block.tsq").write_bytes(b"")
    with pytest.raises(SourceError) as caught:
        build_interface("TDTEventsInterface", {"folder_path": tmp_path})
    assert ".tev" in caught.value.problems[0].what
