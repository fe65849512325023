"""Build the container image of a tool, write the recipe of one, and remove it."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from nwbpipe.environments._engine import (
    VARIABLE,
    ask_engine,
    describe_engine,
    explain_silence,
    find_engine,
    last_line,
)
from nwbpipe.environments._installers import choose_minor_python, run_installer
from nwbpipe.environments._pip_settings import has_no_index, read_pip_options
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import OverwriteError, ToolMissingError

logger = logging.getLogger("nwbpipe")
_PLACES = ("index-url", "extra-index-url", "find-links")  # pip's settings that the build needs
_PIP = (*_PLACES, "trusted-host")
_PACKAGES, _CERTIFICATES = "/nwbpipe/packages", "/nwbpipe/certificates.pem"  # in the build
_REMOVE_TIMEOUT_S = 300.0
_NEEDS_BUILDX = 23  # the version of docker from which on it has no BuildKit of its own


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


def render_dockerfile(tool: Tool, base: str | None = None, *, folders: int = 0) -> str:
    """Return a Dockerfile for a tool.

    The folder of the build needs ``requirements.txt`` and ``constraints.txt``, which may be empty. pip's settings
    are the build secret ``pip``, so that no address or password of an index stays in the image; ``certificates`` is
    the secret with those that pip trusts.

    Parameters
    ----------
    tool : Tool
    base : str, optional
        The image that it starts from; by default that of Python at Docker Hub.
    folders : int
        Number of local folders that pip looks for packages in: the build contexts ``packages0``, ….
    """
    apt, install = _render_apt(tool), _render_install(tool)
    base = base or _choose_base_image(tool)
    lines = [f"# {tool.name}: written by `nwbpipe tools dockerfile {tool.name}`", f"FROM {base}"]
    if tool.conda or tool.image:
        lines.append("USER root")
    if apt:
        lines.append(f"RUN {apt}")
    lines.append("COPY requirements.txt constraints.txt /nwbpipe/")
    mounts = [] if tool.conda else ["type=secret,id=pip,target=/etc/pip.conf"]
    mounts += [] if tool.conda else [f"type=secret,id=certificates,target={_CERTIFICATES}"]
    mounts += [f"type=bind,from=packages{n},target={_PACKAGES}/{n}" for n in range(folders)]
    lines.append("RUN " + "".join(f"--mount={mount} " for mount in mounts) + install)
    if tool.conda:
        lines.append("ENV PATH=/opt/conda/bin:$PATH")
    if tool.image:  # a run starts Python, whatever the image would start
        lines.append("ENTRYPOINT []")
    return "\n".join([*lines, ""])


def render_definition(tool: Tool, base: str | None = None) -> str:
    """Return the same recipe as a definition file for apptainer, which can't read a Dockerfile."""
    steps = [step for step in (_render_apt(tool), _render_install(tool)) if step]
    lines = ["Bootstrap: docker", f"From: {base or _choose_base_image(tool)}", "", "%files"]
    lines += ["    requirements.txt /nwbpipe/requirements.txt", "    constraints.txt /nwbpipe/constraints.txt"]
    lines += ["", "%post", *(f"    {step}" for step in steps)]
    if tool.conda:
        lines += ["", "%environment", "    export PATH=/opt/conda/bin:$PATH"]
    return "\n".join([*lines, ""])


def build(tool: Tool, engine: Path, folder: Path, lock: Path | None, base: str | None = None) -> tuple[str, str]:
    """Build the image of a tool; return its id (for apptainer its file), and the digest of its base.

    Parameters
    ----------
    tool : Tool
    engine : Path
    folder : Path
        Folder for the recipe, and for apptainer's image; its name tags the image.
    lock : Path, optional
        A requirements file, instead of the tool's ranges.
    base : str, optional
        The image that it starts from.

    Raises
    ------
    ToolMissingError
        Docker lacks buildx, and can't build without it.
    """
    settings = _PipSettings.read()
    _require_builder(engine, has_folders=bool(settings.folders) and not tool.conda)
    folder.mkdir(parents=True, exist_ok=True)
    write_context(tool, folder, lock, base, folders=0 if tool.conda else len(settings.folders))
    if describe_engine(engine)[0] == "apptainer":
        image = folder / "image.sif"
        run_installer([str(engine), "build", str(image), str(folder / "nwbpipe.def")], tool)
        return str(image), ""
    with tempfile.TemporaryDirectory(prefix="nwbpipe-") as private:  # readable by the user alone
        secrets = {"pip": Path(private) / "pip.conf", "certificates": Path(private) / "certificates.pem"}
        secrets["pip"].write_text(settings.text)
        secrets["certificates"].write_bytes(settings.certificates)
        identity = Path(private) / "image-id"
        words = [str(engine), "build", "--tag", _name_image(tool, folder.name), "--iidfile", str(identity)]
        for name, path in secrets.items():
            words += ["--secret", f"id={name},src={path}"]
        if not tool.conda:
            for n, path in enumerate(settings.folders):
                words += ["--build-context", f"packages{n}={path}"]
        words += ["--file", str(folder / "Dockerfile"), str(folder)]
        # Secrets need BuildKit, and docker 20.10 does not take it by itself.
        run_installer(words, tool, variables={"DOCKER_BUILDKIT": "1"})
        return identity.read_text().strip(), _read_base_digest(engine, base or _choose_base_image(tool))


