"""Each option and argument of each verb reaches what the verb calls.

The test walks the Typer app. Everything that the rooms below the command line offer is replaced by stand-ins that
record their calls. A verb is called, and called again with one option more, at a value that is no default. The value
must arrive in a parameter of the option's name, or of its name in `ALIASES`. A flag may lead to another call instead,
and the options of `PRINTED` change what is printed. New verbs and options are tested as they are added.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import importlib
import inspect
import signal
import types
import typing
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.models import ArgumentInfo, OptionInfo

from nwbpipe.cli import _main
from nwbpipe.cli.cmd_export import Format
from nwbpipe.cli.cmd_inspect import Viewer
from nwbpipe.cli.cmd_pose import Method
from nwbpipe.processors import processor, processor_names
from tests.cli.stand_ins import Answer

ROOMS = (
    "catalog",
    "converters",
    "demo",
    "environments",
    "export",
    "machine",
    "project",
    "proposals",
    "provenance",
    "publish",
    "quality",
    "report",
    "review",
    "run",
    "serve",
    "session",
)
MODULES = [f"nwbpipe.{room}" for room in (*ROOMS, "export.ml", "review._compare_figure")]
# Parameters to which an option's value goes under another name; None: one of any name.
ALIASES = {
    "file": "path",
    "inspect file": "location",
    "log file": "location",
    "project": "path",
    "init folder": "path",
    "convert memory": "memory_mb",
    "load parameters": "params",
    "process parameters": "params",
    "process params_file": "params",
    "run show_job_script executor": "kind",
    "run idle": "idle_s",
    "new output": None,
    "query sql": None,
    "query files": None,
    "query parquet": None,
    "report file": None,
    "report output": None,
    "status why": None,
    "watch settle": "settle_s",
    "watch interval": "interval_s",
    "watch write_unit settle": "words",
    "watch write_unit interval": "words",
    "watch write_unit executor": "words",
    "watch write_unit workers": "words",
    "watch write_unit profile": "words",
    "watch write_dockerfile executor": "kind",
    "submit output": "folder",
    "verify session": None,
    "pose new-project output": "folder",
    "pose new-project keypoints": "bodyparts",
    "pose new-project edges": "skeleton",
    "pose new-project individuals": "individuals",
    "pose new-project frames": "n_frames",
    "pose import-labels project": "project",
    "pose export-labels output": "folder",
    "qc thresholds": None,
    "compare words": None,
    "compare figure": None,
    "curate file": None,
    "export words": None,
    "export ml words": None,
    "export ml output": "out",
    "curate labels": None,
    "tools install names": "tool",
    "tools lock name": "tool",
    "tools lock output": "file",
    "tools remove names": "tool",
    "tools doctor names": "tools",
    "tools dockerfile name": "tool",
    "tools dockerfile output": "folder",
    "serve allow_hosts": "allowed_hosts",
    "serve project": None,
    "trust paths": "path",
    "upload project": "project",
    "download project": "project",
}
PRINTED = {
    "as_json", "as_csv", "prov", "show_all", "processors name", "interfaces name", "help topic",
    "init package", "inspect viewer", "new overwrite", "tools requirements name", "watch write_unit",
    "watch write_dockerfile",
}  # fmt: skip
# Values of options that take not every value, and what arrives of them: at first, and as it is changed.
CHOSEN: dict[str, tuple[Any, Any]] = {
    "check abandoned_after": (None, (7.5, [timedelta(hours=7.5)])),
    "export to": ((Format.PARQUET, []), (Format.NETCDF, ["netcdf"])),
    "export words": ((["sort", "out"], []), (["curate", "folder"], ["curate", "folder"])),
    "export ml words": ((["lab.toml", "a.toml"], []), (["new.toml", "other.toml"], ["new.toml", "other.toml"])),
    "export window": (None, ((1.5, 2.5), [1.5, 2.5])),
    "scrub again_after": (None, (7.5, [timedelta(days=7.5)])),
    "compare words": ((["a.nwb", "first"], []), (["b.nwb", "second", "third"], ["b.nwb", "second", "third"])),
    "inspect viewer": ((Viewer.NWBWIDGETS, []), (Viewer.NEUROSIFT, [])),
    "init folder": (None, ("changed", ["changed/nwbpipe.toml"])),
    "tools dockerfile output": (None, ("changed", ["changed"])),
    "pose new-project method": ((Method.KMEANS, []), (Method.UNIFORM, ["uniform"])),
    "pose new-project edges": ((["c,d"], []), (["a,b"], ["a", "b"])),
    "processors name": (None, ("suite2p", ["suite2p"])),
    "interfaces name": (None, ("TrialsInterface", ["TrialsInterface"])),
    "trust paths": ((["a"], []), (["changed", "second"], ["changed", "second"])),
    "watch extras": (None, ("ml,s3", ["ml,s3"])),
    "help topic": (None, (["clocks"], ["clocks"])),
    "status why": ((("m1/s0", "first"), []), (("m2/s1", "second"), ["m2/s1", "second"])),
    "tools install kind": (None, ("conda", ["conda"])),
    **{
        f"tools {verb} name": (("suite2p", []), ("facemap", ["facemap"]))
        for verb in ("lock", "dockerfile", "requirements")
    },
    **{
        f"tools {verb} names": ((["suite2p"], []), (["facemap", "caiman"], ["facemap", "caiman"]))
        for verb in ("install", "remove", "doctor")
    },
}


@dataclasses.dataclass(frozen=True)
class Call:
    """One way to call a verb: the options that it has from the start, and those that do nothing beside them."""

    verb: str
    idle: tuple[str, ...]
    options: dict[str, Any]

    def __str__(self) -> str:
        return " ".join([self.verb, *(name for name, value in self.options.items() if value is not None)])


def call(verb: str, *idle: str, **options: Any) -> Call:
    return Call(verb, idle, options)


OF_A_RUN = ("executor", "workers", "max_failures", "limit", "kinds", "idle")
OF_STATES = ("sessions", "where", "steps", "retry_failed", "as_json")
# Verbs whose options depend on each other; the others are called with their required arguments.
CALLS = [
    call("demo", "executor", "workers", "project", "pose"),
    call("demo", "seed", "executor", "workers", "project", pose=True),
    call("demo", "seed", "pose", project=True),
    call("load", "parameters", file="a.nwb"),
    call("load", "inputs", "replace", "lock_timeout", file="nwbpipe.toml"),
    call("log", "project", "profile", file="a.nwb"),
    call("log", "file"),
    call("verify", "project", "profile", session="a.nwb"),
    call("verify", session="m1/s0"),
    call("inspect", "port", viewer=Viewer.REPORT),
    call("inspect", "no_browser", viewer=Viewer.NWBWIDGETS),  # its opposite arrives: see test_widgets
    call("compare", "project", "profile"),
    call("compare", "truth", "figure", "passed_only", words=["models://a", "models://b"]),
    call("init"),
    call("init", "name", "folder", package="our_lab"),
    call("run"),
    call("run", *OF_A_RUN, dry_run=True),
    call("run", *OF_A_RUN[1:], *OF_STATES, "dry_run", show_job_script=True),
    call("query", "files", "list_tables", sql="SELECT 1"),
    call("query", "project", "profile", "list_tables", sql="SELECT 1", files=["a.nwb"]),
    call("query", "sql", "files", "as_csv", "parquet", list_tables=True),
    call("export", "to", "series", "window"),
    call(
        "export", "to", "words", "recording", "timeout", "threads", "series", "window", words=["out"], to=Format.ZARR
    ),
    call("export", "words", "recording", "timeout", "threads", words=["out"], to=Format.PARQUET),
    call("status"),
    call("status", "sessions", "where", "verify", "show_all", why=("m1/s0", "first")),
    call("submit", "cloud", "image", "output"),
    call("submit", "rounds", "dry_run", "cancel", cloud="aws", image="lab/nwbpipe:1"),
    call("watch", "extras"),
    call("watch", "write_dockerfile", "extras", write_unit="unit"),
    call("watch", "settle", "interval", write_dockerfile="Dockerfile"),
    call("qc", "sessions", "where", "profile", "replace", file="a.nwb"),
    call("qc", "sessions", "where", "profile", file="a.nwb", measure=True, step="first"),
    call("qc", "measure", "replace", file="nwbpipe.toml"),
    call("report", "sessions", "where", "profile", file="a.nwb"),
    call("report", file="nwbpipe.toml"),
    call("tools doctor", names=["suite2p"]),
    call("new"),
    call("new", "as_json", project=True),
    call("trust", "remove"),
    call("trust", "as_json", paths=[Path("lab/nwbpipe.toml")]),
]


class Option(typing.NamedTuple):
    """An option or argument of a verb."""

    verb: str
    name: str
    kind: Any
    info: OptionInfo | ArgumentInfo
    default: Any

    def write(self, value: Any) -> list[str]:
        """Return the words of a command line that give it a value."""
        values = [str(part) for part in value] if isinstance(value, list | tuple) else [str(value)]
        if isinstance(self.info, ArgumentInfo):
            return values
        # Of `Annotated[..., typer.Option("--json")]` Typer takes the first word for the default at first.
        words = (self.info.default, *(self.info.param_decls or ()))
        flags = [word for word in words if isinstance(word, str) and word.startswith("--")]
        flag = flags[0] if flags else "--" + self.name.replace("_", "-")
        if value is True:
            return [flag]
        return [word for part in values for word in (flag, part)] if isinstance(value, list) else [flag, *values]

    def choose(self, changed: bool, folder: Path) -> tuple[Any, list[Any]]:
        """Return a value that is no default, and the parts of it that must arrive."""
        if f"{self.verb} {self.name}" in CHOSEN:
            return CHOSEN[f"{self.verb} {self.name}"][changed]
        kind = self.kind
        if isinstance(kind, types.UnionType):
            (kind,) = {*typing.get_args(kind)} - {types.NoneType}
        word = f"{self.name.replace('_', '-')}-{'changed' if changed else 'first'}"
        if self.name == "params_file":
            (folder / "params.json").write_text('{"depth": 3}')
            return folder / "params.json", [{"depth": 3}]
        if kind == list[str] and "=" in (self.info.metavar or ""):
            return ["k=one", "l=two"], [{"k": "one", "l": "two"}]
        if kind == list[str]:
            return [word, f"{word}-2"], [word, f"{word}-2"]
        if kind is bool:
            return True, [True]
        if kind in (int, float):
            number = kind(len(self.name) + 7.25)
            return number, [number]
        if kind is Path:
            (folder / f"{word}.nwb").touch()
            return folder / f"{word}.nwb", [f"{folder / word}.nwb"]
        assert kind is str, f"{self}: how is such a value chosen?"
        return word, [word]


def list_verbs(group: typer.Typer = _main.app, words: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    for command in group.registered_commands:
        assert command.callback is not None
        yield f"{words}{command.name or command.callback.__name__}", command.callback
    for sub in group.registered_groups:
        assert sub.typer_instance is not None
        yield from list_verbs(sub.typer_instance, f"{words}{sub.name} ")


def list_options(verb: str, callback: Callable[..., Any]) -> dict[str, Option]:
    parameters = inspect.signature(callback, eval_str=True).parameters.values()
    options = [one for one in parameters if one.annotation is not typer.Context]
    return {one.name: Option(verb, one.name, *typing.get_args(one.annotation), one.default) for one in options}


VERBS = {verb: list_options(verb, callback) for verb, callback in list_verbs()}
CALLS += [call(verb) for verb in VERBS if verb not in {one.verb for one in CALLS}]


@pytest.fixture(scope="module")
def calls() -> Iterator[list[Any]]:
    """Put stand-ins below the command line; yield the list of the calls that they get."""
    for name in processor_names():  # they are imported with what they really use
        processor(name)
    calls: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("NWBPIPE_PROFILE", raising=False)
        patch.setattr(signal, "signal", lambda *_: None)
        command = typer.main.get_command(_main.app)  # built once
        patch.setattr(_main, "_select_verb", lambda _: command)
        # All of them first: what one imports from another must not be a stand-in after the test.
        for module in [importlib.import_module(name) for name in MODULES]:
            name = module.__name__
            for offered in getattr(module, "__all__", None) or list(vars(module)):
                original = getattr(module, offered)
                if callable(original) and not (
                    inspect.isclass(original) and issubclass(original, enum.Enum | Exception)
                ):
                    patch.setattr(
                        module, offered, Answer(calls, f"{name.removeprefix('nwbpipe.')}.{offered}", original)
                    )
        yield calls


@pytest.fixture
def observe(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[[str, dict[str, Any]], tuple[list[Any], str]]:
    """Call a verb with stand-ins below it; return the calls that it makes, and what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nwbpipe.cli.cmd_scrub._become_idle", lambda: None)  # it would slow down all further tests

    def observe(verb: str, values: dict[str, Any]) -> tuple[list[Any], str]:
        words = [word for name, value in values.items() for word in VERBS[verb][name].write(value)]
        calls.clear()
        with contextlib.suppress(SystemExit):
            _main.main([*verb.split(), *words])
        printed = capsys.readouterr()
        assert "Usage:" not in printed.err, f"{words}: {printed.err}"
        return list(calls), printed.out

    return observe


