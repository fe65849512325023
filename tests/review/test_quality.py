"""Quality of a simulated scan: measured, in the file, listed, and judged by other thresholds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from nwbinspector import Importance, inspect_nwbfile
from pynwb import NWBHDF5IO, validate

import nwbpipe
from nwbpipe.cli import main
from nwbpipe.errors import InputError, ResultExistsError, UnknownNameError
from nwbpipe.project import Project
from nwbpipe.quality import ThresholdSet, default_thresholds
from nwbpipe.review import list_imaging_steps, list_unmeasured_steps, measure_quality, passed, verdicts
from nwbpipe.review._quality import read_session_quality
from nwbpipe.simulate import TwoPhotonTruth, simulate_two_photon

SMALL = {"frames": 300, "size": (80, 64), "cells": 6, "bleaching": 0.3, "dropped": 2, "seed": 1}


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TwoPhotonTruth]:
    path = tmp_path_factory.mktemp("scan") / "scan.nwb"
    return path, simulate_two_photon(path, **SMALL)


@pytest.fixture(scope="module")
def measured(scan: tuple[Path, TwoPhotonTruth], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    path = Path(shutil.copy2(scan[0], folder / "scan.nwb"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LOGS", "SCRATCH", "CACHE"):
            patch.setenv(f"NWBPIPE_{name}", str(folder / name.lower()))
        measure_quality(path, "truth", params={"dark_level": 100.0})
    return path


@pytest.fixture
def measured_file(measured: Path, tmp_path: Path, own_places: Path) -> Path:
    """Return a copy of the scan with its quality."""
    return Path(shutil.copy2(measured, tmp_path / "measured.nwb"))


@pytest.fixture
def file(scan: tuple[Path, TwoPhotonTruth], tmp_path: Path, own_places: Path) -> Path:
    copied = tmp_path / "scan.nwb"
    copied.write_bytes(scan[0].read_bytes())
    return copied


def test_metrics_and_verdicts_are_in_the_file(measured_file: Path, scan: tuple[Path, TwoPhotonTruth]) -> None:
    file, truth = measured_file, scan[1]
    assert list_imaging_steps(file) == ["truth"]
    assert [one.step for one in nwbpipe.read_records(file)] == ["truth", "truth_quality"]
    assert validate(path=str(file)) == []
    found = inspect_nwbfile(nwbfile_path=file, importance_threshold=Importance.BEST_PRACTICE_VIOLATION)
    assert [one.message for one in found if "uality" in str(one.location)] == []
    with NWBHDF5IO(file, "r") as io:
        nwbfile = io.read()
        ophys = nwbfile.processing["ophys"]
        table = ophys["RoiQuality_truth_quality"]
        assert table["roi"].table is ophys["ImageSegmentation_truth"]["PlaneSegmentation_truth"]
        np.testing.assert_array_equal(table["area"].data[:], truth.masks.sum(axis=(1, 2)))
        np.testing.assert_allclose(table["area_um2"].data[:], truth.masks.sum(axis=(1, 2)) * 2.25)
        np.testing.assert_allclose(table["variance"].data[:], truth.traces.var(axis=0), rtol=1e-4)
        movie = nwbfile.acquisition["TwoPhotonSeries"]
        frames = ophys["FrameQuality_truth_quality"]
        np.testing.assert_allclose(frames.data[:, 1], movie.data[:].mean(axis=(1, 2)), rtol=1e-5)
        np.testing.assert_array_equal(frames.timestamps[:], truth.times)
        row = ophys["ScanQuality_truth_quality"]
        moved = np.hypot(*(truth.shifts - np.median(truth.shifts, axis=0)).T)
        assert row["motion_max"].data[0] == pytest.approx(moved.max(), rel=1e-4)
        assert row["gaps"].data[0] == 2
        # 0.7^(t / T) loses about 0.30 of its start in the T = 10.1 s of the scan; activity and neuropil come on top.
        assert row["bleaching"].data[0] == pytest.approx(-0.30 * 60 / 10.07, rel=0.2)
        assert row["verdict"].data[0] == "fail"
        assert default_thresholds().hash in ophys["QualityThresholds_truth_quality"].description
    assert not measure_quality(file, "truth", params={"dark_level": 100.0}).computed


def test_verdicts_are_listed_and_judged_again(measured_file: Path) -> None:
    file = measured_file
    before = file.read_bytes()
    listed = verdicts(file)
    assert [(one.of, one.row) for one in listed] == [("scan", 0), *(("roi", k) for k in range(6))]
    assert any("bleaching" in reason for reason in listed[0].reasons)
    assert passed(file, "truth") is not None
    strict = ThresholdSet.from_dict({"name": "strict", "roi": {"area": {"fail_below": 1e6}}})
    judged = verdicts(file, thresholds=strict)
    assert {one.verdict for one in judged if one.of == "roi"} == {"fail"}
    assert judged[0].verdict == "pass"
    assert verdicts(file, step="other") == []
    assert file.read_bytes() == before
    with pytest.raises(ResultExistsError):
        measure_quality(file, "truth", thresholds=strict)
    assert measure_quality(file, "truth", thresholds=strict, replace=True).computed
    assert {one.verdict for one in verdicts(file) if one.of == "roi"} == {"fail"}
    chosen = passed(file, "truth")
    assert chosen is not None
    assert chosen.tolist() == [False] * 6
    assert passed(file, "other") is None


def test_the_command_lists_what_fails(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_and_exit(["qc", str(file)])
    assert "truth: not measured" in capsys.readouterr().out
    main_and_exit(["qc", str(file), "--measure"])
    shown = capsys.readouterr().out
    assert "the scan: fail" in shown
    assert "6 ROIs" in shown
    thresholds = tmp_path / "strict.toml"
    thresholds.write_text('name = "strict"\n[roi.area]\nfail_below = 1e6\n')
    main_and_exit(["qc", str(file), "--thresholds", str(thresholds), "--json"])
    read = json.loads(capsys.readouterr().out)
    assert [one["verdict"] for one in read] == ["pass"] + ["fail"] * 6
    assert read[1]["metrics"]["area"] > 10


def main_and_exit(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code in (0, None)


def test_what_fails_in_a_project(measured_file: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One session is measured, one is not, one is no NWB file any more, one has nothing, and one is not there yet."""
    lab = measured_file.parent
    for name, source in (("m1/a", measured_file), ("m1/b", file), ("m1/d", None)):
        path = lab / "nwb" / f"{name}.nwb"
        path.parent.mkdir(parents=True, exist_ok=True)
        if source is None:
            path.write_bytes(b"no NWB file")
        else:
            source.rename(path)
            with h5py.File(path, "r+") as opened:
                opened["general/subject/subject_id"][()], opened["general/session_id"][()] = name.split("/")
    toml = lab / "nwbpipe.toml"
    toml.write_text('nwbpipe = 1\n[project]\nname = "lab"\nsessions = "nwb://**/*.nwb"\n[stores]\nnwb = "nwb"\n'
                    'state = "state"\n[steps.x]\nprocessor = "suite2p"\n')  # fmt: skip
    code, out, err = call(["qc", str(lab)], capsys)
    assert code == 1
    assert "d.nwb" in err
    assert out.splitlines()[0] == "m1/a:"
    assert "  truth_quality: the scan: fail" in out
    assert "      fail: bleaching" in out
    assert "m1/b:\n  truth: not measured" in out
    assert out.splitlines()[-1] == "2 sessions: 1 with something that fails, 1 without verdicts"
    (lab / "nwb/m1/d.nwb").unlink()
    code, out, err = call(["qc", str(toml), "--json"], capsys)
    assert (code, err) == (0, "")
    first, second = json.loads(out)["sessions"]
    assert (first["session"], len(first["judged"]), first["not_measured"]) == ("m1/a", 7, [])
    assert (second["session"], second["judged"], second["not_measured"]) == ("m1/b", [], ["truth"])
    strict = lab / "strict.toml"
    strict.write_text('name = "strict"\n[roi.area]\nfail_below = 1e6\n')
    code, out, _ = call(["qc", str(lab), "--session", "m1/a", "--thresholds", str(strict)], capsys)
    assert out.count("area") == 6
    assert "m1/b" not in out
    for words in (["--measure"], ["--session", "m9/*"]):
        assert call(["qc", str(lab), *words], capsys)[0] == 2
    assert call(["qc", str(lab / "nwb")], capsys)[0] == 2
    assert call(["qc", str(lab / "nwb/m1/a.nwb"), "--where", "sex = 'F'"], capsys)[0] == 2
    (found,), _ = Project(lab).quality(["m1/a"], step="other")
    assert (found.judged, found.failed) == ([], False)


