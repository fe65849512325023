"""What a verb imports before its work."""

from __future__ import annotations

import gc
import threading

import pytest

from nwbpipe.machine import _preload


def test_the_collector_rests_while_modules_are_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    monkeypatch.setattr(_preload, "import_module", lambda name: states.append((name, gc.isenabled())))
    monkeypatch.setattr(gc, "freeze", lambda: states.append(("freeze", gc.isenabled())))
    _preload.preload("a_module", "another")
    assert states == [("a_module", False), ("another", False), ("freeze", False)]
    assert gc.isenabled()


def test_what_is_imported_already_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "freeze", lambda: pytest.fail("frozen"))
    _preload.preload("gc")


def test_the_collector_works_on_after_an_import_that_fails() -> None:
    with pytest.raises(ModuleNotFoundError):
        _preload.preload("a_module_that_is_missing")
    assert gc.isenabled()


def test_modules_are_imported_beside_a_block_and_are_there_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    began, may_end = threading.Event(), threading.Event()
    imported: list[str] = []

    def import_slowly(name: str) -> None:
        began.set()
        assert may_end.wait(60)
        imported.append(name)

    monkeypatch.setattr(_preload, "import_module", import_slowly)
    with _preload.preload_beside("a_module"):
        assert began.wait(60)
        assert imported == []
        may_end.set()
    assert imported == ["a_module"]
    assert gc.isenabled()


def test_a_module_that_fails_beside_a_block_fails_when_it_is_imported_next() -> None:
    with _preload.preload_beside("a_module_that_is_missing"):
        pass
    assert not any(thread.name == "nwbpipe-imports" for thread in threading.enumerate())
