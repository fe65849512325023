from __future__ import annotations

from pathlib import Path

import pytest

from nwbpipe import errors
from nwbpipe.project import load_project, write_template

pytestmark = pytest.mark.usefixtures("test_processors")

HEAD = """\
nwbpipe = 1
[project]
name = "lab"
sessions = "raw://**/session.yaml"
output = "nwb://sub-{subject_id}/ses-{session_id}.nwb"
[stores]
raw = "raw"
nwb = "/data/nwb"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "nwbpipe.toml"
    path.write_text(text)
    return path


def test_steps_extend_sweep_and_come_in_order(tmp_path: Path) -> None:
    spec = load_project(
        written(
            tmp_path,
            HEAD
            + """
[steps.last]
processor = "scale"
inputs.series = "first/Scaled"
[steps.first]
processor = "scale"
params = { factor = 3 }
resources = { cpu = 2, kind = "ephys" }
[steps.more]
extends = "first"
sweep.factor = [4, 5.5]
""",
        )
    )
    names = list(spec.steps)
    assert names.index("first") < names.index("last")
    assert spec.steps["last"].upstream == ("first",)
    swept = [step for name, step in spec.steps.items() if name.startswith("more_")]
    assert sorted(step.params.factor for step in swept) == [4.0, 5.5]
    assert all(len(step.name) == len("more_") + 8 and step.resources.kind == "ephys" for step in swept)
    assert spec.steps["first"].resources.cpu == 2
    assert spec.stores["raw"] == (str(tmp_path / "raw"),)
    assert spec.locate("nwb://a/b.nwb") == Path("/data/nwb/a/b.nwb")


def test_names_of_swept_steps_do_not_depend_on_their_order(tmp_path: Path) -> None:
    names = []
    for values in ("[4, 5]", "[5, 4]"):
        text = f'{HEAD}[steps.s]\nprocessor = "scale"\nsweep.factor = {values}\n'
        names.append(sorted(load_project(written(tmp_path, text)).steps))
    assert names[0] == names[1]


def test_all_mistakes_are_named_at_once_with_their_lines(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        HEAD.replace('raw = "raw"\n', "")
        + """
