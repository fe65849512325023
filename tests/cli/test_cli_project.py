"""The verbs of a project: what they print, and what they exit with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nwbpipe.cli import main
from nwbpipe.project import Project
from tests.fixtures.projects import STEPS, Inline, make_project

pytestmark = pytest.mark.usefixtures("test_processors")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Call the command line in this process, and compute in it, too."""
    monkeypatch.setattr(Project, "executor", lambda self, kind=None, workers=None: Inline())

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        code = ended.value.code
        captured = capsys.readouterr()
        return (code if isinstance(code, int) else 0), captured.out, captured.err

    return call


def test_a_project_from_init_to_done(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path / "lab", 2, STEPS.replace("factor = 3", 'factor = 3, ending = "raise"'))
    monkeypatch.chdir(tmp_path / "lab")
    code, out, _ = run("status")
    assert code == 0
    assert "m1/s0" in out
    assert "first: 2 missing" in out
    code, out, _ = run("run", "--dry-run", "--session", "m1/s0")
    assert out.splitlines() == ["m1/s0 first  missing", "m1/s0 second  missing: after first", "2 runs would be done"]
    code, out, _ = run("run", "--dry-run", "--session", "m1/s0", "--step", "second")
    assert "2 runs would be done" in out  # with what it needs
    code, out, err = run("run", "--max-failures", 1)
    assert code == 1
    assert "4 runs to do; here\n" in err
    assert "0 done, 1 failed" in out
    assert "m1/s0 first  failed" in err
    assert "1 runs would be done" in run("run", "--dry-run", "--step", "first")[1]
    assert "2 runs would be done" in run("run", "--dry-run", "--step", "first", "--retry-failed")[1]
    code, _, err = run("status", "--why", "m1", "first")
    assert code == 2
    assert "m1/s0, m1/s1" in err
    code, out, _ = run("status", "--why", "m1/s0", "first")
    assert "the data are odd" in out
    assert "state/logs/m1/s0/first-" in out
    assert "acquisition/lever" in out
    make_project(tmp_path / "lab", 0, STEPS)
    code, out, _ = run("run", "--json")
    assert (code, json.loads(out)["done"]) == (0, 4)
    code, out, _ = run("status", "--json")
    found = json.loads(out)
    assert found["counts"] == {"first": {"done": 2}, "second": {"done": 2}}
    assert [one["state"] for one in found["sessions"]["m1/s1"]] == ["done", "done"]
    code, out, _ = run("log")
    assert out.count("  done  ") == 4
    assert out.count("  failed  ") == 1
    assert "CPU s" in out
    code, out, _ = run("log", "--project", tmp_path / "lab", "--json")
    assert len(json.loads(out)) == 5
    code, out, _ = run("log", "--prov")
    assert len(json.loads(out)["activity"]) == 4
    for words in (("log", "--project", "--json"), ("log", "--json", "--project")):  # as it was a flag
        code, out, err = run(*words)
        assert (code, len(json.loads(out))) == (0, 5)
        assert "--project now takes an nwbpipe.toml" in err
    assert run("log", "nwb/s0.nwb", "--project", "nwbpipe.toml")[0] == 2
    code, out, _ = run("log", "nwb/s0.nwb", "--prov")
    assert len(json.loads(out)["activity"]) == 2
    code, out, _ = run("verify", "m1/s0", "first")
    assert code == 0
    assert "same  /processing/behavior/Scaled_first/data" in out


def test_init_and_bad_requests(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for verb in ("status", "log"):
        code, _, err = run(verb)
        assert code == 2
        assert "`nwbpipe init` writes one" in err
    assert run("init")[0] == 0
    code, _, err = run("init")
    assert code == 2
    assert "there is a project file already" in err
    code, _, err = run("status")
    assert code == 1
    assert "the root of the store 'raw' is missing" in err
    (tmp_path / "raw").mkdir()
    assert run("status")[1].strip() == "no session was found"
    assert run("log")[:2] == (0, "no runs yet\n")
    code, _, err = run("run", "--show-job-script")
    assert code == 2
    assert "does not submit jobs" in err
    for words in (("run", "--show-job-script"), ("watch",)):
        code, _, err = run(*words, "--executor", "slrum")
        assert code == 2
        assert "the settings of the executor are not valid\n  expected: 'local', 'dask', 'slurm'" in err
    code, out, _ = run("run", "--executor", "slurm", "--show-job-script")
    assert "#SBATCH" in out


def test_units_and_dockerfiles(run, tmp_path: Path) -> None:
    make_project(tmp_path, 0)
    unit, docker = tmp_path / "deploy/nwbpipe.service", tmp_path / "Dockerfile"
    code, _, _ = run(
        "watch", "--project", tmp_path, "--settle", 5, "--workers", 3, "--write-unit", unit,
        "--write-dockerfile", docker,
    )  # fmt: skip
    assert code == 0
    assert f'"--project" "{tmp_path}/nwbpipe.toml" "--settle" "5"' in unit.read_text()
    assert '"--workers" "3"' in unit.read_text()
    assert 'CMD ["nwbpipe", "watch"' in docker.read_text()
    assert "nwbpipe[ephys,imaging,behavior,photometry,s3,watch,dask]==" in docker.read_text()
    code, _, err = run("watch", "--project", tmp_path, "--write-dockerfile", docker, "--extras", 's3,x" && rm')
    assert code == 2
    assert "no such extra of nwbpipe" in err


@pytest.mark.parametrize("option", ["--dry-run", "--cancel", "--rounds=2"])
def test_job_files_of_a_cloud_take_no_option_of_a_scheduler(run, tmp_path: Path, option: str) -> None:
    make_project(tmp_path, 0)
    words = ("submit", "--project", tmp_path, "--cloud", "aws", "--image", "lab/nwbpipe:1", "-o", tmp_path / "jobs")
    code, _, err = run(*words, option)
    assert code == 2
    assert "not for a cloud" in err
    assert not (tmp_path / "jobs").exists()
