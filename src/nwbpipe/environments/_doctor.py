"""Look a tool's environment over: is it there, whole, importable, and what can it compute on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from nwbpipe.environments import _worker
from nwbpipe.environments._conda import ENGINES as CONDA_ENGINES
from nwbpipe.environments._container import ENGINES as CONTAINER_ENGINES
from nwbpipe.environments._find import ToolEnvironment, find
from nwbpipe.environments._installers import on_path, uv
from nwbpipe.environments._mark import is_ours, read_mark
from nwbpipe.environments._run import limits
from nwbpipe.environments._settings import tool_folder, tools_folder
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import ToolMissingError

_IMPORT_LIMIT = 600.0  # seconds; a cold import of tensorflow from a network disk takes minutes


class Verdict(StrEnum):
    """How a finding is to be taken."""

    FINE = "ok"
    NOTE = "note"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    about : str
        The tool, or "machine".
    verdict : Verdict
    text : str
        What was found, and for a fault what to do.
    """

    about: str
    verdict: Verdict
    text: str


def examine_machine() -> list[Finding]:
    """Look at what makes environments: uv, conda, containers, and the folder that they go to."""
    found = []
    program = uv()
    found.append(
        Finding("machine", Verdict.FINE, f"uv: {' '.join(program)}")
        if program
        else Finding("machine", Verdict.NOTE, "no uv: environments are made by pip, which is slower")
    )
    for what, engines in (("conda", CONDA_ENGINES), ("containers", CONTAINER_ENGINES)):
        engine = on_path(engines)
        text = f"{what}: {engine}" if engine else f"no {what} ({', '.join(engines)}): kinds of environment less"
        found.append(Finding("machine", Verdict.FINE if engine else Verdict.NOTE, text))
    folder = tools_folder()
    above = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(above).free
    writable = os.access(above, os.W_OK)
    found.append(
        Finding(
            "machine",
            Verdict.FINE if writable else Verdict.FAULT,
            f"tools: {folder}, {free / 1e9:.0f} GB free"
            if writable
            else f"tools: {folder} can't be written to: name another one with NWBPIPE_TOOLS",
        )
    )
    return found


def examine(tools: Iterable[Tool]) -> list[Finding]:
    """Look at each tool that is there, or is named; importing each takes seconds."""
    return [finding for tool in tools for finding in _examine(tool)]


def _examine(tool: Tool) -> list[Finding]:
    folder = tool_folder(tool)
    if folder.is_dir() and read_mark(tool) is None:
        text = (
            f"its installation was interrupted: nwbpipe tools install {tool.name}"
            if is_ours(folder)
            else f"{folder} was not made by nwbpipe: move it elsewhere, or name another folder with NWBPIPE_TOOLS"
        )
        return [Finding(tool.name, Verdict.FAULT, text)]
    try:
        environment = find(tool)
    except ToolMissingError as error:
        problem = error.problem
        parts = [problem.what, problem.found, problem.hint]
        there = read_mark(tool) is not None
        text = ". ".join(part for part in parts if part)
        return [Finding(tool.name, Verdict.FAULT if there else Verdict.NOTE, text)]
    text = f"{environment.version} on Python {environment.python_version}, {environment.kind}"
    findings = [Finding(tool.name, Verdict.FINE, text), _imported(environment)]
    for one in tool.weights:
        file = environment.weights / one.file
        if file.is_file():
            findings.append(Finding(tool.name, Verdict.FINE, f"weights: {file}"))
        else:
            findings.append(
                Finding(
                    tool.name,
                    Verdict.NOTE,
                    f"no {one.file}, for {one.needed_for}: take it from {one.source}, put it in {file.parent}",
                )
            )
    return findings


def _imported(environment: ToolEnvironment) -> Finding:
    """Import the tool as a run would: in its Python, with no network of ours, and a home of its own."""
    tool = environment.tool
    module = tool.module or (tool.package.replace("-", "_") if environment.checkout is None else "h5py")
    words = [str(environment.python), _worker.__file__, "--check", module, tool.gpu or "-"]
    with tempfile.TemporaryDirectory(prefix="nwbpipe-") as folder:
        variables = {**limits(os.cpu_count() or 1), "HOME": folder}
        name = f"nwbpipe-check-{os.getpid()}"
        container = environment.container
        if container is not None:
            here = [Path(_worker.__file__).parent]
            words = container.command(
                words, name=name, readable=here, writable=[Path(folder)], variables=variables, folder=Path(folder)
            )
        try:
            done = subprocess.run(
                words,
                capture_output=True,
                text=True,
                timeout=_IMPORT_LIMIT,
                cwd=folder,
                env={**os.environ, **variables},
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return Finding(tool.name, Verdict.FAULT, f"importing {module}: {error}")
        finally:
            if container is not None:
                container.end(name)
    answers = [line.removeprefix("@check ") for line in done.stdout.splitlines() if line.startswith("@check ")]
    if done.returncode or not answers:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        return Finding(tool.name, Verdict.FAULT, f"importing {module} failed: {last}")
    answer = json.loads(answers[-1])
    device = f", computes on {answer['device']}" if "device" in answer else ""
    return Finding(tool.name, Verdict.FINE, f"{module} is imported in {answer['seconds']} s{device}")
