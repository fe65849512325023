"""Each `make` target that a text of the house names has a rule."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RULES = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("name", ["Makefile", "CONTRIBUTING.md", ".ci/run", "README.md"])
def test_named_targets_have_rules(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^ +|^# |^)(?:exec |env .*|CI=\"\" )?make ([a-z-]+)", text, re.MULTILINE))
    assert named, "the page names no target"
    assert named <= RULES


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited is not None
    assert cited[1] == project["version"]


def test_the_version_has_a_dated_section_in_the_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    newest = re.search(
        r"^## \[(.+?)\] – (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    assert newest is not None
    assert newest[1] == project["version"]
    assert f"date-released: {newest[2]}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_workflow_builds_the_wheel_on_each_version_that_is_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    matrix = re.search(r"matrix: \{python: \[(.+?)\]\}", text)
    assert matrix is not None
    versions = re.findall(r"3\.\d+", matrix[1])
    named = [text.rpartition(" ")[2] for text in project["classifiers"] if re.search(r"Python :: 3\.\d+$", text)]
    assert set(named) <= set(versions)
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
    assert "make docs" in text
    assert ".ci/run" in text
