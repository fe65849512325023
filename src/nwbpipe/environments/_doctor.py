"""Check a tool's environment: is it installed, complete and importable, and on what device does it compute."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path

from nwbpipe.environments import _worker
from nwbpipe.environments._conda import ENGINES as CONDA_ENGINES
from nwbpipe.environments._engine import ENGINES as CONTAINER_ENGINES
from nwbpipe.environments._engine import build_engine_variables, find_engine
from nwbpipe.environments._find import ToolEnvironment, find
from nwbpipe.environments._installers import find_on_path, find_uv
from nwbpipe.environments._mark import is_ours, read_mark
from nwbpipe.environments._run import build_tool_variables
from nwbpipe.environments._settings import tool_folder, tools_folder
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import ToolMissingError
from nwbpipe.machine import Finding, Severity, select_variables

_IMPORT_LIMIT = 600.0  # seconds; a cold import of tensorflow from a network disk takes minutes


def examine_machine() -> list[Finding]:
    """Check the programs that create environments (uv, conda, containers), and the folder of the environments."""
    findings = []
    program = find_uv()
    findings.append(
        Finding("machine", Severity.FINE, f"uv: {' '.join(program)}")
        if program
        else Finding("machine", Severity.NOTE, "no uv: pip creates the environments, which is slower")
    )
    for kind, engines in (("conda", CONDA_ENGINES), ("containers", CONTAINER_ENGINES)):
        engine, problem = find_on_path(engines), ""
        if kind == "containers":
            try:
                engine = find_engine()
            except ToolMissingError as error:
                engine, problem = None, error.problem.found or ""
        text = (
            f"{kind}: {engine}"
            if engine
            else f"no {kind} ({problem or ', '.join(engines)}): environments of that kind are not available"
        )
        findings.append(Finding("machine", Severity.FINE if engine else Severity.NOTE, text))
    folder = tools_folder()
    above = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(above).free
    writable = os.access(above, os.W_OK)
    findings.append(
        Finding(
            "machine",
            Severity.FINE if writable else Severity.FAULT,
            f"tools: {folder}, {free / 1e9:.0f} GB free"
            if writable
            else f"tools: you may not write to {folder}: set another folder with NWBPIPE_TOOLS",
        )
    )
    return findings


def examine(tools: Iterable[Tool], *, imports: bool = True) -> list[Finding]:
    """Check each tool that is installed or given; with `imports`, import it as a run would, which takes seconds."""
    return [finding for tool in tools for finding in _examine(tool, imports)]


def _examine(tool: Tool, imports: bool) -> list[Finding]:
    folder = tool_folder(tool)
    if folder.is_dir() and read_mark(tool) is None:
        text = (
            f"its installation was interrupted: nwbpipe tools install {tool.name}"
            if is_ours(folder)
            else f"{folder} was not made by nwbpipe: move it elsewhere, or set another folder with NWBPIPE_TOOLS"
        )
        return [Finding(tool.name, Severity.FAULT, text)]
    try:
        environment = find(tool)
    except ToolMissingError as error:
        problem = error.problem
        parts = [problem.what, problem.found, problem.hint]
        is_installed = read_mark(tool) is not None
        text = ". ".join(part for part in parts if part)
        return [Finding(tool.name, Severity.FAULT if is_installed else Severity.NOTE, text)]
    text = f"{environment.version} on Python {environment.python_version}, {environment.kind}"
    findings = [Finding(tool.name, Severity.FINE, text)]
    if imports:
        findings.append(_check_import(environment))
    for weights in tool.weights:
        file = environment.weights / weights.file
        if file.is_file():
            findings.append(Finding(tool.name, Severity.FINE, f"weights: {file}"))
        else:
            findings.append(
                Finding(
                    tool.name,
                    Severity.NOTE,
                    f"no {weights.file}, for {weights.needed_for}: download {weights.source} to {file.parent}",
                )
            )
    return findings


def _check_import(environment: ToolEnvironment) -> Finding:
    """Import the tool as a run would: in its Python, without downloads, and with a temporary home folder."""
    tool = environment.tool
    module = tool.module or (tool.package.replace("-", "_") if environment.checkout is None else "h5py")
    words = [str(environment.python), _worker.__file__, "--check", module, tool.gpu or "-"]
    with tempfile.TemporaryDirectory(prefix="nwbpipe-") as folder:
        variables = {**build_tool_variables(os.cpu_count() or 1), "HOME": folder}
        name = f"nwbpipe-check-{uuid.uuid4().hex[:12]}"
        container = environment.container
        if container is not None:
            worker_folder = [Path(_worker.__file__).parent]
            words = container.build_command(
                words,
                name=name,
                readable=worker_folder,
                writable=[Path(folder)],
                variables=variables,
                folder=Path(folder),
                gpu=True,
            )
        try:
            process = subprocess.run(
                words,
                capture_output=True,
                text=True,
                timeout=_IMPORT_LIMIT,
                cwd=folder,
                # The engine keeps the user's own home: it looks there for its images.
                env=build_engine_variables() if container is not None else {**select_variables(), **variables},
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return Finding(tool.name, Severity.FAULT, f"importing {module}: {error}")
        finally:
            if container is not None:
                container.end(name)
    answers = [line.removeprefix("@check ") for line in process.stdout.splitlines() if line.startswith("@check ")]
    if process.returncode or not answers:
        last = (process.stderr.strip().splitlines() or ["no output"])[-1]
        return Finding(tool.name, Severity.FAULT, f"importing {module} failed: {last}")
    answer = json.loads(answers[-1])
    device = f", computes on {answer['device']}" if "device" in answer else ""
    return Finding(tool.name, Severity.FINE, f"{module} is imported in {answer['seconds']} s{device}")
