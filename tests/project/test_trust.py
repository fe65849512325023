"""Looking at a project starts no program that its file names; running it asks for trust."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nwbpipe import environments
from nwbpipe.cli._main import app
from nwbpipe.converters.spec import find_project_file
from nwbpipe.environments import ToolSettings
from nwbpipe.errors import RequestError, SpecError, UntrustedError
from nwbpipe.machine import is_trusted, trust
from nwbpipe.project import Project, Watcher, render_systemd_unit
from nwbpipe.project._load import find_project, load_project
from nwbpipe.project._trust import list_programs

PROGRAM = '[tools.suite2p]\npython = "tool.sh"\n'


def write_project(folder: Path, more: str = PROGRAM, name: str = "lab") -> Path:
    (folder / "nwb").mkdir(parents=True, exist_ok=True)
    file = folder / "nwbpipe.toml"
    file.write_text(
        f'nwbpipe = 1\n[project]\nname = "{name}"\nsessions = "nwb://**/*.nwb"\n[stores]\nnwb = "nwb"\n{more}'
        '[steps.s2p]\nprocessor = "suite2p"\n'
    )
    tool = folder / "tool.sh"
    tool.write_text(f"#!/bin/sh\nenv > {folder}/RAN\nexit 1\n")
    tool.chmod(0o755)
    return file


def test_looking_starts_nothing(tmp_path: Path) -> None:
    project = Project(write_project(tmp_path))
    facts = project.planner.tools["s2p"]
    assert (facts.version, facts.missing) == ("", "")
    project.status()
    project.pending()
    project.quality()
    assert not (tmp_path / "RAN").exists()


def test_the_version_of_a_named_python_is_read_from_its_files(tmp_path: Path) -> None:
    project = Project(write_project(tmp_path, '[tools.suite2p]\npython = "venv/bin/python"\n'))
    info = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    for name, version in (("suite2p", "1.1.0"), ("numpy", "2.0"), ("h5py", "3.14")):
        (info / f"{name}-{version}.dist-info").mkdir(parents=True)
        (info / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    assert project.planner.tools["s2p"].version == "1.1.0"


def test_running_asks_for_trust_and_gives_programs_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "PLANTED")
    file = write_project(tmp_path)
    project = Project(file)
    for act in (
        lambda: project.run(),
        lambda: project.executor(),
        lambda: project.job_scripts("slurm"),
        lambda: project.verify("m/s", "s2p"),
        lambda: Watcher(project).watch(lambda _: None),
    ):
        with pytest.raises(UntrustedError, match=r'tools\.suite2p\.python = "tool.sh"') as caught:
            act()
        assert f"nwbpipe trust {file}" in str(caught.value)
    assert not (tmp_path / "RAN").exists()
    trust(file)
    project.planner.allow_programs()
    assert "does not run" in project.planner.tools["s2p"].missing
    assert "PLANTED" not in (tmp_path / "RAN").read_text()


def test_the_python_of_a_project_is_its_own(tmp_path: Path) -> None:
    first, other = write_project(tmp_path / "a"), write_project(tmp_path / "b", "")
    trust(first)
    project = Project(first)
    project.planner.allow_programs()
    assert "does not run" in project.planner.tools["s2p"].missing  # so its settings were used
    suite2p = project.planner.project.steps["s2p"].method.tool
    assert environments.read_settings(suite2p) == ToolSettings()
    assert "does not run" not in Project(other).planner.tools["s2p"].missing


def test_without_a_terminal_the_question_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    for verb in ("run", "watch"):
        error = CliRunner().invoke(app, [verb]).exception
        assert isinstance(error, UntrustedError)
        assert error.exit_code == 2
    assert CliRunner().invoke(app, ["status", "--json"]).exit_code == 0
    assert not (tmp_path / "RAN").exists()


def test_a_person_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nwbpipe.cli import _trust

    class Terminal:
        @staticmethod
        def isatty() -> bool:
            return True

    project = Project(write_project(tmp_path))
    monkeypatch.setattr(_trust, "sys", type("Stand", (), {"stdin": Terminal, "stderr": Terminal}))
    for answer, trusted in ((False, False), (True, True)):
        monkeypatch.setattr(_trust.typer, "confirm", lambda *_, answer=answer, **__: answer)
        if trusted:
            _trust.ensure_trust(project)
        else:
            with pytest.raises(UntrustedError):
                _trust.ensure_trust(project)
        assert is_trusted(project.spec.path) is trusted


def test_trust_on_the_command_line(tmp_path: Path) -> None:
    runner, file = CliRunner(), write_project(tmp_path)
    assert runner.invoke(app, ["trust", str(file)]).output == f"{file}: trusted\n"
    assert str(file) in runner.invoke(app, ["trust"]).output
    assert str(file) in runner.invoke(app, ["trust", "--json"]).output
    assert "no longer" in runner.invoke(app, ["trust", "--remove", str(file)]).output
    assert "was not" in runner.invoke(app, ["trust", "--remove", str(file)]).output


def test_a_project_that_init_made_is_trusted(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["init", str(tmp_path / "lab")]).exit_code == 0
    assert is_trusted(tmp_path / "lab" / "nwbpipe.toml")
    assert not is_trusted(tmp_path / "lab" / "raw")  # data that is put beside it


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ('[tools.suite2p]\nweights = "w"\n', 'tools.suite2p.weights = "w"'),
        ('[tools.extract]\ncheckout = "c"\n', 'tools.extract.checkout = "c"'),
        ('[executor]\nkind = "dask"\naddress = "tcp://a:1"\n', 'executor.address = "tcp://a:1"'),
        ('[executor]\nkind = "cloud"\ncluster = "aws.FargateCluster"\n', 'executor.cluster = "aws.FargateCluster"'),
        (
            '[executor]\nkind = "slurm"\n[executor.kinds.ephys]\noptions = { python = "x" }\n',
            "executor.kinds.ephys.options",
        ),
        ('[executor]\nkind = "slurm"\n[executor.kinds.ephys]\nqueue = "gpu"\n', None),
    ],
)
def test_what_counts_as_a_program(text: str, program: str | None, tmp_path: Path) -> None:
    assert list_programs(load_project(write_project(tmp_path, text))) == ([program] if program else [])


@pytest.mark.parametrize("key", ["queue", "walltime", "memory"])
def test_no_setting_is_a_line_of_a_job_script(key: str, tmp_path: Path) -> None:
    text = f'[executor]\nkind = "slurm"\n[executor.kinds.ephys]\n{key} = "1\\nevil"\n'
    with pytest.raises(SpecError, match=key):
        load_project(write_project(tmp_path, text))


# Files of other users ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
def test_a_project_file_of_another_user_above_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_project(tmp_path)
    os.chown(file, 65534, 65534)
    below = tmp_path / "mine" / "data"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    with pytest.raises(UntrustedError, match="belongs to the user 65534"):
        find_project()
    assert find_project_file(below) is None  # nor do its stores count for a conversion
    assert find_project(file) == file  # it is named
    trust(file)
    assert find_project() == find_project_file(below) == file


# Text ------------------------------------------------------------------------------------------------------------


def test_a_name_is_no_line_of_a_unit() -> None:
    unit = render_systemd_unit(
        ["/a b/python", 'x"; $HOME %n \\'], Path("/a%b"), "lab\n[Service]\nExecStartPre=/bin/sh"
    )
    lines = unit.splitlines()
    assert len([line for line in lines if line.startswith("Exec")]) == 1
    assert lines.count("[Service]") == 1
    assert 'ExecStart="/a b/python" "x\\"; $$HOME %%n \\\\"' in lines
    assert "WorkingDirectory=/a%%b" in lines
    with pytest.raises(RequestError):
        render_systemd_unit(["python"], Path("/a\nExecStartPre=/bin/sh"), "lab")


@pytest.mark.parametrize(
    "output",
    [
        "nwb://sub{{subject_id}/{session_id}.nwb", "nwb://{{session_id}}.nwb", "nwb://{session_id}}.nwb",
        "nwb://{}{session_id}.nwb",
        "nwb://{session_id!r}.nwb", "nwb://{session_id.__class__}.nwb", "nwb://{session_id:>9999999999}.nwb",
        "nwb://{session_id}\\n.nwb",
    ],
)  # fmt: skip
def test_an_output_holds_plain_fields(output: str, tmp_path: Path) -> None:
    file = write_project(tmp_path, "")
    text = file.read_text().replace('"nwb://**/*.nwb"', f'"nwb://**/session.yaml"\noutput = "{output}"')
    file.write_text(text)
    with pytest.raises(SpecError, match="output"):
        load_project(file)


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_the_state_of_a_project_is_private_unless_its_folder_is_a_groups(tmp_path: Path) -> None:
    for name, mode in (("own", 0o755), ("group", 0o775)):
        project = Project(write_project(tmp_path / name, ""))
        (tmp_path / name).chmod(mode)
        project.run()
        assert ((tmp_path / name / ".nwbpipe").stat().st_mode & 0o077 == 0) is (name == "own")