def call(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(words)
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def test_a_session_without_a_file_or_with_a_broken_one(file: Path, tmp_path: Path) -> None:
    assert read_session_quality("m1/a", None).missing
    file.write_bytes(file.read_bytes()[:5000])
    assert "damaged or truncated" in read_session_quality("m1/a", file).problem


def test_verdicts_are_found_whatever_the_step_is_called(
    measured_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nwbpipe.rename_step(measured_file, "truth_quality", "qc")
    assert {one.about for one in verdicts(measured_file)} == {"truth"}
    assert list_unmeasured_steps(measured_file, verdicts(measured_file)) == []
    assert passed(measured_file, "truth") is not None
    before = measured_file.read_bytes()
    assert "qc: 6 ROIs" in call(["qc", str(measured_file), "--measure"], capsys)[1]  # and not once more
    assert measured_file.read_bytes() == before
    code, _, err = call(["qc", str(measured_file), "--step", "truht"], capsys)
    assert code == 2
    assert "expected: truth" in err


def test_what_cannot_be_measured_is_refused(file: Path) -> None:
    with pytest.raises(UnknownNameError, match="no imaging result"):
        measure_quality(file, "suite2p")
    with pytest.raises(InputError, match="nothing is bound"):
        nwbpipe.process(file, "imaging_quality")


def test_removing_a_step_takes_its_quality_along(measured_file: Path) -> None:
    file = measured_file
    removed = nwbpipe.remove_step(file, "truth", cascade=True)
    assert removed.steps == ("truth", "truth_quality")
    with h5py.File(file) as opened:
        assert "ophys" not in opened["processing"]
