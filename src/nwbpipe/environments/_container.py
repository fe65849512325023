"""Build the container image of a tool, and the command that runs in it.

A run's paths are the same inside and outside: each folder that it reads or writes is mounted under its own path.
The container has no network (except with apptainer, where that needs privileges) and the user's own user id.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nwbpipe.environments._engine import (
    ask_engine,
    describe_engine,
    explain_silence,
    find_engine,
    inspect_engine,
)
from nwbpipe.environments._installers import choose_minor_python, run_installer
from nwbpipe.environments._pip_settings import read_pip_options
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import OverwriteError, ToolMissingError

logger = logging.getLogger("nwbpipe")
LABEL = "nwbpipe"
REFUSED = 125  # exit code of docker and podman when the container was not started
_ABANDONED = "24h"
_END_TIMEOUT_S = 60.0  # an engine may wait for a container to end
_SELINUX = Path("/sys/fs/selinux/enforce")
_PIP = ("index-url", "extra-index-url", "trusted-host", "find-links")  # pip's settings that the build needs


@dataclass(frozen=True)
class Container:
    """A container image with its engine."""

    engine: Path
    image: str
    gpu: bool = False

    @property
    def is_apptainer(self) -> bool:
        """True for apptainer, which has no daemon: the container is a process of the user."""
        return describe_engine(self.engine)[0] == "apptainer"

    def describe(self) -> dict[str, str]:
        """Return what a record keeps: the engine, and the id of the image."""
        return {"engine": " ".join(describe_engine(self.engine)).strip(), "image": self.image}

    def build_command(
        self,
        words: Sequence[str],
        *,
        name: str,
        readable: Iterable[Path] = (),
        writable: Iterable[Path] = (),
        variables: Mapping[str, str] | None = None,
        folder: Path | None = None,
        threads: int = 1,
        gpu: bool = False,
    ) -> list[str]:
        """Return the command that runs `words` in the container.

        Parameters
        ----------
        words : sequence of str
            Program and arguments inside the container.
        name : str
            Name of the running container, which `end` takes.
        readable, writable : iterable of Path
            Folders that are mounted under their own paths.
        variables : mapping, optional
            Environment variables inside.
        folder : Path, optional
            Working folder.
        threads : int
            Number of processors that it may use (without effect where that needs privileges: for apptainer, and for
            podman of most users).
        gpu : bool
            True if it may use the machine's GPUs.
        """
        gpu = gpu and self.gpu
        mounts = _collect_mounts(readable, writable)
        settings = {"HOME": str(folder or Path("/tmp")), **(variables or {})}  # noqa: S108 (inside the container)
        if self.is_apptainer:
            start = [str(self.engine), "exec", "--containall", "--no-home", *(["--nv"] if gpu else [])]
            for path, access in mounts.items():
                start += _bind_in_apptainer(path, access)
            for key, value in settings.items():
                start += ["--env", f"{key}={value}"]
            return [*start, *(["--pwd", str(folder)] if folder else []), self.image, *words]
        start = [str(self.engine), "run", "--interactive", "--init", "--network", "none", "--name", name]
        start += ["--pull", "never", "--label", LABEL]
        traits = inspect_engine(self.engine)
        if traits.cores:
            start += ["--cpus", str(max(1, min(threads, traits.cores)))]
        start += ["--shm-size", str(_choose_shared_memory())]
        start += ["--cap-drop", "all", "--security-opt", "no-new-privileges"]
        uid = os.getuid() if hasattr(os, "getuid") else None
        if uid == 0:
            start += ["--cap-add", "DAC_OVERRIDE"]  # as on the machine: root reads and writes others' files
        is_podman = describe_engine(self.engine)[0] == "podman"
        if is_podman and _SELINUX.exists():
            start += ["--security-opt", "label=disable"]
        if is_podman and uid:  # of the user; root has no ids to map
            start += ["--userns", "keep-id"]
        elif uid is not None:
            start += ["--user", "0:0" if traits.is_rootless else f"{uid}:{os.getgid()}"]
        if gpu:
            start += ["--device", "nvidia.com/gpu=all"] if is_podman else ["--gpus", "all"]
        for path, access in mounts.items():
            start += ["--mount", _render_mount(path, access)]
        settings = {"USER": "nwbpipe", **settings}  # for a user id without a name inside
        for key, value in settings.items():
            start += ["--env", f"{key}={value}"]
        return [*start, *(["--workdir", str(folder)] if folder else []), self.image, *words]

    def end(self, name: str) -> bool:
        """End and remove the container `name`; return True if it ran out of memory."""
        if self.is_apptainer:
            return False
        with suppress(OSError, subprocess.SubprocessError):
            answer = ask_engine(
                self.engine, "inspect", "--format", "{{.State.OOMKilled}}", name, timeout=_END_TIMEOUT_S
            )
            ask_engine(self.engine, "rm", "--force", name, timeout=_END_TIMEOUT_S)
            return answer.stdout.strip() == "true"
        return False


def sweep_containers(engine: Path) -> None:
    """Remove our containers that a killed process left behind; what runs, or is of today, stays."""
    if describe_engine(engine)[0] == "apptainer":
        return
    words = ["container", "prune", "--force", "--filter", f"label={LABEL}", "--filter", f"until={_ABANDONED}"]
    with suppress(OSError, subprocess.SubprocessError):
        ask_engine(engine, *words, timeout=_END_TIMEOUT_S)


def find_container_engine(tool: Tool) -> Path:
    """Return the container engine that the user names, or the first of the PATH that answers.

    Raises
    ------
    ToolMissingError
        There is none.
    """
    try:
        return find_engine()
    except ToolMissingError as error:
        problem = error.problem
        msg = f"{problem.what}, to build one for {tool.name!r}"
        raise ToolMissingError(msg, expected=problem.expected, found=problem.found, hint=problem.hint) from error


def _render_mount(path: Path, access: str) -> str:
    """Return a mount as a line of CSV: a path may hold colons, commas and quotes."""
    return _render_fields("type=bind", f"source={path}", f"target={path}", *(["readonly"] if access == "ro" else []))


def _bind_in_apptainer(path: Path, access: str) -> list[str]:
    """Return the option that mounts a folder: the older ``--bind`` takes no path with a colon or a comma."""
    if not re.search('[:,"]', str(path)):
        return ["--bind", f"{path}:{path}:{access}"]
    options = ["ro"] if access == "ro" else []
    return ["--mount", _render_fields("type=bind", f"source={path}", f"destination={path}", *options)]


def _render_fields(*fields: str) -> str:
    return ",".join('"' + field.replace('"', '""') + '"' if re.search('[",]', field) else field for field in fields)


def _choose_shared_memory() -> int:
    """Return the bytes of /dev/shm: half of the machine's memory, as outside of containers; engines give 64 MB."""
    with suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 2**30


