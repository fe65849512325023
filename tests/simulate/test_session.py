"""The session as a whole: the same bytes from the same seed, its spec, its sizes, its refusals."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from nwbpipe.errors import OverwriteError, ParameterError, SourceError, ToolMissingError
from nwbpipe.simulate import SimulatedSession, simulate_session


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def test_the_same_seed_gives_the_same_bytes(simulated: SimulatedSession, tmp_path: Path):
    started = time.process_time()  # of the processor: another program's load is no matter
    again = simulate_session(tmp_path / "again", seed=simulated.seed, size="small")
    # 1 to 2 s on an idle core; the packages are imported by now.
    assert time.process_time() - started < 8
    assert _digests(again.folder) == _digests(simulated.folder)


def test_another_seed_gives_other_raw_data(simulated: SimulatedSession, tmp_path: Path):
    other = simulate_session(tmp_path / "other", seed=simulated.seed + 1, size="small")
    mine, theirs = _digests(simulated.folder), _digests(other.folder)
    assert mine.keys() == theirs.keys()
    same = {name for name in mine if mine[name] == theirs[name]}
    # What holds no random numbers: the probe's meta file, DeepLabCut's project, the photometry's settings.
    assert {name.rsplit(".", 1)[-1] for name in same} <= {"meta", "yaml", "toml"}
    assert "session.yaml" not in same


def test_small_is_small(simulated: SimulatedSession):
    assert _megabytes(simulated.folder) < 10


@pytest.mark.thorough
def test_demo_is_made_in_time_and_space(tmp_path: Path):
    started = time.process_time()
    demo = simulate_session(tmp_path, size="demo")
    assert time.process_time() - started < 60
    assert _megabytes(tmp_path) < 400
    assert demo.imaging.masks.shape == (60, 256, 256)
    assert len(demo.ephys.spike_times) == 10
    assert len(demo.face.frame_times) >= 1000
    # The camera dropped two frames.
    assert (np.diff(demo.face.frame_times) > 1.5 / demo.face.rate).sum() == 2


def test_spec_names_every_stream_and_no_truth(simulated: SimulatedSession):
    spec = yaml.safe_load(simulated.spec.read_text())
    assert spec["nwbpipe"] == 1
    assert spec["reference_clock"] == "probe"
    streams = {"probe", "sync", "scope", "face", "pose", "trials", "events", "photometry"}
    assert set(spec["sources"]) == streams
    assert {"subject_id", "species", "sex", "age"} <= set(spec["subject"])
    assert spec["session"]["session_start_time"] == "2024-05-01T10:00:00-04:00"
    clocks = {source.get("clock", name) for name, source in spec["sources"].items()}
    assert clocks == set(spec["clocks"]) | {"probe"}
    assert spec["clocks"]["scope"]["offset_s"] == simulated.offsets_s["scope"]
    # What pulses have to find out is not in the spec.
    assert [name for name, clock in spec["clocks"].items() if clock["align"] == "pulses"] == ["face", "behavior"]
    assert not any("offset_s" in spec["clocks"][name] for name in ("face", "behavior"))
    paths = [
        path
        for source in spec["sources"].values()
        for key, value in source["args"].items()
        if "path" in key
        for path in ([value] if isinstance(value, str) else value)
    ]
    for path in [*paths, spec["clocks"]["face"]["timestamps"]["file"]]:
        assert (simulated.folder / path).exists()
        assert not (simulated.folder / path).is_relative_to(simulated.truth_folder)
        assert not simulated.truth_folder.is_relative_to(simulated.folder / path)


def test_every_path_is_a_file_that_was_written(simulated: SimulatedSession):
    for name in ("spec", "scan", "ap_bin", "video", "video_timestamps", "pose", "pose_config", "trials", "events"):
        assert getattr(simulated, name).is_file(), name
    assert simulated.ephys_folder.is_dir()


def test_open_finds_a_session_again(simulated: SimulatedSession):
    session = SimulatedSession.open(simulated.folder)
    assert session == simulated
    np.testing.assert_array_equal(session.behavior.event_times, simulated.behavior.event_times)
    with pytest.raises(dataclasses.FrozenInstanceError):
        session.seed = 1  # type: ignore[misc]


def test_open_refuses_a_folder_without_a_finished_session(tmp_path: Path):
    with pytest.raises(SourceError, match="no complete simulated session"):
        SimulatedSession.open(tmp_path)


def test_a_session_is_not_replaced_unasked(simulated: SimulatedSession):
    before = _digests(simulated.folder)
    with pytest.raises(OverwriteError, match=r"overwrite=True"):
        simulate_session(simulated.folder, size="small")
    assert _digests(simulated.folder) == before


def test_overwrite_replaces_it_whole(tmp_path: Path, simulated: SimulatedSession):
    simulate_session(tmp_path, seed=9, size="small")
    simulate_session(tmp_path, seed=simulated.seed, size="small", overwrite=True)
    assert _digests(tmp_path) == _digests(simulated.folder)


@pytest.mark.parametrize(("seed", "size", "message"), [(0, "huge", "unknown size"), (-1, "small", "negative")])
def test_bad_requests_write_nothing(tmp_path: Path, seed: int, size: str, message: str):
    with pytest.raises(ParameterError, match=message):
        simulate_session(tmp_path / "x", seed=seed, size=size)  # type: ignore[arg-type]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("package", ["tifffile", "spikeinterface", "av"])
def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str):
    real = importlib.import_module

    def absent(name: str, *rest: str):
        if name.split(".")[0] == package:
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr("nwbpipe.simulate._common.importlib.import_module", absent)
    with pytest.raises(ToolMissingError, match=r"pip install 'nwbpipe\[demo\]'"):
        simulate_session(tmp_path, size="small")
    with pytest.raises(SourceError):
        SimulatedSession.open(tmp_path)
