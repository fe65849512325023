"""Find the environment of a tool: a Python that the user set, an environment of ours, or the current Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nwbpipe.environments import _probe
from nwbpipe.environments._checkout import compute_content_version, find_checkout
from nwbpipe.environments._container import REFUSED, Container
from nwbpipe.environments._engine import build_engine_variables, last_line
from nwbpipe.environments._install import describe_installation
from nwbpipe.environments._installers import find_on_path, venv_python
from nwbpipe.environments._mark import EnvironmentKind, EnvironmentMark, environment_folder, read_mark
from nwbpipe.environments._settings import read_settings, variable_name, weights_folder
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import ToolMissingError
from nwbpipe.machine import select_variables

_IN_CONTAINER = Path("python")
_CURRENT: dict[str, Any] = {}


@dataclass(frozen=True)
class ToolEnvironment:
    """The environment in which a tool runs.

    Attributes
    ----------
    tool : Tool
    kind : EnvironmentKind
    python : Path
        Its Python; in a container, the command there.
    python_version : str
    packages : dict of str to str
        Version of each package, by canonical name.
    cuda : str or None
        Version of CUDA that its torch is built for.
    container : Container or None
        The container of the Python.
    programs : mapping of str to str
        Path of each system program that the tool runs, by the name in its declaration.
    checkout : Path or None
        The checkout from which the tool is used.
    """

    tool: Tool
    kind: EnvironmentKind
    python: Path
    python_version: str
    packages: dict[str, str]
    cuda: str | None = None
    container: Container | None = None
    programs: Mapping[str, str] = field(default_factory=dict)
    checkout: Path | None = None

    @property
    def version(self) -> str:
        """Version of the tool itself."""
        return self.packages[self.tool.name if self.checkout is not None else self.tool.package]

    @property
    def device(self) -> str | None:
        """Device on which the tool can compute, without asking it; None if it never uses a GPU."""
        if self.tool.gpu is None:
            return None
        if self.tool.gpu == "torch" and self.cuda is None:
            return "mps or cpu" if sys.platform == "darwin" else "cpu (its torch is built without CUDA)"
        return f"cuda {self.cuda or ''}".strip() if shutil.which("nvidia-smi") else "cpu (no NVIDIA driver)"

    @property
    def weights(self) -> Path:
        """Folder of the weights that the tool would otherwise download."""
        return weights_folder(self.tool)


def find(tool: Tool) -> ToolEnvironment:
    """Return the environment of a tool.

    The Python that the user set (``NWBPIPE_TOOL_<NAME>_PYTHON``, or :func:`configure`) comes first, then the
    environment made by ``nwbpipe tools install``, then the current Python if it meets the tool's requirements (and
    the tool does not come in a container alone).

    Raises
    ------
    ToolMissingError
        None of them has the tool, or a program, the checkout or a required file of weights is missing; the message
        tells how to get it.
    """
    programs = _find_programs(tool)
    checkout, version = None, ""
    if tool.checkout is not None and not tool.checkout.built:
        checkout, version = find_checkout(tool)
    _refuse_without_weights(tool)
    kind, python, container, facts = _find_python(tool)
    packages = dict(facts["packages"])
    if checkout is not None:
        packages[tool.name] = compute_content_version(checkout, version)
    return ToolEnvironment(
        tool, kind, python, facts["python"], packages, facts.get("cuda"), container, programs, checkout
    )


def read_version(tool: Tool, python: Path) -> str | None:
    """Read the version of a tool from the files of an environment, without running its Python.

    Returns
    -------
    str or None
        None if the files don't tell: it is neither a virtual nor a conda environment, or does not meet the tool's
        requirements.
    """
    prefix = python.parent if os.name == "nt" else python.parent.parent
    folders = [*prefix.glob("lib/python3*/site-packages"), *prefix.glob("Lib/site-packages")]
    is_environment = any((prefix / name).exists() for name in ("pyvenv.cfg", "conda-meta")) or (
        os.name == "nt" and (prefix.parent / "pyvenv.cfg").exists()
    )
    if not is_environment or len(folders) != 1:
        return None
    packages = _probe.list_packages([str(folders[0])])
    return None if tool.unmet(packages) else packages.get(tool.package)


def _find_python(tool: Tool) -> tuple[EnvironmentKind, Path, Container | None, dict[str, Any]]:
    named = read_settings(tool).python
    if named is not None:
        if not named.is_file():
            msg = f"{variable_name(tool, 'python')} is not the path of a file"
            raise ToolMissingError(
                msg, where=str(named), expected="a Python that has the tool", hint="correct or unset it"
            )
        return (
            EnvironmentKind.EXISTING,
            named,
            None,
            _probe_packages(tool, EnvironmentKind.EXISTING, [str(named), "-I", _probe.__file__], named),
        )
    mark = read_mark(tool)
    if mark is not None and mark.kind is EnvironmentKind.CONTAINER:
        container = _load_container(tool, mark)
        words = [str(_IN_CONTAINER), "-I", _probe.__file__]
        name = f"nwbpipe-probe-{uuid.uuid4().hex[:12]}"
        command = container.build_command(words, name=name, readable=[Path(_probe.__file__).parent])
        try:
            facts = _probe_packages(tool, mark.kind, command, Path(container.image))
        finally:
            container.end(name)
        return mark.kind, _IN_CONTAINER, container, facts
    if mark is not None:
        python = venv_python(environment_folder(tool, mark))
        return mark.kind, python, None, _probe_packages(tool, mark.kind, [str(python), "-I", _probe.__file__], python)
    if tool.image:
        msg = f"the tool {tool.name!r} is not installed"
        raise ToolMissingError(msg, expected=f"a container from {tool.image}", hint=describe_installation(tool))
    facts = _describe_current()
    unmet = tool.unmet(facts["packages"])
    if unmet:
        msg = f"the tool {tool.name!r} is not installed"
        raise ToolMissingError(
            msg,
            expected=", ".join(tool.requirements),
            found=f"in the current Python: {'; '.join(unmet)}",
            hint=describe_installation(tool),
        )
    return EnvironmentKind.CURRENT, Path(sys.executable), None, facts


def _describe_current() -> dict[str, Any]:
    """Describe the running Python; read its packages again only if something was installed into its folders."""
    installed = [Path(entry) for entry in sys.path if entry.endswith("-packages") and Path(entry).is_dir()]
    folders = (tuple(sys.path), tuple(entry.stat().st_mtime_ns for entry in installed))
    if _CURRENT.get("folders") != folders:
        _CURRENT.update(folders=folders, facts=_probe.describe())
    facts: dict[str, Any] = _CURRENT["facts"]
    return facts


def _load_container(tool: Tool, mark: EnvironmentMark) -> Container:
    engine = Path(mark.engine or "")
    if not mark.image or not engine.is_file():
        msg = f"the program that runs the container of {tool.name!r} is missing"
        raise ToolMissingError(msg, where=str(engine), hint=f"install it again, or nwbpipe tools install {tool.name}")
    gpu = tool.gpu is not None and shutil.which("nvidia-smi") is not None
    return Container(engine, mark.image, gpu, mark.base or "")


def _probe_packages(tool: Tool, kind: EnvironmentKind, command: list[str], location: Path) -> dict[str, Any]:
    """Return the packages of a Python; refuse it if they don't meet the tool's requirements."""
    try:
        answer = subprocess.run(  # the path is the user's own, or ours; there is no shell
            command,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            stdin=subprocess.DEVNULL,
            env=build_engine_variables() if kind is EnvironmentKind.CONTAINER else select_variables(),
        )
        facts: dict[str, Any] = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, json.JSONDecodeError) as error:
        msg = f"the Python of the tool {tool.name!r} does not run"
        words = last_line(getattr(error, "stderr", "") or "")
        if kind is EnvironmentKind.CONTAINER and getattr(error, "returncode", 0) == REFUSED:
            msg = f"the container engine refuses to run the tool {tool.name!r}"
        raise ToolMissingError(
            msg, where=str(location), found=words or str(error), hint=describe_installation(tool)
        ) from error
    unmet = tool.unmet(facts["packages"])
    if unmet:
        msg = f"the {kind} environment of {tool.name!r} does not meet its requirements"
        raise ToolMissingError(
            msg,
            where=str(location),
            expected=", ".join(tool.requirements),
            found="; ".join(unmet),
            hint=f"correct or unset {variable_name(tool, 'python')}"
            if kind is EnvironmentKind.EXISTING
            else f"nwbpipe tools install {tool.name}",
        )
    return facts


def _find_programs(tool: Tool) -> dict[str, str]:
    """Find the programs that a tool runs (in a container they are installed with it)."""
    mark = read_mark(tool)
    if mark is not None and mark.kind is EnvironmentKind.CONTAINER:
        return {}
    programs = {program.name: find_on_path(program.commands) for program in tool.programs}
    for program in tool.programs:
        if programs[program.name] is None:
            msg = f"the tool {tool.name!r} needs a program that is not installed"
            raise ToolMissingError(
                msg,
                expected=f"{program.name} ({' or '.join(program.commands)} on the PATH)",
                hint="install it"
                + (f" (Debian, Ubuntu: apt-get install {' '.join(tool.system)})" if tool.system else ""),
            )
    return {name: str(path) for name, path in programs.items()}


def _refuse_without_weights(tool: Tool) -> None:
    folder = weights_folder(tool)
    for weights in tool.weights:
        if weights.required and not (folder / weights.file).is_file():
            msg = f"the tool {tool.name!r} needs a file that it can't download: a run has no network"
            raise ToolMissingError(
                msg,
                where=str(folder / weights.file),
                expected=f"{weights.file}, for {weights.needed_for}",
                found="no such file",
                hint=f"download it from {weights.source} to this path (or set another folder: "
                f"{variable_name(tool, 'weights')})",
            )
