"""``nwbpipe check`` and ``nwbpipe edit``: what they print, and what they exit with."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest

import nwbpipe
from nwbpipe.cli import main
from tests.fixtures.processing import Scale


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Call the command line in this process; return exit code and output."""

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def processed(session_nwb: Path) -> Path:
    nwbpipe.process(session_nwb, Scale())
    return session_nwb


def test_check_of_a_good_file(run, processed: Path) -> None:
    code, out, _ = run("check", processed)
    assert code == 0
    assert ": whole\n" in out
    assert "ready for DANDI, by nwbinspector's rules: yes" in out
    code, out, _ = run("check", processed, "--rehash", "--json")
    assert code == 0
    report = json.loads(out)
    assert (report["verdict"], report["in_order"], report["findings"]) == ("whole", True, [])


def test_check_says_what_is_wrong(run, processed: Path) -> None:
    with h5py.File(processed, "r+") as file:
        file["acquisition/lever/data"][0, 0] = 99.0
        del file["general/subject/species"]
    code, out, _ = run("check", processed)
    assert code == 0  # whole and valid NWB; not for DANDI
    assert "unverified" in out
    assert "rules: no" in out
    code, out, _ = run("check", processed, "--rehash")
    assert "stale: the step 'scale' was computed from other content" in out
    with h5py.File(processed, "r+") as file:
        del file["processing/behavior/Scaled_scale"]
        del file["acquisition/lever/data"].attrs["unit"]
    code, out, _ = run("check", processed)
    assert code == 1
    assert "whole, with errors" in out
    assert "error nwb:" in out
    assert "error record: the step 'scale' wrote it, and it is gone" in out


def test_check_of_what_is_not_nwb_or_damaged(run, processed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    h5py.File(other, "w").close()
    code, out, _ = run("check", other)
    assert (code, "not NWB" in out) == (1, True)
    with processed.open("r+b") as file:
        file.truncate(50_000)
    code, out, _ = run("check", processed)
    assert (code, ": damaged" in out) == (1, True)
    code, _, err = run("check", tmp_path / "none.nwb")
    assert (code, "NP204" in err) == (1, True)


def test_check_repairs_an_interrupted_commit(run, processed: Path) -> None:
    processed.with_name(f".{processed.name}.journal").write_bytes(b"")
    code, out, _ = run("check", processed)
    assert (code, ": interrupted" in out) == (1, True)
    assert "--repair" in out
    code, out, _ = run("check", processed, "--repair")
    assert (code, "repaired: " in out) == (0, True)


def test_edit(run, processed: Path) -> None:
    code, out, _ = run("edit", "rename", processed, "scale", "better")
    assert (code, "Scaled_scale → /processing/behavior/Scaled_better" in out) == (0, True)
    code, _, err = run("edit", "remove", processed, "bettr")
    assert (code, "did you mean 'better'" in err) == (2, True)
    code, out, _ = run("edit", "remove", processed, "better", "--json")
    assert json.loads(out) == {"steps": ["better"], "paths": ["/processing/behavior/Scaled_better"]}
    code, out, _ = run("edit", "repack", processed, "--json")
    sizes = json.loads(out)
    assert (code, sizes["bytes_after"]) == (0, processed.stat().st_size)
