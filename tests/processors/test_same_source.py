"""Results that earlier code made are not stale while today's code computes the same."""

from __future__ import annotations

import json
import lzma
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

import nwbpipe
from nwbpipe.environments import Tool
from nwbpipe.processors import Input, Processor, Results, computes_same, hash_compute_code, processor
from nwbpipe.processors import _source as sources
from nwbpipe.project import Project
from nwbpipe.project.plan import _tools
from nwbpipe.provenance import RunRecord
from nwbpipe.session import read_records
from tests.fixtures.projects import HEAD
from tests.same_source import TABLE, collect_digests, update

OLD = Path(__file__).parents[1] / "data" / "session_0_1" / "session.nwb.xz"


def test_the_table_is_that_of_the_current_code() -> None:
    entries = json.loads(TABLE.read_text(encoding="utf-8"))
    assert {name: entry["current"] for name, entry in entries.items()} == collect_digests(), (
        "compute code changed. If no result does: `make same-source`. If results of dff and wheel may: "
        "`make same-source CHANGED='dff wheel'`. See CONTRIBUTING."
    )


def test_earlier_code_is_added_unless_results_change() -> None:
    entries = update({}, {"dff": "a", "wheel": "x"})
    assert entries["dff"] == {"current": "a", "earlier": []}
    entries = update(update(entries, {"dff": "b", "wheel": "x"}), {"dff": "c", "wheel": "y"}, changed=["wheel"])
    assert entries == {"dff": {"current": "c", "earlier": ["a", "b"]}, "wheel": {"current": "y", "earlier": []}}
    assert update(entries, {"dff": "a"})["dff"] == {"current": "a", "earlier": ["b", "c"]}


def test_other_code_is_not_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_load_same_source", lambda: {"dff": {"current": "c", "earlier": ["a", "b"]}})
    assert computes_same("dff", "b", "c")
    assert computes_same("dff", "d", "d")
    assert not computes_same("dff", "b", "d")  # the code was changed since the table was written
    assert not computes_same("dff", "d", "c")
    assert not computes_same("wheel", "b", "c")


# A file that version 0.1 of November 2026 wrote --------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of the old file, with the steps that its records tell of."""
    path = tmp_path / "nwb" / "session.nwb"
    path.parent.mkdir()
    path.write_bytes(lzma.decompress(OLD.read_bytes()))
    lines = [HEAD]
    records = read_steps(path)
    steps = {output.path: record.step for record in records for output in record.outputs}
    for record in records:
        bound = {one.name: one.path.lstrip("/") for one in record.inputs}
        for one in record.inputs:
            if step := steps.get(one.path):  # a result of another step is bound by that step's name
                bound[one.name] = f"{step}/{one.path.rpartition('/')[2].removesuffix(f'_{step}')}"
        lines += [f"[steps.{record.step}]", f'processor = "{record.processor}"']
        lines += [f"inputs.{name} = {json.dumps(source)}" for name, source in bound.items()]
        params = processor(record.processor).Params.model_validate(record.parameters)
        for name, value in params.model_dump(mode="json", exclude_defaults=True).items():
            lines.append(f"params.{name} = {json.dumps(value)}")
    (tmp_path / "nwbpipe.toml").write_text("\n".join(lines))
    return Project(tmp_path)


def read_steps(path: Path) -> list[RunRecord]:
    return [record for record in read_records(path) if record.step != "convert"]


@pytest.fixture
def recorded_tools(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunRecord]:
    """Let the tools have the versions that made the results."""
    records = read_steps(tmp_path / "nwb" / "session.nwb")
    versions = {record.tool: record.tool_version for record in records}
    monkeypatch.setattr(_tools, "_find_version", lambda tool: ((versions[tool.name], ""), []))
    return records


def test_results_of_earlier_code_are_done(project: Project, recorded_tools: list[RunRecord], tmp_path: Path) -> None:
    assert len(recorded_tools) >= 8
    assert any(record.compute_digest != hash_compute_code(processor(record.processor)) for record in recorded_tools)
    steps = [step for plan in project.status().plans for step in plan.steps]
    stale = {step.run: step.reason for step in steps if step.state != "done"}
    # These two took events for those of other trials, and were not exact at Unix times; trialize averaged headings.
    assert stale == {"event_windows": "revision 1 → 2", "trialize": "revision 1 → 3"}
    for record in recorded_tools[-3:]:  # the run's key is the same as well
        run = nwbpipe.process(
            tmp_path / "nwb" / "session.nwb",
            record.processor,
            params=dict(record.parameters),
            inputs={one.name: one.path for one in record.inputs},
        )
        assert not run.computed, record.step


def test_results_of_code_that_changed_are_stale(
    project: Project, recorded_tools: list[RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tools, "hash_compute_code", lambda method: f"changed {hash_compute_code(method)}")
    states = {step.run: step for plan in project.status().plans for step in plan.steps}
    assert states["dff"].state == "stale"
    assert "code changed" in states["dff"].reason


# The digest follows the imports ------------------------------------------------------------------------------


@pytest.fixture
def method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Processor]:
    """Make a processor whose compute module has this text."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy", raising=False)  # that of another test

    class Toy(Processor):
        name: ClassVar[str] = "toy"
        revision: ClassVar[int] = 1
        module: ClassVar[str] = "behavior"
        inputs: ClassVar[dict[str, Input]] = {}
        tool: ClassVar[Tool] = Tool("numpy", ("numpy",))
        compute: ClassVar[str] = "toy._toy_compute"

        def write(self, nwbfile: object, results: Results, context: object) -> None: ...

    def make(text: str) -> Processor:
        (tmp_path / "toy").mkdir(exist_ok=True)
        (tmp_path / "toy" / "__init__.py").touch()
        (tmp_path / "toy" / "_toy_compute.py").write_text(text)
        return Toy()

    return make


@pytest.mark.parametrize(
    "line", ["from ._part import f", "from . import _part", "def compute(r, s, p):\n    from ._part import f"]
)
def test_a_part_beside_it_is_in_the_digest(line: str, method: Callable[[str], Processor], tmp_path: Path) -> None:
    toy = method(line)
    part, inner = tmp_path / "toy" / "_part.py", tmp_path / "toy" / "_inner.py"
    digests = []
    for text in ("", "f = 1", "from ._inner import f"):
        part.write_text(text)
        digests.append(hash_compute_code(toy))
    inner.write_text("f = 2")
    digests.append(hash_compute_code(toy))
    assert len(set(digests)) == 4


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("import numpy, _part", []),
        ("from nwbpipe_kit.traces import read_traces", ["traces.py"]),
        ("from nwbpipe_kit import movies", ["movies.py", "chunks.py"]),
        ("import nwbpipe_kit.baselines as b", ["baselines.py"]),
    ],
)
def test_what_it_imports_of_the_kit_is_in_the_digest(
    line: str, names: list[str], method: Callable[[str], Processor]
) -> None:
    files = sources.list_compute_files(method(line))
    assert [path.name for path in files] == ["_toy_compute.py", *names]


def test_the_digest_of_a_single_file_is_that_of_its_bytes(method: Callable[[str], Processor]) -> None:
    import hashlib

    assert hash_compute_code(method("x = 1\n")) == hashlib.sha256(b"x = 1\n").hexdigest()


def test_parts_that_are_named_by_hand_are_warned_of_and_counted() -> None:
    with pytest.warns(FutureWarning, match="compute_parts is not needed"):

        class Old(processor("dff").__class__):  # type: ignore[misc]
            compute_parts = ("tests.fixtures._distant_part",)

    assert sources.list_compute_files(Old())[1].name == "_distant_part.py"
