"""The doctor sees what is wrong, and says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nwbpipe import environments
from nwbpipe.environments import Tool, Weights
from nwbpipe.machine import Severity

NUMPY = Tool("numpy", ("numpy>=1.20",))
TINY = Tool("tinytool", ("tinytool>=1.0",))


def test_a_tool_that_is_well(own_tools: Path) -> None:
    found = environments.examine([NUMPY])
    assert [one.verdict for one in found] == [Severity.FINE, Severity.FINE]
    assert "numpy is imported in" in found[1].text


def test_a_tool_that_is_not_installed_is_no_fault(own_tools: Path) -> None:
    (found,) = environments.examine([TINY])
    assert found.verdict is Severity.NOTE
    assert "nwbpipe tools install tinytool" in found.text


def test_an_interrupted_installation(own_tools: Path) -> None:
    (own_tools / "tinytool").mkdir(parents=True)
    (found,) = environments.examine([TINY])
    assert found.verdict is Severity.FAULT
    assert "interrupted" in found.text


def test_a_folder_that_nwbpipe_did_not_make(own_tools: Path) -> None:
    (own_tools / "tinytool" / "notes").mkdir(parents=True)
    (found,) = environments.examine([TINY])
    assert found.verdict is Severity.FAULT
    assert f"{own_tools / 'tinytool'} was not made by nwbpipe: move it elsewhere" in found.text


def test_an_environment_that_no_longer_fits(wheels: Path) -> None:
    environments.install(TINY)
    (found,) = environments.examine([Tool("tinytool", ("tinytool>=3",))])
    assert found.verdict is Severity.FAULT
    assert "tinytool>=3 (found 1.2)" in found.text


def test_a_tool_that_cannot_be_imported(own_tools: Path) -> None:
    found = environments.examine([Tool("numpy", ("numpy>=1.20",), module="numpy.no_such_part")])
    assert found[1].verdict is Severity.FAULT
    assert "no_such_part" in found[1].text


def test_weights_that_are_missing_are_noted(own_tools: Path) -> None:
    weights = (Weights("model.pt", "https://example.org", "poses", required=False),)
    found = environments.examine([Tool("numpy", ("numpy>=1.20",), weights=weights)])
    assert found[2].verdict is Severity.NOTE
    assert str(own_tools / "weights" / "numpy") in found[2].text


def test_the_machine(own_tools: Path, programs: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    mamba = programs("mamba", "")
    texts = {one.text: one.verdict for one in environments.examine_machine()}
    assert texts[f"conda: {mamba}"] is Severity.FINE
    assert any(text.startswith("no containers") for text in texts)
    assert any(str(own_tools) in text and verdict is Severity.FINE for text, verdict in texts.items())
