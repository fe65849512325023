"""Raw files that the tests of the converters share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.converters import raw


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A session's folder with a raw file of every kind that is quickly written."""
    session = tmp_path / "session"
    session.mkdir()
    raw.write_movie(session / "movie.tif")
    raw.write_video(session / "body.avi")
    raw.write_trials(session / "trials.csv")
    raw.write_events(session / "events.csv")
    raw.write_pose(session / "poseDLC.csv")
    return session


@pytest.fixture
def convert_to(folder: Path) -> Callable[..., Any]:
    """Convert sources to a file in memory: the NWBFile with all times in place, and nothing written."""

    def build(sources: dict[str, Any], **more: Any) -> Any:
        from nwbpipe.converters import load_spec
        from nwbpipe.converters._build import build_nwbfile

        return build_nwbfile(load_spec(raw.write_spec(folder, sources, **more)))

    return build


@pytest.fixture(autouse=True)
def no_store_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a store that the environment names (the examples' tests set one) out of these tests."""
    monkeypatch.delenv("NWBPIPE_STORE_RAW", raising=False)
