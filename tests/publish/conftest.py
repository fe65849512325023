"""Session files to upload, and an upload without dandi's slow readers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
from dandischema.digests.dandietag import PartGenerator
from pynwb import NWBHDF5IO
from pynwb.image import ImageSeries

from nwbpipe.publish import _client, _plan, _upload
from tests.fixtures.nwb import empty_session


@pytest.fixture(scope="session")
def plain_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session file with an external video, ``session/face.mp4``, which is not there."""
    path = tmp_path_factory.mktemp("publish") / "session.nwb"
    nwbfile = empty_session("A session that is published.")
    nwbfile.add_acquisition(
        ImageSeries(name="face", description="The face.", external_file=["session/face.mp4"], format="external",
                    starting_frame=[0], rate=30.0, num_samples=9, unit="n.a.")
    )  # fmt: skip
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


@pytest.fixture
def make_session(plain_file: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a session file, with its video and ids."""

    def make(name: str = "session.nwb", *, subject: str = "M1", session: str = "a", video: bytes = b"video") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(plain_file, path)
        with h5py.File(path, "r+") as file:
            file["general/session_id"][()] = session
            file["general/subject/subject_id"][()] = subject
            file["acquisition/face/external_file"][0] = f"{path.stem}/face.mp4"
        if video:
            (path.with_suffix("")).mkdir(exist_ok=True)
            (path.with_suffix("") / "face.mp4").write_bytes(video)
        return path

    return make


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the checks and the metadata of dandi, which take seconds; send small parts, and try once."""

    def describe(planned: Any, version: str) -> dict[str, Any]:
        digest = {"dandi:dandi-etag": planned.digest.etag}
        return {"schemaKey": "Asset", "schemaVersion": version, "path": planned.asset.path, "digest": digest}

    monkeypatch.setattr(_plan, "find_refusals", lambda session: [])
    monkeypatch.setattr(_upload, "describe_asset", describe)
    monkeypatch.setattr(_upload, "SHA256_WAIT_S", 0.0)
    monkeypatch.setattr(_client, "WAITS", ())
    monkeypatch.setattr(PartGenerator, "DEFAULT_PART_SIZE", 2**16)
    monkeypatch.setattr(PartGenerator, "MIN_PART_SIZE", 1)
