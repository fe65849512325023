"""The real sessions of examples/, each converted once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import nwbpipe
from tests.examples.checking import EXAMPLES, Converted


@pytest.fixture(scope="module")  # not of the session: other tests have a store of that name, too
def raw_store(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Point raw:// at the real recordings, and keep caches, logs and scratch away from the user's."""
    places = tmp_path_factory.mktemp("places")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NWBPIPE_STORE_RAW", str(shared_data))
        for name in ("LOGS", "SCRATCH", "CACHE"):
            patch.setenv(f"NWBPIPE_{name}", str(places / name.lower()))
        yield shared_data


@pytest.fixture(scope="module")
def convert_example(raw_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Converted]:
    """Convert an example by its name; once a module, however many tests ask for it."""
    done: dict[str, Converted] = {}

    def convert(name: str) -> Converted:
        if name not in done:
            spec = EXAMPLES / name / "session.yaml"
            output = tmp_path_factory.mktemp(name) / f"{name}.nwb"
            done[name] = Converted(spec, nwbpipe.convert(spec, output, progress=False), raw_store)
        return done[name]

    return convert


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Converted], Path]:
    """Copy a converted session with its media, to be changed by a test."""

    def copy(converted: Converted) -> Path:
        media = converted.path.with_suffix("")
        if media.is_dir():
            shutil.copytree(media, tmp_path / media.name)
        return Path(shutil.copy2(converted.path, tmp_path / converted.path.name))

    return copy
