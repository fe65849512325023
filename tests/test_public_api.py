"""Each argument of the public functions reaches the next function, and what decides a run's key does decide it."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import pytest

import nwbpipe
from nwbpipe import errors
from nwbpipe.cli._run_progress import LineReporter
from nwbpipe.processors._base import Loaded, Loader
from nwbpipe.project import Project
from nwbpipe.project.plan._planner import ALL
from nwbpipe.stores import Stores
from tests.converters import raw
from tests.fixtures.processing import Scale, write_session
from tests.fixtures.projects import Inline, make_project


def test_errors_are_public_and_reached_after_import_alone() -> None:
    classes = {
        name for name, value in vars(errors).items() if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert classes <= set(nwbpipe.__all__)
    for name in classes:
        assert getattr(nwbpipe, name) is getattr(errors, name)
    code = "import nwbpipe, sys; assert 'nwbpipe.errors' not in sys.modules; print(nwbpipe.errors.SpecError.code)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "NP101\n"


@dataclasses.dataclass
class Passed:
    """What a function of nwbpipe was called with."""

    function: str
    values: dict[str, Any]

    def holds(self, name: str, value: Any) -> bool:
        if isinstance(value, bool):  # any two are the same: the name tells them apart
            return self.values.get(name) is value
        return any(part is value or (type(part) is type(value) and part == value) for part in self.values.values())


@contextmanager
def record_calls() -> Iterator[list[Passed]]:
    """Record what the functions of nwbpipe are called with while the block runs."""
    calls: list[Passed] = []

    ours: dict[CodeType, str] = {}  # asked for each of millions of calls

    def record(frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        module = ours.get(code)
        if module is None:
            name = frame.f_globals.get("__name__", "")
            module = ours[code] = name if name.startswith("nwbpipe.") else ""
        if module:
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            calls.append(Passed(f"{module}.{code.co_qualname}", {name: frame.f_locals[name] for name in names}))

    threading.setprofile(record)
    sys.setprofile(record)
    try:
        yield calls
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


class Spy:
    """Stands for a function that a caller gives; keeps the arguments that it is called with."""

    def __init__(self, answer: Any = None) -> None:
        self.answer, self.calls, self.arguments = answer, 0, []

    def __call__(self, *positional: Any, **named: Any) -> Any:
        self.calls += 1
        self.arguments += [*positional, *named.values()]
        return self.answer


class Case:
    """A call of a public function, with its arguments at values that are no defaults."""

    def __init__(self, function: Callable[..., Any], **arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def run(self) -> None:
        with contextlib.suppress(errors.NwbpipeError):
            result = self.function(**self.arguments)
            if self.function in (nwbpipe.read, nwbpipe.transaction):
                with result:
                    pass


# Arguments that arrive as something else: the name there, and the value.
TRANSLATED = {
    ("convert", "discard_results"): ("lossless", True),
    ("process", "replace"): ("may_replace", True),
    ("process", "force"): ("renew", True),
    ("load", "replace"): ("may_replace", True),
    ("status", "verify"): ("limit", ALL),
    ("check", "deep"): ("rehash", True),
}
# What no case of these gives a value, and where it is tested instead.
ELSEWHERE = {
    ("Project", "executor"): "tests/project/test_project_dask.py",
    ("Project", "executor_spec"): "tests/project/test_project_dask.py",
    ("Project", "job_scripts"): "tests/cli/test_cli_project.py",
    ("check", "repair"): "tests/cli/test_cli_edit.py",
    ("check", "abandoned_after"): "tests/session/test_check_s3.py",
    ("remove_step", "cascade"): "tests/session/test_edit.py",
    ("remove_step", "force"): "tests/session/test_changed_results.py",
    ("transaction", "unsafe_no_cas"): "tests/files/test_s3_refused.py",
}


def make_cases(folder: Path) -> list[Case]:
    """Return the calls; what an earlier one writes, later ones read."""
    raw.write_trials(folder / "trials.csv")
    spec = raw.write_spec(folder, {"trials": raw.trials()})
    path, project = write_session(folder / "session.nwb", "lever"), make_project(folder / "lab", 1)
    write_session(folder / "loaded.nwb", "lever")
    seconds = (number + 0.25 for number in range(1000, 2000))
    methods = [
        Case(Project, path=folder / "lab", profile="rig"),
        Case(project.sessions, patterns=["m1/*"], where="subject_id = 'm1'"),
        Case(project.status, sessions=["m1/s0"], where="subject_id = 'm1'", verify=True),
        Case(project.state, session="m1/s0", step="first"),
        Case(project.pending, sessions=["m1/*"], where="subject_id = 'm1'", steps=["first"], retry_failed=True),
        Case(project.quality, sessions=["m1/*"], where="subject_id = 'm1'", step="first", thresholds=Spy()),
        Case(project.catalog, progress=Spy()),
        Case(project.query, sql="SELECT 41"),
        Case(project.select, text="series WHERE path = 'none'"),
        Case(project.verify, session="m1/s0", step="first"),
        Case(
            project.run, sessions=["m1/*"], where="subject_id = 'm1'", steps=("first",), executor="dask", workers=7,
            retry_failed=True, max_failures=77, limit=78, kinds=("standard",), idle_s=79.5, reporter=LineReporter(),
            stopped=Spy(False),
        ),
    ]  # fmt: skip
    return [
        Case(
            nwbpipe.convert, spec=spec, output=folder / "made.nwb", overwrite=True, stub=True, compression="none",
            layout="plain", memory_mb=777, progress=False, raw_identity="stat", carry=Spy(),
            stores=Stores({}, base=folder),
        ),
        Case(nwbpipe.convert, spec=spec, output=folder / "made.nwb", overwrite=True, discard_results=True),
        Case(
            nwbpipe.process, path=path, processor=Scale(), step="other", params={"factor": 3.25},
            inputs={"series": "acquisition/lever"}, seed=7919, primary=True, replace=True, cascade=True,
            outdated=Spy(), devices="91", timeout=next(seconds), threads=13, lock_timeout=next(seconds),
            unsafe_no_cas=True, progress=Spy(),
        ),
        Case(nwbpipe.process, path=path, processor="scale", step="other", force=True),
        Case(
            nwbpipe.load, path=folder / "loaded.nwb", processor=Loading(), source=folder / "trials.csv", step="old",
            inputs={"series": "acquisition/lever"}, replace=True, lock_timeout=next(seconds),
        ),
        Case(nwbpipe.propose, folder=folder, spec=folder / "proposed.yaml"),
        Case(nwbpipe.read, path=path),
        Case(nwbpipe.read_records, source=path),
        Case(
            nwbpipe.transaction, path=path, lock_timeout=next(seconds), before=Spy(), check=Spy(),
            committed=Spy(),
        ),
        Case(nwbpipe.update, path=path, change=Spy(), lock_timeout=next(seconds), unsafe_no_cas=True),
        Case(nwbpipe.rename_step, path=path, step="other", new="better", lock_timeout=next(seconds)),
        Case(nwbpipe.remove_step, path=path, step="better", lock_timeout=next(seconds)),
        Case(nwbpipe.repack, path=path, lock_timeout=next(seconds)),
        Case(
            nwbpipe.check, path=path, repair=True, rehash=True, timeout=next(seconds), lock_timeout=next(seconds),
        ),
        Case(nwbpipe.check, path=path, deep=True),
        *methods,
    ]  # fmt: skip


class Loading(Scale):
    """A processor that takes finished output: any file, read by the two functions below."""

    loader = Loader("a file", __name__)


def output_files(source: Path) -> list[Path]:
    return [source]


def load_output(source: Path, results: Any, facts: Any, params: Any) -> Loaded:
    results["scaled"] = np.zeros((100, 3))
    return Loaded({}, params, {"loaded": True})


def list_parameters() -> set[tuple[str, str]]:
    """Return the parameters of the public functions and of a project's methods, by function and name."""
    functions = [getattr(nwbpipe, name) for name in nwbpipe.__all__]
    functions = [function for function in functions if inspect.isfunction(function)]
    functions += [
        method
        for name, method in inspect.getmembers(Project, inspect.isfunction)
        if not name.startswith("_") and ("Project", name) not in ELSEWHERE
    ]
    return {
        (function.__name__, parameter.name)
        for function in functions
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    }


