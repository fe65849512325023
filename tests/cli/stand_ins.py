"""Stand-ins for the rooms below the command line: they record their calls."""

from __future__ import annotations

import enum
import inspect
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from nwbpipe.environments import Tool

PROPOSAL = SimpleNamespace(
    sources=(SimpleNamespace(name="scope", interface="TiffImagingInterface", notes=()),),
    unrecognized=(),
    unreadable=(),
    marks=3,
    as_dict=dict,
    write=lambda overwrite: Path(f"written-{overwrite}"),
)
# What some of the stand-ins give back; the others give back an `Answer`.
RETURNS = {
    "catalog.Catalog.of_files.query": pa.table({"n": [1]}),
    "project.Project.catalog.query": pa.table({"n": [1]}),
    "converters.convert_session": (Path("out.nwb"), SimpleNamespace(lines=lambda notes: ["a line"], as_dict=dict)),
    "converters.preview_conversion": SimpleNamespace(lines=lambda notes: ["a line"], as_dict=dict),
    "proposals.propose": PROPOSAL,
    "proposals.propose_project": SimpleNamespace(
        sessions=(), as_dict=dict, write=lambda overwrite: Path(f"written-{overwrite}")
    ),
    "serve.make_report.as_uri": "file:///report.html",
    "publish.check_readiness": SimpleNamespace(is_ready=True, assets=(), notes=(), problems=(), as_dict=dict),
    "publish.download": SimpleNamespace(
        is_complete=True,
        files=(),
        notes=(),
        problems=(),
        as_dict=dict,
        dandiset=SimpleNamespace(identifier="000123", version="draft"),
    ),
    "publish.upload": SimpleNamespace(in_order=True, receipt=None, plan=SimpleNamespace(refused=()), as_dict=dict),
    "session.repack": (1, 2),
    "session.SessionFile.at.read": ((), ()),
    "environments.render_dockerfile": "FROM",
    "project.render_systemd_unit": "[Unit]",
    "project.render_watch_dockerfile": "FROM",
    "project.Project.quality": ([], []),
    "project.Project.status": SimpleNamespace(
        plans=[SimpleNamespace(session="m1/s0", steps=(), select_step=lambda _: [SimpleNamespace(state="done")])]
        * 50,
        problems=(),
        counts=lambda: {"first": {"done": 50}},
        as_dict=dict,
    ),
}


class Answer(dict[str, Any]):
    """Stands for anything: what is called of it is recorded, and gives another one."""

    def __init__(self, calls: list[Any], name: str, original: Any = None) -> None:
        super().__init__()
        self.calls, self.name, self.original = calls, name, original

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Answer(self.calls, f"{self.name}.{name}", getattr(self.original, name, None))

    def __call__(self, *positional: Any, **named: Any) -> Any:
        values = {str(number): value for number, value in enumerate(positional)} | named
        if self.original is not None:
            # A method's first parameter is the object.
            signature = inspect.signature(self.original)
            first = (self,) if "self" in signature.parameters else ()
            bound = signature.bind(*first, *positional, **named)
            values = {
                name: value for name, value in bound.arguments.items() if name not in bound.kwargs
            } | bound.kwargs
        self.calls.append((self.name, {name: simplify(value) for name, value in values.items()}))
        is_class = inspect.isclass(self.original)
        return RETURNS.get(self.name, Answer(self.calls, self.name, self.original if is_class else None))

    def __getitem__(self, _: Any) -> Any:
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __bool__(self) -> bool:
        return True

    def __format__(self, _: str) -> str:
        return "answer"

    __add__ = __sub__ = __truediv__ = lambda self, _: self


def simplify(value: Any) -> Any:
    """Return a value that can be compared: of an object, the name of its type."""
    if isinstance(value, dict) and not isinstance(value, Answer):
        return {name: simplify(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return tuple(simplify(part) for part in value)
    if isinstance(value, Path | enum.StrEnum):
        return str(value)
    if isinstance(value, Tool):
        return value.name
    return value if isinstance(value, bool | int | float | str | timedelta) else type(value).__name__