def _require_builder(engine: Path, *, has_folders: bool) -> None:
    """Refuse a docker that lacks buildx where it needs that: from version 23 on, and before for local packages."""
    name, version = describe_engine(engine)
    if name != "docker" or not (has_folders or int(version.partition(".")[0] or 0) >= _NEEDS_BUILDX):
        return
    answer = ask_engine(engine, "buildx", "version")
    if answer.returncode:
        msg = "docker can't build images here: its plugin buildx is missing"
        hint = (
            f"install it (Debian, Ubuntu: docker-buildx or docker-buildx-plugin), or name another engine: {VARIABLE}"
        )
        raise ToolMissingError(
            msg, where=str(engine), expected="docker with buildx",
            found=f"docker {version}: {last_line(answer.stderr or answer.stdout)}", hint=hint,
        )  # fmt: skip


def _name_image(tool: Tool, environment: str) -> str:
    """Return the tag of an image: of one environment's folder, so that removing it takes no other folder's image."""
    return f"nwbpipe-{tool.name}:{environment}"


def _read_base_digest(engine: Path, base: str) -> str:
    """Return the digest of an image at its registry, or its id if no registry has it; "" if the engine is silent."""
    with suppress(OSError, subprocess.SubprocessError):
        answer = ask_engine(engine, "image", "inspect", "--format", "{{.RepoDigests}} {{.Id}}", base).stdout
        if digest := re.search(r"sha256:[0-9a-f]{64}", answer) or re.search(r"\b[0-9a-f]{64}\b", answer):
            return "sha256:" + digest[0].removeprefix("sha256:")
    return ""


def write_context(
    tool: Tool, folder: Path, lock: Path | None = None, base: str | None = None, *, folders: int = 0
) -> None:
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
        "Dockerfile": render_dockerfile(tool, base, folders=folders),
        "nwbpipe.def": render_definition(tool, base),
    }
    for name, text in texts.items():
        path = folder / name
        if path.exists() and path.read_bytes() != text.encode():
            msg = f"the folder already has a {name} with another content"
            raise OverwriteError(msg, where=str(path), hint="choose another folder, or move the file elsewhere")
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())


def remove_image(engine: Path, image: str, tool: Tool, environment: str) -> None:
    """Remove the image of an environment (for apptainer it is a file, which is deleted with its folder).

    Without force: with force podman removes the user's containers of that image as well, and docker each other name
    that it has. An engine that refuses or does not answer holds up nothing: the image stays, and a warning names it.
    An image that has a name of the user's instead of ours stays as well.
    """
    if describe_engine(engine)[0] == "apptainer":
        return
    problem = explain_silence(engine)
    for name in () if problem else (_name_image(tool, environment), image):  # older images have other tags
        with suppress(OSError, ValueError, subprocess.SubprocessError):
            answer = ask_engine(engine, "image", "inspect", "--format", "{{json .RepoTags}}", name)
            if answer.returncode:
                continue
            if name == image and (foreign := _list_foreign_names(answer.stdout, tool)):
                problem = f"it is also {foreign[0]}"
                break
            answer = ask_engine(engine, "image", "rm", name, timeout=_REMOVE_TIMEOUT_S)
            problem = last_line(answer.stderr) if answer.returncode else ""
            break
    if problem:
        logger.warning("the image %s stays: %s: %s", image, engine.name, problem)


def _list_foreign_names(answer: str, tool: Tool) -> list[str]:
    """Return the names of an image that nwbpipe did not give it."""
    return [name for name in json.loads(answer) or () if not re.match(rf"(localhost/)?nwbpipe-{tool.name}:", name)]


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


class _PipSettings(NamedTuple):
    """pip's settings of this machine, as they hold in a build.

    Attributes
    ----------
    text : str
        The settings as pip.conf.
    certificates : bytes
        Certificates of authorities that pip trusts; empty for its own ones.
    folders : list of Path
        Local folders with packages, in the order of their numbers in the build.
    """

    text: str
    certificates: bytes
    folders: list[Path]

    @classmethod
    def read(cls) -> _PipSettings:
        """Read the settings; local folders get their paths in the build."""
        options, folders = read_pip_options(os.environ), list[Path]()

        def locate(place: str) -> str:
            path = Path(url2pathname(urlsplit(place).path)) if place.startswith("file:") else Path(place)
            if "://" in place.removeprefix("file://") or not path.expanduser().is_dir():
                return place
            folders.append(path.expanduser().resolve())
            inside = f"{_PACKAGES}/{len(folders) - 1}"
            return f"file://{inside}" if place.startswith("file:") else inside

        lines = ["[global]"]
        for name in _PIP:
            if addresses := options.get(name, "").split():
                lines.append(f"{name} = {' '.join(map(locate, addresses) if name in _PLACES else addresses)}")
        if has_no_index(os.environ):
            lines.append("no-index = true")
        certificates = b""
        if cert := options.get("cert"):
            certificates = Path(cert).expanduser().read_bytes()
            lines.append(f"cert = {_CERTIFICATES}")
        return cls("\n".join([*lines, ""]), certificates, folders)
