"""Validation by the schemas that a file holds, without reading those that this process has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import pynwb.validation
import pytest
from hdmf.backends.utils import NamespaceToBuilderHelper

import nwbpipe.extensions  # noqa: F401  (registers our types)
from nwbpipe.files import iter_texts
from nwbpipe.session import _schemas, _validation, list_validation_errors
from nwbpipe.session._nwb_io import SessionIO
from tests.fixtures.processing import write_session
from tests.session.test_schemas import add_schema

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_known_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_validation, "_KNOWN_SCHEMAS", {})


def refuse(**_: object) -> None:
    raise AssertionError("the schemas are read")


def find_errors(path: Path) -> list[str]:
    with h5py.File(path, "r") as file:
        return sorted(map(str, list_validation_errors(file)))


def test_installed_schemas_are_not_read_again(session_nwb: Path) -> None:
    """In a process of its own: other tests load namespaces that stay, and may differ from what a file then holds."""
    code = f"""
import h5py, pynwb.validation
import nwbpipe.extensions
from nwbpipe.session import list_validation_errors
from tests.fixtures.processing import write_session
from tests.session.test_schemas import add_schema
from pathlib import Path
path = write_session(Path({str(session_nwb.with_name("fresh.nwb"))!r}), "lever")
with h5py.File(path, "r+") as file:
    del file["acquisition/lever/data"].attrs["unit"], file["session_description"]
errors = sorted(map(str, pynwb.validate(path=str(path))))
assert len(errors) == 2
pynwb.validation.get_cached_namespaces_to_validate = None
with h5py.File(path, "r") as file:
    assert sorted(map(str, list_validation_errors(file))) == errors
"""
    check = f"""
import h5py, pynwb.validation
pynwb.validation.get_cached_namespaces_to_validate = None
from nwbpipe.session import list_validation_errors
with h5py.File({str(session_nwb.with_name("fresh.nwb"))!r}, "r") as file:
    assert "ndx-nwbpipe" in file["specifications"]
    assert len(list_validation_errors(file)) == 2
"""  # a process that has not loaded our schema either
    for text in (code, check):
        done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("own", [True, False], ids=["our version", "another version of ours"])
def test_only_schemas_that_are_not_loaded_are_read(tmp_path: Path, own: bool) -> None:
    """In a process that has not loaded the schema of poses: the core is not read again; errors as by pynwb."""
    path = tmp_path / "pose.nwb"
    write = f"""
from pathlib import Path
import h5py, ndx_pose
import nwbpipe.extensions
from pynwb import NWBHDF5IO
from tests.fixtures.processing import write_session
from tests.session.test_schemas import add_schema
path = write_session(Path({str(path)!r}), "lever")
with NWBHDF5IO(path, "a") as io:
    nwbfile = io.read()
    skeleton = ndx_pose.Skeleton(name="mouse", nodes=["snout"])
    nwbfile.create_processing_module("behavior", "poses").add(ndx_pose.Skeletons(skeletons=[skeleton]))
    io.write(nwbfile)
with h5py.File(path, "r+") as file:
    del file["processing/behavior/Skeletons/mouse/nodes"], file["acquisition/lever/data"].attrs["unit"]
    if not {own}:
        schemas = file["specifications/ndx-nwbpipe"]
        (version,) = schemas
        text = schemas[version]["namespace"].asstr()[()].replace(f'"{{version}}"', '"0.0.9"')
        schemas.move(version, "0.0.9")
        schemas["0.0.9/namespace"][()] = text
"""
    check = f"""
import h5py, pynwb, pynwb.validation
from nwbpipe.session import list_validation_errors
read = pynwb.validation.get_cached_namespaces_to_validate
pynwb.validation.get_cached_namespaces_to_validate = None
with h5py.File({str(path)!r}, "r") as file:
    errors = sorted(map(str, list_validation_errors(file)))