@pytest.mark.usefixtures("test_processors")
def test_each_argument_reaches_another_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut, seen, executor = [], set(), Spy(Inline())
    monkeypatch.setattr(Project, "executor", executor)
    for case in make_cases(tmp_path):
        function = case.function.__name__
        with record_calls() as calls:
            case.run()
        inner = inspect.unwrap(case.function)
        others = [call for call in calls if not call.function.endswith(f".{inner.__qualname__}")]
        for name, value in case.arguments.items():
            seen.add((function, name))
            arriving, expected = TRANSLATED.get((function, name), (name, value))
            if (function, name) in ELSEWHERE or (isinstance(value, Spy) and value.calls):
                continue
            if expected not in executor.arguments and not any(call.holds(arriving, expected) for call in others):
                cut.append(f"{function}({name}={value!r})")
    assert not cut, "\n".join(cut)
    assert list_parameters() <= seen | set(ELSEWHERE)


@pytest.mark.parametrize("change", [{"seed": 7}, {"params": {"factor": 3}}, {"inputs": {"series": "right"}}])
def test_what_decides_a_result_decides_its_key(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write_session(tmp_path / "session.nwb", "left", "right")
    options = {"inputs": {"series": "left"}}
    first = nwbpipe.process(path, Scale(), step="first", **options)
    other = nwbpipe.process(path, Scale(), step="other", **options | change)
    assert other.record.key != first.record.key
    assert nwbpipe.process(path, Scale(), step="first", **options).computed is False
    with pytest.raises(errors.ResultExistsError):
        nwbpipe.process(path, Scale(), step="first", **options | change)
