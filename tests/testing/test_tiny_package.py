"""A package with a processor, an interface, a store and an executor: once installed, it passes the kits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nwbpipe.converters.interfaces import interface_class
from nwbpipe.errors import FileAccessError, RequestError, UnknownNameError
from nwbpipe.processors import processor
from nwbpipe.project import ExecutorSpec, Project
from nwbpipe.project.execute._kinds import executor_kinds, make_executor
from nwbpipe.stores import Stores, is_remote, open_location, open_store
from nwbpipe.stores._urls import _find_entry_points
from tests.fixtures.lab import LAB_URL
from tests.fixtures.projects import make_project


def test_every_part_is_found_by_its_name(lab_package: Path) -> None:
    assert type(processor("rms")).__module__ == "lab_rms"
    assert interface_class("LabEncoderInterface").__module__ == "lab_encoder"
    assert type(open_store(LAB_URL)).__module__ == "lab_store"
    assert executor_kinds()[-1] == "pool"
    executor = make_executor(ExecutorSpec(kind="pool", workers=1))
    assert executor.about == "a pool of 1 processes"
    executor.close()


@pytest.mark.thorough
def test_its_kits_pass(lab_package: Path) -> None:
    tests = sorted(path.name for path in lab_package.glob("test_*.py"))
    assert tests == [
        "test_lab_encoder.py",
        "test_lab_executor.py",
        "test_lab_rms.py",
        "test_lab_rms_contract.py",
        "test_lab_store.py",
    ]
    without = [word for name in ("cacheprovider", "dandi", "dandischema", "anyio") for word in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", "-q", *without, *tests]
    done = subprocess.run(command, cwd=lab_package, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
    assert "failed" not in done.stdout


def test_its_urls_are_urls_everywhere(lab_package: Path, tmp_path: Path) -> None:
    assert is_remote("lab://project/a.nwb")
    assert is_remote(Path("lab://project/a.nwb"))  # which has one slash
    assert open_location(Path("lab://project/a.nwb"))[0].root == "lab://project"
    stores = Stores({"nwb": LAB_URL}, base=tmp_path)
    stores["nwb"].write_bytes("m1/a.txt", b"1")
    assert stores.locate("nwb://m1/a.txt") == f"{LAB_URL}/m1/a.txt"
    assert stores.address(f"{LAB_URL}/m1/a.txt") == "nwb://m1/a.txt"
    with pytest.raises(RequestError, match="can't be called"):
        Stores({"lab": "x"}, base=tmp_path)


def test_a_store_that_does_not_load_names_its_package(lab_package: Path) -> None:
    points = next(lab_package.glob("*.dist-info")) / "entry_points.txt"
    points.write_text("[nwbpipe.stores]\nlab = not_a_package_xyz:Store\nodd = json:dumps\n")
    _find_entry_points.cache_clear()
    try:
        with pytest.raises(FileAccessError, match="can't be loaded") as caught:
            open_store("lab://x")
        assert "lab-tools" in str(caught.value)
        with pytest.raises(FileAccessError, match="not a class of stores"):
            open_store("odd://x")
    finally:
        _find_entry_points.cache_clear()


def test_a_project_names_the_executor_by_its_kind(lab_package: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    make_project(folder, sessions=1, steps='[executor]\nkind = "pool"\n')
    assert Project(folder).spec.executor.kind == "pool"


def test_an_unknown_kind_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"'local', 'dask', .* or 'cloud'") as caught:
        make_project(tmp_path, sessions=1, steps="").executor_spec(kind="slrum")
    assert caught.value.problem.found == "'slrum'"
    unchecked = ExecutorSpec().model_copy(update={"kind": "gone"})  # its package was removed meanwhile
    with pytest.raises(UnknownNameError, match="'gone'"):
        make_executor(unchecked)
