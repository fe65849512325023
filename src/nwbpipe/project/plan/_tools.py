"""Collect the tools of a project's steps; explain if another version makes a result stale."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from nwbpipe import environments
from nwbpipe.environments import Tool, ToolSettings
from nwbpipe.errors import NwbpipeError
from nwbpipe.processors import computes_same, hash_compute_code
from nwbpipe.project._model import Policy
from nwbpipe.project._spec import ProjectSpec, Step
from nwbpipe.project.state import Index
from nwbpipe.project.state._index import read_local_stats
from nwbpipe.provenance import RunRecord


@dataclass(frozen=True)
class ToolFacts:
    """The tool and the source that would compute a step now.

    Attributes
    ----------
    source : str
        Digest of the compute module.
    version : str
        Version of the tool.
    missing : str
        The reason if the tool can't run; else "".
    image : str
        Id of the container image that it would run in, if it would run in one.
    """

    source: str
    version: str
    missing: str = ""
    image: str = ""


def read_tool_settings(project: ProjectSpec) -> dict[str, ToolSettings]:
    """Return the settings of tools of nwbpipe.toml, by the tool's name; each worker reads them too."""
    return {
        name: ToolSettings(
            **{
                key: project.folder / Path(text).expanduser()
                for key, text in tool.model_dump(exclude_none=True).items()
            }
        )
        for name, tool in project.tools.items()
    }


def collect_facts(steps: Iterable[Step], index: Index, *, may_run: bool) -> dict[str, ToolFacts]:
    """Return the facts of each step by its name; versions are cached in the index, as asking a Python is slow.

    Without `may_run`, no Python that nwbpipe.toml names is started: its version is read from its files, or unknown.
    """
    indexed = {name: value for name, (_, value) in index.load("tool").items()}
    fresh = []
    facts: dict[str, ToolFacts] = {}
    versions: dict[str, tuple[str, str, str]] = {}
    for step in steps:
        tool = step.method.tool_for(step.params)
        name = f"{tool.name} {' '.join(tool.requirements)} {environments.read_settings(tool)} {sys.prefix}"
        if name in versions:
            pass
        elif name in indexed:
            versions[name] = (indexed[name][0], indexed[name][1], "")
        elif not may_run and (python := environments.configured_python(tool)) is not None:
            versions[name] = (environments.read_version(tool, python) or "", "", "")
        else:
            versions[name], folders = _find_version(tool)
            if folders and not versions[name][1]:
                fresh.append((name, "", read_local_stats(folders), list(versions[name][:2])))
        facts[step.name] = ToolFacts(hash_compute_code(step.method), *versions[name])
    index.store("tool", fresh)
    return facts


def _find_version(tool: Tool) -> tuple[tuple[str, str, str], list[Path]]:
    """Return a tool's version, or the reason why it can't run, and its image; and the folders that it depends on."""
    try:
        environment = environments.find(tool)
    except NwbpipeError as error:
        return ("", f"{error.problem.what}; {error.problem.hint or ''}".strip("; "), ""), []
    if environment.container is not None or environment.checkout is not None:
        image = environment.container.image if environment.container is not None else ""
        return (environment.version, "", image), []  # no folder changes with their version
    prefix = environment.python.parent.parent
    folders = [*prefix.glob("lib/python*/site-packages"), *prefix.glob("Lib/site-packages")]
    if environment.kind is environments.EnvironmentKind.CURRENT:
        folders += [Path(entry) for entry in sys.path if entry.endswith("-packages") and Path(entry).is_dir()]
    return (environment.version, "", ""), folders


def explain_staleness(record: RunRecord, facts: ToolFacts, policy: Policy) -> str:
    """Return the reason if another tool or source makes a result stale; else ""."""
    if policy == "never":
        return ""
    if record.compute_digest and not computes_same(record.processor, record.compute_digest, facts.source):
        return "code changed"
    length = None if policy == "exact" else 2
    if facts.version and record.tool_version.split(".")[:length] != facts.version.split(".")[:length]:
        return f"{record.tool} {record.tool_version} → {facts.version}"
    container = record.resources.get("container")
    image = container.get("image") if isinstance(container, Mapping) else None
    if policy == "exact" and isinstance(image, str) and facts.image and image != facts.image:
        return f"{record.tool}: image {_shorten(image)} → {_shorten(facts.image)}"
    return ""


def _shorten(image: str) -> str:
    return image.removeprefix("sha256:")[:12]


def format_facts(facts: dict[str, ToolFacts]) -> str:
    """Return all facts as one text, for the context of index entries."""
    return repr(sorted((name, *asdict(tool).values()) for name, tool in facts.items()))