pynwb.validation.get_cached_namespaces_to_validate = read
assert len(set(errors)) == 2, errors  # each by both schemas
assert errors == sorted(map(str, pynwb.validate(path={str(path)!r})))
"""
    for text in (write, check):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", text], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_schemas_that_differ_are_read(session_nwb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(session_nwb, "r+") as file:
        (version,) = file["specifications/core"]
        dataset = file[f"specifications/core/{version}/nwb.base"]
        text = dataset.asstr()[()]
        assert '"name":"comments"' in text
        dataset[()] = text.replace('"name":"comments"', '"name":"remarks"')
        file["acquisition/lever"].attrs["resolution"] = 1.0
    errors = find_errors(session_nwb)
    assert errors == sorted(map(str, pynwb.validate(path=str(session_nwb))))
    monkeypatch.setattr(_validation, "_KNOWN_SCHEMAS", {})
    monkeypatch.setattr(pynwb.validation, "get_cached_namespaces_to_validate", refuse)
    with pytest.raises(AssertionError, match="are read"):
        find_errors(session_nwb)


def test_a_file_without_schemas_is_valid_by_the_core(session_nwb: Path) -> None:
    with h5py.File(session_nwb, "r+") as file:
        del file.attrs[".specloc"]
        del file["specifications"]
        del file["session_description"]
    assert len(find_errors(session_nwb)) == 1


def test_a_type_comes_after_the_type_that_it_extends(session_nwb: Path) -> None:
    import pynwb

    catalog = pynwb.get_manager().namespace_catalog
    for name in catalog.namespaces:
        namespace = _schemas._complete_namespace(catalog, name)
        places = {kind: place for place, kind in enumerate(namespace.get_registered_types())}
        for kind, place in places.items():
            parent = namespace.get_spec(kind).data_type_inc
            assert parent is None or places[parent] <= place


def test_types_are_looked_up_as_by_hdmf() -> None:
    from hdmf.validate import ValidatorMap

    namespace = pynwb.get_manager().namespace_catalog.get_namespace("core")
    ours, theirs = _validation._build_validator(namespace), ValidatorMap(namespace)
    for kind in namespace.get_registered_types():
        assert ours.get_validator(kind).spec is theirs.get_validator(kind).spec
        assert type(ours.get_validator(kind)) is type(theirs.get_validator(kind))
        for asked in (kind, namespace.get_spec(kind)):
            kinds = [validator.spec.data_type for validator in ours.valid_types(asked)]
            assert sorted(kinds) == sorted(validator.spec.data_type for validator in theirs.valid_types(asked))
    for lookup in (ours.get_validator, theirs.get_validator, ours.valid_types, theirs.valid_types):
        with pytest.raises(ValueError, match="NoSuchType"):
            lookup("NoSuchType")


def test_a_commit_writes_the_schemas_that_the_file_lacks_as_hdmf_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """hdmf converts every schema first, those that are in the file too, which takes longer than the result."""

    def commit(path: Path) -> dict[str, bytes]:
        write_session(path, "lever")
        converted.clear()
        with h5py.File(path, "r+") as file:
            del file["specifications/ndx-nwbpipe"]
            with SessionIO(file, "a") as io:
                io.write(io.read())
        with h5py.File(path, "r") as file:
            return dict(iter_texts(file["specifications"]))

    converted: list[str] = []
    convert = NamespaceToBuilderHelper.convert_namespace

    def count(catalog: Any, name: str) -> Any:
        converted.append(name)
        return convert(catalog, name)

    monkeypatch.setattr(NamespaceToBuilderHelper, "convert_namespace", staticmethod(count))
    ours = commit(tmp_path / "ours.nwb")
    assert "core" not in converted
    assert "ndx-nwbpipe" in converted
    monkeypatch.delattr(SessionIO, "_HDF5IO__cache_spec")
    assert commit(tmp_path / "hdmfs.nwb") == ours
    assert "core" in converted


def test_what_a_file_lacks_of_a_schema_is_the_installed_one(session_nwb: Path) -> None:
    with h5py.File(session_nwb, "r+") as file:
        del file["specifications/hdmf-common"]
    assert find_errors(session_nwb) == []
    add_schema(session_nwb)
    with h5py.File(session_nwb) as file:
        types, namespaces = _schemas.match_installed(file)
    assert "hdmf-common" in types.namespace_catalog.namespaces
    assert "ndx-lab" in {namespace.name for namespace in namespaces}