def render_dockerfile(tool: Tool) -> str:
    """Return a Dockerfile for a tool.

    The folder of the build needs ``requirements.txt`` and ``constraints.txt``, which may be empty. pip's settings
    are the build secret ``pip``, so that no address or password of an index stays in the image.
    """
    apt, install = _render_apt(tool), _render_install(tool)
    lines = [f"# {tool.name}: written by `nwbpipe tools dockerfile {tool.name}`", f"FROM {_choose_base_image(tool)}"]
    if tool.conda or tool.image:
        lines.append("USER root")
    if apt:
        lines.append(f"RUN {apt}")
    lines.append("COPY requirements.txt constraints.txt /nwbpipe/")
    secret = "" if tool.conda else "--mount=type=secret,id=pip,target=/etc/pip.conf "
    lines.append(f"RUN {secret}{install}")
    if tool.conda:
        lines.append("ENV PATH=/opt/conda/bin:$PATH")
    if tool.image:  # a run starts Python, whatever the image would start
        lines.append("ENTRYPOINT []")
    return "\n".join([*lines, ""])


def render_definition(tool: Tool) -> str:
    """Return the same recipe as a definition file for apptainer, which can't read a Dockerfile."""
    steps = [step for step in (_render_apt(tool), _render_install(tool)) if step]
    lines = ["Bootstrap: docker", f"From: {_choose_base_image(tool)}", "", "%files"]
    lines += ["    requirements.txt /nwbpipe/requirements.txt", "    constraints.txt /nwbpipe/constraints.txt"]
    lines += ["", "%post", *(f"    {step}" for step in steps)]
    if tool.conda:
        lines += ["", "%environment", "    export PATH=/opt/conda/bin:$PATH"]
    return "\n".join([*lines, ""])


