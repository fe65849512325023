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
