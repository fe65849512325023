"""Find the program that runs containers: the one that the user names, or the first that answers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from nwbpipe.errors import ToolMissingError
from nwbpipe.machine import select_variables

ENGINES = ("docker", "podman", "apptainer")
VARIABLE = "NWBPIPE_CONTAINER_ENGINE"
#: Variables with the settings of engines, and their passwords for registries.
ENGINE_SETTINGS = ("DOCKER_*", "BUILDAH_*", "CONTAINER_*", "CONTAINERS_*", "STORAGE_*", "REGISTRY_AUTH_FILE")
_ASK_TIMEOUT_S = 30.0


def build_engine_variables() -> dict[str, str]:
    """Return the variables that engines get: the user's own, with the engines' settings."""
    return select_variables(ENGINE_SETTINGS)


def find_engine() -> Path:
    """Return the container engine.

    Raises
    ------
    ToolMissingError
        There is none, or none that answers; with the words of those that are there.
    """
    named = os.environ.get(VARIABLE)
    problems = []
    for name in [named] if named else ENGINES:
        program = shutil.which(name)
        if program is None:
            problems += [f"{name}: not found"] if named else []
            continue
        problem = explain_silence(Path(program))
        if not problem:
            return Path(program)
        problems.append(f"{program}: {problem}")
    msg = "there is no program that runs containers"
    if problems:
        msg += ", or none that answers"
    raise ToolMissingError(
        msg, expected=" or ".join(ENGINES) + " on the PATH", found="; ".join(problems) or None,
        hint=f"install one of them, start its service, or name another program: {VARIABLE}",
    )  # fmt: skip


def explain_silence(engine: Path) -> str:
    """Return why an engine can't be used, in its own words; "" if it answers."""
    words = ["--version"] if engine.stem == "apptainer" else ["info"]
    try:
        answer = ask_engine(engine, *words)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if answer.returncode == 0:
        return ""
    return last_line(answer.stderr or answer.stdout) or f"exit code {answer.returncode}"


@lru_cache(maxsize=8)
def describe_engine(engine: Path) -> tuple[str, str]:
    """Return name and version of an engine: a program called docker may be podman."""
    text = ""
    with suppress(OSError, subprocess.SubprocessError):
        text = ask_engine(engine, "--version").stdout
    name = next((name for name in ("podman", "apptainer", "docker") if name in text.lower()), engine.stem)
    version = re.search(r"\d+(\.\d+)+", text)
    return name, version[0] if version else ""


class EngineTraits(NamedTuple):
    """What an engine tells about itself.

    Attributes
    ----------
    cores : int
        The greatest number of cores that it can hold a container to; 0 if it can't hold it to any. Podman refuses
        such a container to a user to whom systemd hands no control of cores, which is common. The machine of Docker
        Desktop may have fewer cores than this one.
    limits_memory : bool
        False if it can't hold a container to an amount of memory.
    is_rootless : bool
        True for a docker that the user runs: root inside its containers is the user, any other id is nobody.
    """

    cores: int
    limits_memory: bool
    is_rootless: bool


@lru_cache(maxsize=8)
def inspect_engine(engine: Path) -> EngineTraits:
    """Ask docker or podman about itself."""
    is_podman = describe_engine(engine)[0] == "podman"
    form = "{{.NCPU}} {{.CPUCfsQuota}} {{.MemoryLimit}} {{.SecurityOptions}}"
    if is_podman:
        form = "{{.Host.CPUs}} {{.Host.CgroupControllers}}"
    text = ""
    with suppress(OSError, subprocess.SubprocessError):
        text = ask_engine(engine, "info", "--format", form).stdout
    cores, *words = re.findall(r"\w+", text) or [""]
    if not cores.isdecimal():  # an engine that does not tell
        return EngineTraits(os.cpu_count() or 1, limits_memory=True, is_rootless=False)
    is_limiting = "cpu" in words if is_podman else words[:1] != ["false"]
    limits_memory = "memory" in words if is_podman else words[1:2] != ["false"]
    return EngineTraits(int(cores) if is_limiting else 0, limits_memory, not is_podman and "name=rootless" in text)


def last_line(text: str) -> str:
    """Return the last line of what a program wrote, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""


def ask_engine(engine: Path, *words: str, timeout: float = _ASK_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    """Run a command of an engine, and return its answer.

    Raises
    ------
    OSError, subprocess.SubprocessError
        The engine can't be started, or does not answer in time.
    """
    return subprocess.run(  # without a shell
        [str(engine), *words], capture_output=True, text=True, timeout=timeout, check=False,
        stdin=subprocess.DEVNULL, env=build_engine_variables(),
    )  # fmt: skip
