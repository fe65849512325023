"""The checked form of a project: everything resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from nwbpipe.errors import FileAccessError, InputError
from nwbpipe.processors import Folder, Processor, ProjectProcessor, Resources
from nwbpipe.project._model import ExecutorSpec, IgnoreRule, Policy, PublishSection, ToolSection
from nwbpipe.stores import Stores, is_remote


@dataclass(frozen=True)
class Step:
    """One step: a processor with parameters and bound inputs.

    Attributes
    ----------
    name : str
        Name of the step, that its results carry.
    method : Processor
        The processor.
    params : pydantic model
        Its parameters, validated.
    inputs : mapping of str to str
        The binding of each input; an input that is not named has one candidate in the file.
    upstream : tuple of str
        Names of the steps that the inputs are bound to.
    seed : int
        Seed of the tool's random numbers.
    primary : bool
        True if its results are the session's main ones.
    resources : Resources
        Resources of a run.
    policy : {"exact", "minor", "never"}
        Judges which other versions of the tool make a result stale.
    report : bool
        True if `nwbpipe run` draws the report of a session after a run of it.
    """

    name: str
    method: Processor
    params: Any
    inputs: Mapping[str, str] = field(default_factory=dict)
    upstream: tuple[str, ...] = ()
    seed: int = 0
    primary: bool = False
    resources: Resources = field(default_factory=Resources)
    policy: Policy = "minor"
    report: bool = False

    @property
    def is_project_scope(self) -> bool:
        """True if it is of project scope: it reads many sessions, and makes an artefact."""
        return isinstance(self.method, ProjectProcessor)

    @property
    def folders(self) -> dict[str, str]:
        """Address of each input that is a folder; the others are in session files."""
        return {
            name: self.inputs[name]
            for name, declared in self.method.inputs.items()
            if isinstance(declared, Folder) and name in self.inputs
        }

    @property
    def reads_sessions(self) -> bool:
        """False if all inputs are folders, or optional ones of sessions that are not bound."""
        inputs = {name: item for name, item in self.method.inputs.items() if not isinstance(item, Folder)}
        return any(name in self.inputs or not declared.optional for name, declared in inputs.items())


@dataclass(frozen=True)
class ProjectSpec:
    """A whole nwbpipe.toml, checked. Made by `load_project`.

    Attributes
    ----------
    path : Path
        The file.
    profile : str
        Name of the profile; "" for the default one.
    name : str
        Name of the project.
    sessions : str
        Addresses of the sessions, with patterns: ``raw://**/session.yaml`` or ``nwb://**/*.nwb``.
    output : str or None
        Address of a session's NWB file, with fields; None where sessions are NWB files.
    stores : mapping of str to tuple of str
        Roots of each store: absolute folders, or addresses. What is written goes to the first one.
    steps : mapping of str to Step
        In an order in which each comes after those that it needs.
    tools : mapping of str to ToolSection
        Tools that are installed elsewhere.
    report : bool
        True if `nwbpipe run` keeps the reports of the whole project up to date.
    """

    path: Path
    profile: str
    name: str
    sessions: str
    output: str | None
    stores: Mapping[str, tuple[str, ...]]
    steps: Mapping[str, Step]
    tools: Mapping[str, ToolSection]
    ignore: tuple[IgnoreRule, ...] = ()
    executor: ExecutorSpec = field(default_factory=ExecutorSpec)
    raw_identity: Literal["full", "stat"] = "full"
    publish: PublishSection = field(default_factory=PublishSection)
    report: bool = False

    @property
    def folder(self) -> Path:
        """Folder of the project file, which relative roots are relative to."""
        return self.path.parent

    @property
    def local_folders(self) -> list[Path]:
        """The project's folder, and the roots of the stores that are on this machine, without links."""
        roots = [Path(root) for roots in self.stores.values() for root in roots if not is_remote(root)]
        return [folder.resolve() for folder in (self.folder, *roots)]

    @cached_property
    def open_stores(self) -> Stores:
        """The stores: what ``raw://…`` means in the sessions' specs."""
        return Stores(self.stores, base=self.folder)

    def locate(self, address: str) -> Path | str:
        """Return the path or URL of an address such as ``nwb://sub-1/a.nwb``, in the first root of its store."""
        name, _, subpath = address.partition("://")
        store = self.open_stores[name]
        return store.location(subpath) if is_remote(store.root) else Path(store.root) / subpath

    def locate_folder(self, binding: str) -> Path:
        """Return the folder that a step's input is bound to: by an address, or a path relative to the project file.

        Raises
        ------
        InputError
            If there is no such folder on this machine.
        """
        try:
            path = self.open_stores.locate(binding) if "://" in binding else self.folder / binding
        except FileAccessError:
            path = binding
        if is_remote(path) or not Path(path).is_dir():
            msg = "the folder that an input is bound to does not exist on this machine"
            hint = "give its address in a store, such as dlc://openfield, or its path"
            raise InputError(msg, where=binding, expected="a folder", found=str(path), hint=hint)
        return Path(path)