def build(tool: Tool, engine: Path, folder: Path, lock: Path | None) -> str:
    """Build the image of a tool; return its name, or its file for apptainer.

    Parameters
    ----------
    tool : Tool
    engine : Path
    folder : Path
        Folder for the recipe, and for apptainer's image.
    lock : Path, optional
        A requirements file, instead of the tool's ranges.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_context(tool, folder, lock)
    if describe_engine(engine)[0] == "apptainer":
        image = folder / "image.sif"
        run_installer([str(engine), "build", str(image), str(folder / "nwbpipe.def")], tool)
        return str(image)
    recipe = b"".join((folder / file).read_bytes() for file in ("Dockerfile", "requirements.txt", "constraints.txt"))
    name = f"nwbpipe-{tool.name}:{hashlib.sha256(recipe).hexdigest()[:12]}"
    with tempfile.TemporaryDirectory(prefix="nwbpipe-") as private:  # readable by the user alone
        settings = Path(private) / "pip.conf"
        settings.write_text(_render_pip_settings())
        secret = ["--secret", f"id=pip,src={settings}"]
        identity = Path(private) / "image-id"
        run_installer(
            [
                *(str(engine), "build", "--tag", name, "--iidfile", str(identity), "--label", LABEL),
                *(*secret, "--file", str(folder / "Dockerfile"), str(folder)),
            ],
            tool,
            variables={"DOCKER_BUILDKIT": "1"},  # secrets need it, and docker 20.10 does not take it by itself
        )
        # Another folder's image of the same recipe may take the tag: the id stays.
        return identity.read_text().strip() if identity.is_file() else name


def write_context(tool: Tool, folder: Path, lock: Path | None = None) -> None:
    """Write the recipes of a tool's image, and the files that they copy.

    Raises
    ------
    OverwriteError
        One of these files exists with another content.
    """
    constraints = os.environ.get("UV_CONSTRAINT") or read_pip_options(os.environ).get("constraint", "")
    texts = {
        "requirements.txt": lock.read_text() if lock else "\n".join(_list_pip_requirements(tool)) + "\n",
        "constraints.txt": "\n".join(Path(file).read_text() for file in constraints.split()),
        "Dockerfile": render_dockerfile(tool),
        "nwbpipe.def": render_definition(tool),
    }
    for name, text in texts.items():
        path = folder / name
        if path.exists() and path.read_bytes() != text.encode():
            msg = f"the folder already has a {name} with another content"
            raise OverwriteError(msg, where=str(path), hint="choose another folder, or move the file elsewhere")
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())


def remove_image(engine: Path, image: str, tool: Tool) -> None:
    """Remove an image (for apptainer it is a file, which is deleted with its folder).

    An engine that does not answer holds up nothing: the image stays, and a warning names it.
    """
    if describe_engine(engine)[0] == "apptainer":
        return
    if problem := explain_silence(engine):
        logger.warning("the image %s stays, as %s does not answer: %s", image, engine.name, problem)
        return
    run_installer([str(engine), "image", "rm", "--force", image], tool, doing="removing")


def _choose_base_image(tool: Tool) -> str:
    if tool.image:
        return tool.image
    # With the registry: podman knows it of a few short names, such as python, alone.
    return "docker.io/mambaorg/micromamba:2" if tool.conda else f"python:{choose_minor_python(tool)}-slim"


def _list_pip_requirements(tool: Tool) -> list[str]:
    """Return the requirements that pip installs: none if the tool declares conda packages."""
    return [] if tool.conda else list(tool.requirements)


def _render_apt(tool: Tool) -> str:
    if not tool.system:
        return ""
    packages = " ".join(sorted(tool.system))
    return (
        f"apt-get update && apt-get install --yes --no-install-recommends {packages} && rm -rf /var/lib/apt/lists/*"
    )


def _render_install(tool: Tool) -> str:
    if tool.conda:
        packages = " ".join(f"'{package}'" for package in (f"python{tool.python}", *tool.conda))
        return f"micromamba install --yes --name base --override-channels --channel conda-forge {packages}"
    return "pip install --no-cache-dir --requirement /nwbpipe/requirements.txt --constraint /nwbpipe/constraints.txt"


def _render_pip_settings() -> str:
    options = read_pip_options(os.environ)
    lines = [f"{name} = {' '.join(options[name].split())}" for name in _PIP if options.get(name)]
    return "\n".join(["[global]", *lines, ""])


def _collect_mounts(readable: Iterable[Path], writable: Iterable[Path]) -> dict[Path, str]:
    """Return the access of each folder to mount; folders inside another one with the same access are left out."""
    mounts: dict[Path, str] = {}
    for access, folders in (("rw", writable), ("ro", readable)):
        for path in sorted({*folders, *(folder.resolve() for folder in folders)}):
            if path not in mounts and not any(
                parent in path.parents for parent, mode in mounts.items() if mode == access
            ):
                mounts[path] = access
    return dict(sorted(mounts.items()))
