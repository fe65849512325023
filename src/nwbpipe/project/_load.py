"""Loading nwbpipe.toml: every mistake of the file in one error."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from nwbpipe.errors import FileAccessError, Problem, RequestError, SpecError
from nwbpipe.project._model import STORE, ExecutorSpec, IgnoreRule, ProjectSection, StepSection, ToolSection
from nwbpipe.project._spec import ProjectSpec
from nwbpipe.project._steps import resolve_steps
from nwbpipe.project._toml_lines import find_key_lines, find_line
from nwbpipe.stores import environment_roots, is_remote, split_address
from nwbpipe.stores.s3 import canonical_url, public_url

PROJECT_FILE = "nwbpipe.toml"
MODELS = "models"  # the store of artefacts
_TOP = ("nwbpipe", "project", "stores", "profiles", "steps", "tools", "executor", "ignore")
Model = TypeVar("Model", bound=BaseModel)


class ProblemCollector:
    """Takes the mistakes of one file, each with its line."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines = find_key_lines(text)
        self.problems: list[Problem] = []

    def add(
        self, what: str, *key: str, expected: str | None = None, found: str | None = None, hint: str | None = None
    ) -> None:
        """Add a mistake at a key."""
        line = find_line(self.lines, key)
        place = f"{self.path}, line {line}" if line else str(self.path)
        name = ".".join(key)
        self.problems.append(Problem(what, f"{place}: {name}" if name else place, expected, found, hint))

    def validate_section(self, model: type[Model], value: Any, *key: str) -> Model | None:
        """Validate a section; None where it has mistakes."""
        try:
            return model.model_validate(value)
        except ValidationError as error:
            for fault in error.errors():
                where = (*key, *map(str, fault["loc"]))
                known = list(model.model_fields) if len(fault["loc"]) == 1 else []
                if fault["type"] == "extra_forbidden":
                    self.add_unknown_key(where, known)
                elif fault["type"] == "missing":
                    self.add(
                        f"{where[-1]!r} is missing", *where, hint=f"add `{where[-1]} = …` to [{'.'.join(where[:-1])}]"
                    )
                else:
                    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
                    self.add(
                        f"{where[-1]!r} can't be used", *where, expected=message, found=repr(fault["input"])[:200]
                    )
            return None

    def add_unknown_key(self, key: tuple[str, ...], known: list[str]) -> None:
        """Add an unknown key."""
        near = difflib.get_close_matches(key[-1], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "remove it"
        self.add(
            f"the key {key[-1]!r} is unknown",
            *key,
            expected=f"one of {', '.join(known)}" if known else None,
            hint=hint,
        )


def find_project(path: Path | str | None = None) -> Path:
    """Return the project file: the one that is named, or the nearest ``nwbpipe.toml`` upwards from here.

    Raises
    ------
    RequestError
        If there is none.
    """
    if path is not None:
        file = Path(path)
        file = file / PROJECT_FILE if file.is_dir() else file
        if not file.is_file():
            msg = "there is no project file"
            raise RequestError(msg, where=str(file), hint="`nwbpipe init` writes one")
        return Path(os.path.abspath(file))  # noqa: PTH100 - links stay as they are
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder / PROJECT_FILE
    msg = f"no {PROJECT_FILE} here or above"
    raise RequestError(msg, where=str(here), hint="`nwbpipe init` writes one; or name it: --project FILE")


def load_project(path: Path | str | None = None, *, profile: str | None = None) -> ProjectSpec:
    """Read and check a project file as a whole; nothing is computed.

    Parameters
    ----------
    path : path, optional
        The file or its folder; the nearest one upwards from the current folder by default.
    profile : str, optional
        Whose stores are meant; ``NWBPIPE_PROFILE`` by default.

    Returns
    -------
    ProjectSpec

    Raises
    ------
    SpecError
        If anything is wrong with it; `problems` names every mistake, each with its file, line and key.
    """
    file = find_project(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = "the project file can't be read"
        raise FileAccessError(msg, where=str(file), found=str(error)) from error
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = "the project file is not TOML"
        raise SpecError(msg, where=str(file), found=str(error), hint="correct that line") from error
    mistakes = ProblemCollector(file, text)
    profile = profile if profile is not None else os.environ.get("NWBPIPE_PROFILE", "")
    spec = _check_content(content, mistakes, file, profile)
    if mistakes.problems or spec is None:
        count = len(mistakes.problems)
        msg = f"the project file has {'one mistake' if count == 1 else f'{count} mistakes'}"
        raise SpecError(msg, where=str(file), problems=mistakes.problems)
    return spec


def _check_content(
    content: dict[str, Any], mistakes: ProblemCollector, file: Path, profile: str
) -> ProjectSpec | None:
    for key in content:
        if key not in _TOP:
            mistakes.add_unknown_key((key,), list(_TOP))
    if content.get("nwbpipe") != 1:
        found = repr(content["nwbpipe"]) if "nwbpipe" in content else None
        mistakes.add("the version of the format is not supported", "nwbpipe", expected="nwbpipe = 1", found=found)
    project = mistakes.validate_section(ProjectSection, content.get("project", {}), "project")
    stores = _read_stores(content, mistakes, file.parent, profile)
    tools = {
        name: tool
        for name, value in _read_table(content, "tools", mistakes).items()
        if (tool := mistakes.validate_section(ToolSection, value, "tools", name)) is not None
    }
    executor = mistakes.validate_section(ExecutorSpec, content.get("executor", {}), "executor")
    sections = {
        name: section
        for name, value in _read_table(content, "steps", mistakes).items()
        if (section := mistakes.validate_section(StepSection, value, "steps", name)) is not None
    }
    policy = project.tool_versions if project else "minor"
    steps = resolve_steps(sections, policy, mistakes.add, set(_read_table(content, "steps", mistakes)))
    ignores = content.get("ignore", [])
    ignore = [
        mistakes.validate_section(IgnoreRule, one, "ignore")
        for one in (ignores if isinstance(ignores, list) else [ignores])
    ]
    if any(one.is_project_scope for one in steps.values()):
        stores.setdefault(MODELS, (str(file.parent / MODELS),))
        if is_remote(stores[MODELS][0]):
            mistakes.add(
                "artefacts are kept on this machine only", "stores", MODELS, expected="a folder",
                found=public_url(stores[MODELS][0]), hint="name a folder for it in a profile",
            )  # fmt: skip
    if project is None:
        return None
    for key in ("sessions", "output"):
        address = getattr(project, key)
        store = str(address).partition("://")[0]
        if address is not None and store not in stores:
            mistakes.add(
                f"there is no store {store!r}",
                "project",
                key,
                expected=", ".join(stores) or "[stores]",
                hint=f'declare it: [stores] {store} = "/a/folder"',
            )
    written = project.output or project.sessions
    for root in stores.get(written.partition("://")[0], ())[:1]:
        if is_remote(root) and not canonical_url(root).startswith(("s3:", "file:")):
            mistakes.add(
                "session files there can be read, not changed",
                "project",
                "output" if project.output else "sessions",
                expected="a store on this machine, or in S3",
                found=public_url(root),
            )
    if project.sessions.endswith((".yaml", ".yml")) and project.output is None:
        mistakes.add("'output' is missing", "project", hint='say where the NWB files go: output = "nwb://…"')
    if project.sessions.endswith(".nwb") and project.output is not None:
        mistakes.add("sessions that are NWB files already have no output", "project", "output", hint="remove it")
    if not project.sessions.endswith((".yaml", ".yml", ".nwb")):
        mistakes.add(
            "'sessions' names neither specs nor files",
            "project",
            "sessions",
            expected="a pattern that ends in .yaml or .nwb",
        )
    if executor is None:
        return None
    return ProjectSpec(
        path=file,
        profile=profile,
        name=project.name,
        sessions=project.sessions,
        output=project.output,
        stores={"state": (str(file.parent / ".nwbpipe"),), **stores},
        steps=steps,
        tools=tools,
        ignore=tuple(one for one in ignore if one is not None),
        executor=executor,
        raw_identity=project.raw_identity,
    )


def _read_table(content: dict[str, Any], key: str, mistakes: ProblemCollector) -> dict[str, Any]:
    value = content.get(key, {})
    if isinstance(value, dict):
        return value
    mistakes.add(f"{key!r} is no table", key, expected=f"[{key}]", found=repr(value)[:80])
    return {}


def _read_stores(
    content: dict[str, Any], mistakes: ProblemCollector, folder: Path, profile: str
) -> dict[str, tuple[str, ...]]:
    declared: dict[tuple[str, ...], Any] = {
        ("stores", name): value for name, value in _read_table(content, "stores", mistakes).items()
    }
    profiles = _read_table(content, "profiles", mistakes)
    for name, one in profiles.items():
        if not isinstance(one, dict) or set(one) - {"stores"} or not isinstance(one.get("stores", {}), dict):
            mistakes.add(
                f"the profile {name!r} holds something else than stores",
                "profiles",
                name,
                expected=f"[profiles.{name}.stores]",
            )
    if profile and profile not in profiles and profiles:
        mistakes.add(
            f"there is no profile {profile!r}",
            "profiles",
            expected=", ".join(profiles),
            hint="name one with --profile or NWBPIPE_PROFILE",
        )
    chosen = profiles.get(profile, {})
    if profile and isinstance(chosen, dict) and isinstance(chosen.get("stores", {}), dict):
        declared |= {("profiles", profile, "stores", name): value for name, value in chosen.get("stores", {}).items()}
    stores: dict[str, tuple[str, ...]] = {}
    for key, value in declared.items():
        name = key[-1]
        roots = value if isinstance(value, list) else [value]
        if not STORE.fullmatch(name) or split_address(f"{name}://") is None:
            mistakes.add(
                f"{name!r} is no name for a store",
                *key,
                expected="a small letter, then small letters, digits and _; no kind of address, such as s3",
            )
        elif not roots or not all(isinstance(root, str) and root for root in roots):
            mistakes.add(
                f"the root of the store {name!r} is no text",
                *key,
                expected="a folder or an address, or a list of them",
                found=repr(value)[:80],
            )
        else:
            stores[name] = tuple(roots)
    stores |= {name: (root,) for name, root in environment_roots(stores).items()}
    return {
        name: tuple(root if is_remote(root) else os.path.normpath(folder / Path(root).expanduser()) for root in roots)
        for name, roots in stores.items()
    }
