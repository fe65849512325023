"""The models of nwbpipe.toml, section by section."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr
from pydantic_core import PydanticCustomError

from nwbpipe.validation import StrictModel

_FIELDS = {"subject_id", "session_id"}
Policy = Literal["exact", "minor", "never"]


def _check_output(value: str) -> str:
    fields = re.findall(r"\{([^{}]*)\}", value)
    if unknown := sorted(set(fields) - _FIELDS):
        raise ValueError(f"expected no fields but subject_id and session_id, not {', '.join(unknown)}")
    if re.search(r"[{}]", re.sub(r"\{\w+\}", "", value)):
        raise ValueError("expected braces around the fields only")
    if not value.endswith(".nwb"):
        raise ValueError("expected a path that ends in .nwb")
    if "session_id" not in fields:
        raise ValueError("expected a path with {session_id}: every session needs a file of its own")
    return _check_address(value)


def _check_address(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*://[^/].*", value):
        raise ValueError("expected an address in a store, such as raw://**/session.yaml")
    if not value.isprintable():
        raise ValueError("expected an address without line breaks or control characters")
    if ".." in value.split("/"):
        raise ValueError("expected a path without ..: it must stay in its store")
    return value


Address = Annotated[str, AfterValidator(_check_address)]


class ProjectSection(StrictModel):
    """[project]."""

    name: str = Field(min_length=1)
    sessions: Address
    output: Annotated[str, AfterValidator(_check_output)] | None = None
    raw_identity: Literal["full", "stat"] = "full"
    tool_versions: Policy = "minor"
    report: bool = False


class ResourcesSection(StrictModel):
    """resources of a step: what is named overrides what the processor declares."""

    cpu: int | None = Field(default=None, ge=0)
    memory_gb: float | None = Field(default=None, ge=0)
    gpu: int | None = Field(default=None, ge=0)
    gpu_memory_gb: float | None = Field(default=None, ge=0)
    disk_gb: float | None = Field(default=None, ge=0)
    kind: Literal["standard", "imaging", "ephys", "video"] | None = None
    time_limit_s: float | None = Field(default=None, gt=0)
    memory_growth: float | None = Field(default=None, ge=1, le=10)


class StepSection(StrictModel):
    """[steps.NAME]."""

    processor: str | None = None
    extends: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    sweep: dict[str, list[Any]] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)
    scope: Literal["session", "project"] | None = None
    seed: int | None = None
    primary: bool = False
    resources: ResourcesSection = ResourcesSection()
    tool_versions: Policy | None = None
    report: bool = False


class ToolSection(StrictModel):
    """[tools.NAME]: an existing Python that has the tool, its checkout, the folder of its weights."""

    python: str | None = None
    checkout: str | None = None
    weights: str | None = None


class Contributor(StrictModel):
    """[[publish.contributors]]: a person, by name as ``Doe, Jane``."""

    name: Annotated[str, Field(pattern=r"^[^,]+, *[^,]+$")]
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    orcid: Annotated[str, Field(pattern=r"^\d{4}-\d{4}-\d{4}-\d{3}[\dX]$")] | None = None
    roles: tuple[Literal["ContactPerson", "Author", "DataCollector", "DataCurator", "ProjectLeader"], ...] = (
        "Author",
    )


class PublishSection(StrictModel):
    """[publish]: where `nwbpipe upload` sends the session files, and how a new dandiset is described."""

    instance: str | None = None
    dandiset: Annotated[str, Field(pattern=r"^[0-9]{6}$")] | None = None
    name: Annotated[str, Field(min_length=1, max_length=150)] | None = None
    description: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    licence: Literal["CC0-1.0", "CC-BY-4.0"] | None = None
    keywords: list[str] = Field(default_factory=list)
    contributors: list[Contributor] = Field(default_factory=list)
    embargo: bool = False


class IgnoreRule(StrictModel):
    """[[ignore]]: sessions, or some of their steps, that are left alone."""

    session: str = "*"
    steps: list[str] = Field(default_factory=lambda: ["*"])
    reason: str = ""


class WorkerKind(StrictModel):
    """[executor.kinds.NAME]: the workers of one kind on a cluster."""

    workers: int = Field(default=1, ge=0)
    cores: int = Field(default=1, ge=1)
    # These three are written into job scripts.
    memory: Annotated[str, Field(pattern=r"^[0-9.]+ *[A-Za-z]*$")] = "4GB"
    gpu: int = Field(default=0, ge=0)
    walltime: Annotated[str, Field(pattern=r"^[0-9A-Za-z:.-]+$")] | None = None
    queue: Annotated[str, Field(pattern=r"^[\w.,:@+-]+$")] | None = None
    options: dict[str, Any] = Field(default_factory=dict)


def _check_kind(value: str) -> str:
    from nwbpipe.project.execute._kinds import executor_kinds, is_executor_kind

    if not is_executor_kind(value):
        kinds = executor_kinds()
        expected = f"{', '.join(map(repr, kinds[:-1]))} or {kinds[-1]!r}"
        raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected})
    return value


class ExecutorSpec(StrictModel):
    """[executor]."""

    kind: Annotated[str, AfterValidator(_check_kind)] = "local"
    workers: int | None = Field(default=None, ge=1)
    memory_gb: float | None = Field(default=None, gt=0)
    gpus: int | None = Field(default=None, ge=0)
    address: str | None = None
    cluster: Annotated[str, Field(pattern=r"^[a-z]+\.[A-Z][A-Za-z0-9]*Cluster$")] | None = None
    retries: int = Field(default=2, ge=0)
    adaptive: bool = False
    kinds: dict[Literal["standard", "imaging", "ephys", "video"], WorkerKind] = Field(default_factory=dict)
    _state_folder: Path | None = PrivateAttr(default=None)

    @property
    def state_folder(self) -> Path:
        """Folder for logs and keys of workers; the nodes of a cluster see it."""
        return self._state_folder or Path.cwd() / ".nwbpipe"

    def in_folder(self, folder: Path) -> Self:
        """Return the same settings for a project with this `state_folder`."""
        copied = self.model_copy()
        copied._state_folder = folder
        return copied
