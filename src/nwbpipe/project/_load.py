"""Load nwbpipe.toml: every mistake of the file in one error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nwbpipe.converters.spec import PROJECT_FILE, find_project_file, read_project_file, resolve_roots
from nwbpipe.errors import RequestError, UntrustedError
from nwbpipe.machine import explain_foreign, is_trusted
from nwbpipe.project._model import (
    ExecutorSpec,
    IgnoreRule,
    Policy,
    ProjectSection,
    PublishSection,
    StepSection,
    ToolSection,
)
from nwbpipe.project._spec import ProjectSpec
from nwbpipe.project._steps import resolve_steps
from nwbpipe.stores import is_remote
from nwbpipe.stores.s3 import canonical_url, public_url
from nwbpipe.validation import FormatVersion, TomlDocument

MODELS = "models"  # the store of artefacts
_SPECS = (".yaml", ".yml")
_SECTIONS = ("nwbpipe", "project", "stores", "profiles", "steps", "tools", "executor", "ignore", "publish")


def find_project(path: Path | str | None = None) -> Path:
    """Return the project file: the one that is named, or the nearest ``nwbpipe.toml`` upwards from here.

    Raises
    ------
    RequestError
        If there is none.
    UntrustedError
        If another user may have written the nearest one, and it is not trusted.
    """
    if path is not None:
        file = Path(path)
        file = file / PROJECT_FILE if file.is_dir() else file
        if not file.is_file():
            msg = "there is no project file"
            raise RequestError(msg, where=str(file), hint="`nwbpipe init` writes one")
        return Path(os.path.abspath(file))  # noqa: PTH100 - links stay as they are
    nearest = find_project_file(Path.cwd(), foreign=True)
    if nearest is not None:
        reason = explain_foreign(nearest)
        if reason and not is_trusted(nearest):
            msg = "another user may have written the nearest project file"
            hint = f"if it is the right one: nwbpipe trust {nearest}; or name yours: --project FILE"
            raise UntrustedError(msg, where=str(nearest), found=reason, hint=hint)
        return nearest
    msg = f"no {PROJECT_FILE} here or above"
    raise RequestError(msg, where=str(Path.cwd()), hint="`nwbpipe init` writes one; or name it: --project FILE")


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
    return _check_document(read_project_file(find_project(path)), profile)


def parse_project(path: Path, text: str, *, profile: str | None = None) -> ProjectSpec:
    """Check a text that a project file may have; errors and arguments are those of `load_project`."""
    return _check_document(TomlDocument.parse(path, text, "the project file"), profile)


def _check_document(document: TomlDocument, profile: str | None) -> ProjectSpec:
    spec = _check_content(document, profile)
    document.raise_problems("the project file", str(document.path))
    assert spec is not None
    return spec


def _check_content(document: TomlDocument, profile: str | None) -> ProjectSpec | None:
    """Check the sections one by one, so that a mistake in one hides none in another."""
    content, folder = document.content, document.path.parent
    for key in content:
        if key not in _SECTIONS:
            document.add_unknown((key,), _SECTIONS)
    document.validate(FormatVersion, content.get("nwbpipe"), "nwbpipe")
    project = document.validate(ProjectSection, content.get("project", {}), "project")
    profile, stores = resolve_roots(document, profile)
    tools = document.validate(dict[str, ToolSection], content.get("tools", {}), "tools")
    executor = document.validate(ExecutorSpec, content.get("executor", {}), "executor")
    ignore = document.validate(tuple[IgnoreRule, ...], content.get("ignore", []), "ignore")
    publish = document.validate(PublishSection, content.get("publish", {}), "publish")
    declared = document.validate(dict[str, Any], content.get("steps", {}), "steps") or {}
    sections = {name: document.validate(StepSection, value, "steps", name) for name, value in declared.items()}
    valid = {name: section for name, section in sections.items() if section is not None}
    policy: Policy = project.tool_versions if project is not None else "minor"
    steps = resolve_steps(valid, policy, document.add, set(declared))
    if any(step.is_project_scope for step in steps.values()):
        stores.setdefault(MODELS, (str(folder / MODELS),))
        if is_remote(root := stores[MODELS][0]):
            document.add(
                "artefacts are kept on this machine only", "stores", MODELS, expected="a folder",
                found=public_url(root), hint="name a folder for it in a profile",
            )  # fmt: skip
    if project is not None:
        _check_addresses(document, project, stores)
    if document.problems:
        return None
    return ProjectSpec(
        path=document.path,
        profile=profile,
        name=project.name,
        sessions=project.sessions,
        output=project.output,
        stores={"state": (str(folder / ".nwbpipe"),), **stores},
        steps=steps,
        tools=tools,
        ignore=ignore,
        executor=executor,
        raw_identity=project.raw_identity,
        report=project.report,
        publish=publish,
    )


def _check_addresses(document: TomlDocument, project: ProjectSection, stores: dict[str, tuple[str, ...]]) -> None:
    """Check that the sessions and their files are where a project can read and write them."""
    for key in ("sessions", "output"):
        address = getattr(project, key)
        store = str(address).partition("://")[0]
        if address is not None and store not in stores:
            document.add(
                f"there is no store {store!r}", "project", key, expected=", ".join(stores) or "[stores]",
                hint=f'declare it: [stores] {store} = "/a/folder"',
            )  # fmt: skip
    files = project.output or project.sessions
    for root in stores.get(files.partition("://")[0], ())[:1]:
        if is_remote(root) and not canonical_url(root).startswith(("s3:", "file:")):
            document.add(
                "session files there can be read, not changed", "project", "output" if project.output else "sessions",
                expected="a store on this machine, or in S3", found=public_url(root),
            )  # fmt: skip
    if project.sessions.endswith(_SPECS) and project.output is None:
        document.add("the key 'output' is missing", "project", hint='say where the NWB files go: output = "nwb://…"')
    if project.sessions.endswith(".nwb") and project.output is not None:
        document.add("sessions that are NWB files already have no output", "project", "output", hint="remove it")
    if not project.sessions.endswith((*_SPECS, ".nwb")):
        document.add(
            "'sessions' names neither specs nor files", "project", "sessions",
            expected="a pattern that ends in .yaml or .nwb",
        )  # fmt: skip
