"""Interfaces by name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from nwbpipe.converters import _interface_names
from nwbpipe.converters.interfaces import _registry, interface_class, interface_names, missing_reader_error
from nwbpipe.converters.interfaces._declaration import own_declaration
from nwbpipe.errors import SourceError, UnknownNameError

_OURS = sorted(_interface_names.our_modules())


@pytest.mark.parametrize("name", _OURS)
def test_ours_come_first_and_are_data_interfaces(name):
    from neuroconv import BaseDataInterface

    cls = interface_class(name)
    assert cls.__module__.startswith("nwbpipe.")
    assert cls.__name__ == name
    assert issubclass(cls, BaseDataInterface)
    schema = cls.get_source_schema()
    parameters = inspect.signature(cls).parameters
    assert next(iter(parameters)) in ("file_path", "folder_path")
    assert list(schema["properties"]) == list(parameters)
    assert set(schema["required"]) == {name for name, item in parameters.items() if item.default is item.empty}
    assert [name for name, item in schema["properties"].items() if not item.get("description")] == []


def test_every_interface_class_of_ours_is_declared():
    """The names are read from the source text: what Python sees after importing everything must be the same."""
    from neuroconv import BaseDataInterface

    names = set()
    for info in pkgutil.iter_modules([str(Path(_registry.__file__).parent)]):
        module = importlib.import_module(f"nwbpipe.converters.interfaces.{info.name}")
        classes = [cls for _, cls in inspect.getmembers(module, inspect.isclass) if cls.__module__ == module.__name__]
        declared = {cls.__name__ for cls in classes if own_declaration(cls)}
        concrete = {
            cls.__name__ for cls in classes if issubclass(cls, BaseDataInterface) and not inspect.isabstract(cls)
        }
        assert declared == concrete
        names |= declared
    assert names == set(_OURS)
    extras = tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {own_declaration(interface_class(name)).extra for name in _OURS} <= set(extras)


def test_neuroconvs_are_found_by_class_name():
    from neuroconv.datainterfaces import SpikeGLXRecordingInterface

    assert interface_class("SpikeGLXRecordingInterface") is SpikeGLXRecordingInterface
    assert {*_OURS, "SpikeGLXRecordingInterface", "Suite2pSegmentationInterface"} <= set(interface_names())


def test_neuroconvs_are_found_while_another_thread_imports_its_list(monkeypatch):
    name = "CsvTimeIntervalsInterface"
    expected = interface_class(name)
    package = importlib.import_module("neuroconv.datainterfaces")
    incomplete = ModuleType(package.__name__)  # as it is while its code runs
    incomplete.__path__ = package.__path__
    monkeypatch.setitem(sys.modules, package.__name__, incomplete)
    assert interface_class(name) is expected


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
    good = EntryPoint("LabInterface", "neuroconv.datainterfaces:AudioInterface", _interface_names.ENTRY_POINT_GROUP)
    no_class = EntryPoint("NoClass", "json:dumps", _interface_names.ENTRY_POINT_GROUP)
    broken = EntryPoint("Broken", "not_a_package_xyz:Thing", _interface_names.ENTRY_POINT_GROUP)
    points = {point.name: point for point in (good, no_class, broken)}
    monkeypatch.setattr(_interface_names, "_find_entry_points", lambda _path: points)
    assert interface_class("LabInterface").__name__ == "AudioInterface"
    assert "LabInterface" in interface_names()
    with pytest.raises(SourceError, match="does not name a data interface"):
        interface_class("NoClass")
    with pytest.raises(SourceError, match="does not load"):
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