def arrives(part: Any, parameter: str | None, calls: list[Any]) -> bool:
    """Return True if a value is in a parameter of this name, or in any if the name is None."""

    def holds(value: Any) -> bool:
        if isinstance(value, tuple):
            return any(map(holds, value))
        if isinstance(value, str):
            return str(part) in value
        return type(value) is type(part) and value == part

    return any(holds(value) for _, values in calls for name, value in values.items() if parameter in (None, name))


@pytest.mark.parametrize(
    ("way", "name"),
    [
        pytest.param(way, name, id=f"{way} --{name}")
        for way in CALLS
        for name in VERBS[way.verb]
        if name not in way.idle and way.options.get(name) is not True
    ],
)
def test_an_option_arrives(observe, way: Call, name: str, tmp_path: Path) -> None:
    options = VERBS[way.verb]
    required = {
        name: option.choose(False, tmp_path)[0]
        for name, option in options.items()
        if option.default is inspect.Parameter.empty
    }
    values = {name: (required | way.options)[name] for name in options if name in required | way.options}
    value, parts = options[name].choose(True, tmp_path)
    calls, printed = observe(way.verb, values)
    changed = {
        other: value if other == name else values[other] for other in options if other in values or other == name
    }
    calls_after, printed_after = observe(way.verb, changed)
    if name in PRINTED or f"{way.verb} {name}" in PRINTED:
        assert (calls_after, printed_after) != (calls, printed)
        return
    parameter = next((ALIASES[key] for key in (f"{way} {name}", f"{way.verb} {name}", name) if key in ALIASES), name)
    if value is True and [called for called, _ in calls] != [called for called, _ in calls_after]:
        return  # the flag leads elsewhere
    for part in parts:
        assert not arrives(part, parameter, calls)
        assert arrives(part, parameter, calls_after), f"{part!r} does not arrive in {parameter!r}: {calls_after}"


@pytest.mark.parametrize("verb", VERBS)
def test_each_option_has_an_effect_in_some_call(verb: str) -> None:
    for name in VERBS[verb]:
        assert any(name not in way.idle for way in CALLS if way.verb == verb), f"{verb}: --{name} is never tried"
