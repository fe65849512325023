"""The tables of the design note on accounts name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NOTE = ROOT / "docs" / "design" / "020-accounts.md"


def test_every_test_that_the_tables_name_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", NOTE.read_text(encoding="utf-8"))
    assert len(named) > 50
    for file, name in named:
        path = ROOT / file if "/" in file else Path(__file__).with_name(file)
        assert f"def {name}(" in path.read_text(encoding="utf-8"), f"{file}::{name}"
