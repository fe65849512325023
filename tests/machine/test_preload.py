"""What a verb imports before its work."""

from __future__ import annotations

import gc

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
