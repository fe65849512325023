"""Named stores: addresses there and back, several roots, the environment."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path

import pytest

from nwbpipe.errors import FileAccessError, RequestError, UnknownNameError
from nwbpipe.stores import Stores, open_store
from nwbpipe.stores._fsspec import FsspecStore


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    (tmp_path / "fast" / "m1").mkdir(parents=True)
    (tmp_path / "archive" / "m1").mkdir(parents=True)
    (tmp_path / "fast" / "m1" / "session.yaml").write_text("new")
    (tmp_path / "archive" / "m1" / "session.yaml").write_text("old")
    (tmp_path / "archive" / "m2.yaml").write_text("only here")
    return Stores({"raw": ["fast", "archive"], "nwb": str(tmp_path / "nwb"), "deep": "fast/m1"}, base=tmp_path)


def test_roots_are_tried_in_order(stores: Stores, tmp_path: Path) -> None:
    assert stores.locate("raw://m1/session.yaml") == tmp_path / "fast" / "m1" / "session.yaml"
    assert stores.locate("raw://m2.yaml") == tmp_path / "archive" / "m2.yaml"
    assert stores.locate("raw://m2.yaml", writing=True) == tmp_path / "fast" / "m2.yaml"
    assert stores.locate("raw://m1") == tmp_path / "fast" / "m1"
    with pytest.raises(FileAccessError, match="no such file") as caught:
        stores.locate("raw://m3.yaml")
    assert str(tmp_path / "archive") in str(caught.value)


def test_there_and_back(stores: Stores, tmp_path: Path) -> None:
    for address in ("raw://m2.yaml", "deep://session.yaml"):
        assert stores.address(stores.locate(address)) == address
    assert stores.address(tmp_path / "fast" / "m1" / "session.yaml") == "deep://session.yaml"  # the nearest root
    assert stores.address(stores.locate("nwb://sub-1/a.nwb", writing=True)) == "nwb://sub-1/a.nwb"
    for elsewhere in (tmp_path / "other" / "x", tmp_path / "fast2" / "x", "s3://bucket/x"):
        with pytest.raises(RequestError, match="below no root"):
            stores.address(elsewhere)


def test_urls_as_roots(tmp_path: Path) -> None:
    stores = Stores({"nwb": "s3://lab/nwb/", "mem": "memory://here"}, base=tmp_path)
    assert stores.locate("nwb://sub-1/a.nwb", writing=True) == "s3://lab/nwb/sub-1/a.nwb"
    assert stores.address("s3://lab/nwb/sub-1/a.nwb") == "nwb://sub-1/a.nwb"
    stores["mem"].write_bytes("a/b.txt", b"1")
    assert stores.locate("mem://a/b.txt") == "memory://here/a/b.txt"
    assert stores.glob("mem://**/*.txt") == ["mem://a/b.txt"]


def test_patterns_over_several_roots(stores: Stores) -> None:
    assert stores.glob("raw://**/*.yaml") == ["raw://m1/session.yaml", "raw://m2.yaml"]
    assert stores.glob("nwb://**/*.nwb") == []


@pytest.mark.parametrize("address", ["raw://../x", "raw://a/../../x", "raw:///../x", "raw://", "a/b", "s3://b/k"])
def test_no_address_leads_out(stores: Stores, address: str) -> None:
    with pytest.raises(RequestError):
        stores.locate(address)
    with pytest.raises(RequestError):
        stores.locate(address, writing=True)


def test_an_unknown_store_is_named_with_those_that_are(stores: Stores) -> None:
    with pytest.raises(UnknownNameError, match="'row'") as caught:
        stores.locate("row://a")
    assert "raw://" in str(caught.value)
    assert "NWBPIPE_STORE_ROW" in str(caught.value)


@pytest.mark.parametrize("name", ["s3", "Raw", "http", "1a", "a-b", ""])
def test_names_that_a_store_cannot_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        Stores({name: "x"}, base=tmp_path)


def test_the_environment_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWBPIPE_STORE_RAW", str(tmp_path / "there"))
    monkeypatch.setenv("NWBPIPE_STORE_EXTRA", "s3://bucket/x")
    stores = Stores.from_environment({"raw": "here"}, base=tmp_path)
    assert stores["raw"].root == str(tmp_path / "there")
    assert stores["extra"].root == "s3://bucket/x"
    assert sorted(stores) == ["extra", "raw"]
    assert Stores({"raw": "here"}, base=tmp_path)["raw"].root == str(tmp_path / "here")


def test_opening_a_store_asks_nobody() -> None:
    assert open_store("s3://no-such-bucket/x").root == "s3://no-such-bucket/x"


def test_another_package_of_azure_is_not_the_one_of_blobs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("azure.")]:
        monkeypatch.delitem(sys.modules, name)
    azure = module_from_spec(ModuleSpec("azure", None, is_package=True))
    monkeypatch.setitem(sys.modules, "azure", azure)
    assert isinstance(open_store("az://container"), FsspecStore)