[steps.a]
processor = "scael"
[steps.b]
processor = "scale"
params = { factor = -1, fctor = 2 }
inputs.movie = "x"
[steps.c]
extends = "d"
[steps.d]
extends = "c"
[steps."Bad name"]
processor = "scale"
[executor]
kind = "locl"
workers = 0
[other]
""",
    )
    with pytest.raises(errors.SpecError) as caught:
        load_project(path)
    told = {problem.where: f"{problem.what} {problem.expected} {problem.hint}" for problem in caught.value.problems}
    lines = path.read_text().splitlines()

    def said(key: str, line: str) -> str:
        return told[f"{path}, line {lines.index(line) + 1}: {key}"]

    assert "did you mean 'scale'" in said("steps.a.processor", 'processor = "scael"')
    assert "greater than 0" in said("steps.b.params.factor", "params = { factor = -1, fctor = 2 }")
    assert "did you mean 'factor'" in said("steps.b.params.fctor", "params = { factor = -1, fctor = 2 }")
    assert "has no input" in said("steps.b.inputs.movie", 'inputs.movie = "x"')
    assert "extends itself" in said("steps.c.extends", 'extends = "d"')
    assert "is not valid" in said("steps.Bad name", '[steps."Bad name"]')
    assert "local" in said("executor.kind", 'kind = "locl"')
    assert "workers" in said("executor.workers", "workers = 0")
    assert "unknown" in said("other", "[other]")
    assert "no store 'raw'" in said("project.sessions", 'sessions = "raw://**/session.yaml"')


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (
            '[steps.a]\nprocessor="scale"\ninputs.series="b/Scaled"\n'
            '[steps.b]\nprocessor="scale"\ninputs.series="a/Scaled"',
            "wait for one another",
        ),
        ('[steps.a]\nprocessor="scale"\nprimary=true\n[steps.b]\nprocessor="scale"\nprimary=true', "one container"),
        (
            '[steps.a]\nprocessor="scale"\nsweep.factor=[1,2]\n[steps.b]\nprocessor="scale"\ninputs.series="a/Scaled"',
            "a sweep",
        ),
        ('[steps.a]\nprocessor="scale"\nsweep.factor=[]', "no values"),
        ('[steps.a]\nprocessor="scale"\nscope="project"', "session"),
        ("[profiles.lab]\nraw='x'", "(?s)the key 'raw' is unknown.*profiles.lab.raw.*one of stores"),
        ('[steps]\na = "scale"', "(?s)the value of 'a' has the wrong type.*expected: a table"),
    ],
)
def test_what_is_refused(tmp_path: Path, more: str, named: str) -> None:
    with pytest.raises(errors.SpecError, match=named):
        load_project(written(tmp_path, f"{HEAD}{more}\n"))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("{session_id}", "{sesion_id}", "no fields but subject_id and session_id, not sesion_id"),
        ("nwb://sub", "nwb://../sub", r"\.\."),
        ("nwbpipe = 1", "nwbpipe = 2", "not supported"),
        ("/session.yaml", "/session.txt", "neither specs nor files"),
        ('name = "lab"', "name = ", "not TOML"),
        ("output = ", "# output = ", "'output' is missing"),
    ],
)
def test_wrong_heads(tmp_path: Path, old: str, new: str, named: str) -> None:
    with pytest.raises(errors.SpecError, match=named):
        load_project(written(tmp_path, HEAD.replace(old, new)))


def test_profiles_change_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, HEAD + '[profiles.cluster.stores]\nnwb = "s3://bucket/nwb"\n')
    assert load_project(path, profile="cluster").stores["nwb"] == ("s3://bucket/nwb",)
    assert load_project(path).stores["nwb"] == ("/data/nwb",)
    with pytest.raises(errors.SpecError, match="no profile 'clustr'"):
        load_project(path, profile="clustr")
    monkeypatch.setenv("NWBPIPE_STORE_RAW", str(tmp_path / "elsewhere"))
    assert load_project(path).stores["raw"] == (str(tmp_path / "elsewhere"),)


def test_a_variable_means_the_same_store_for_the_project_and_for_its_specs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, HEAD)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("NWBPIPE_STORE_RAW", "data")
    monkeypatch.setenv("NWBPIPE_STORE_MORE", "s3://bucket/more")
    spec = load_project(path)
    assert spec.stores["raw"] == (str(tmp_path / "here/data"),)
    assert spec.stores["more"] == ("s3://bucket/more",)
    assert spec.open_stores["raw"].root == str(tmp_path / "here/data")


def test_session_files_may_be_in_s3_and_nowhere_else(tmp_path: Path) -> None:
    spec = load_project(written(tmp_path, HEAD.replace("/data/nwb", "s3://bucket/nwb/")))
    assert spec.locate("nwb://a/b.nwb") == "s3://bucket/nwb/a/b.nwb"
    with pytest.raises(errors.SpecError) as caught:
        load_project(written(tmp_path, HEAD.replace("/data/nwb", "abfs://bucket/nwb")))
    (problem,) = caught.value.problems
    assert problem.what == "session files there can be read, not changed"


def test_a_kind_of_address_is_no_name_for_a_store(tmp_path: Path) -> None:
    with pytest.raises(errors.SpecError, match="'s3' can't be the name of a store"):
        load_project(written(tmp_path, HEAD + 's3 = "/data"\n'))


def test_a_store_may_have_several_roots_and_a_tool_may_be_a_checkout(tmp_path: Path) -> None:
    tools = '[tools.extract]\ncheckout = "/opt/EXTRACT"\nweights = "weights"\n'
    spec = load_project(written(tmp_path, HEAD.replace('raw = "raw"', 'raw = ["raw", "/archive"]') + tools))
    assert spec.stores["raw"] == (str(tmp_path / "raw"), "/archive")
    tool = spec.tools["extract"]
    assert (tool.python, tool.checkout, tool.weights) == (None, "/opt/EXTRACT", "weights")
    with pytest.raises(errors.SpecError, match=r"(?s)the store has no root.*stores.raw"):
        load_project(written(tmp_path, HEAD.replace('raw = "raw"', "raw = []")))


def test_the_template_is_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_template(tmp_path / "nwbpipe.toml", 'the "lab"')
    assert load_project(tmp_path).name == "the lab"
    commented = path.read_text().replace("\n# ", "\n")
    path.write_text(commented)
    assert len(load_project(path).steps) == 5  # what the comments show is right, too
    with pytest.raises(errors.OverwriteError):
        write_template(path, "again")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert load_project().path == path
