"""Sources of a second, carried far apart: whether they overlap is no matter of these tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_extents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the comparison of extents, which `tests/converters/accounts` holds."""
    monkeypatch.setattr("nwbpipe.converters._build.check_extents", lambda _sources: None)
