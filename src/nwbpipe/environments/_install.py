"""Create and remove the environments of tools."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from nwbpipe.environments import _conda, _image
from nwbpipe.environments._checkout import find_checkout
from nwbpipe.environments._installers import (
    choose_base_python,
    find_on_path,
    find_uv,
    list_index_options,
    run_installer,
    venv_python,
)
from nwbpipe.environments._lock_file import Lock, read_conda_lock, read_lock
from nwbpipe.environments._mark import EnvironmentKind, EnvironmentMark, claim, discard, read_mark, write_mark
from nwbpipe.environments._settings import default_lock, read_settings, tool_folder, variable_name
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import RequestError, ToolMissingError
from nwbpipe.machine import is_trusted


def install(
    tool: Tool,
    *,
    kind: EnvironmentKind | None = None,
    lock: Path | None = None,
    locked: bool = False,
    base: str | None = None,
) -> Path:
    """Create the environment of a tool; an older one is replaced when the new one is complete.

    Parameters
    ----------
    tool : Tool
    kind : {EnvironmentKind.ISOLATED, EnvironmentKind.CONDA, EnvironmentKind.CONTAINER}, optional
        By default isolated; or conda, for a tool that no package index has and whose checkout is not set; or
        container, for a tool that has an image.
    lock : Path, optional
        A requirements file with a version for every package, or conda's explicit list. By default the newest
        versions that fit.
    locked : bool
        Use the lock that :func:`lock_tool` wrote.
    base : str, optional
        The image that a container is built from; it has a ``python`` with pip, or micromamba for a conda tool.

    Returns
    -------
    Path
        Its Python; for a container, the folder that describes it.

    Raises
    ------
    RequestError
        nwbpipe did not make the folder that is there already.
    ToolMissingError
        Conda, docker, the checkout or the lock is missing.
    ToolFailedError
        The installer failed; its last lines are in the message.
    """
    if locked and lock is None:
        lock = default_lock(tool)
        if not lock.is_file():
            msg = f"there is no lock for the tool {tool.name!r}"
            raise ToolMissingError(msg, where=str(lock), hint=f"nwbpipe tools lock {tool.name}")
    if kind is None:
        kind = _choose_kind(tool, lock)
    if kind not in (EnvironmentKind.ISOLATED, EnvironmentKind.CONDA, EnvironmentKind.CONTAINER):
        msg = f"an environment of the kind {str(kind)!r} can't be installed"
        raise RequestError(
            msg, expected="isolated, conda or container", hint=f"set its Python: {variable_name(tool, 'python')}"
        )
    if tool.image and kind is not EnvironmentKind.CONTAINER:
        msg = f"the tool {tool.name!r} comes in a container alone"
        raise RequestError(
            msg,
            expected=f"--kind container, from {tool.image}",
            found=f"--kind {kind}",
            hint=describe_installation(tool),
        )
    if base is not None and kind is not EnvironmentKind.CONTAINER:
        msg = "a base image is for a container"
        raise RequestError(msg, found=f"an environment of the kind {str(kind)!r}", hint="--kind container")
    _refuse_another_lock(kind, lock)
    if lock is not None:
        _read_lock(tool, kind, lock)
    _refuse_without_source(tool, kind)
    engine = _find_engine(tool, kind)
    with _lock(tool):
        folder = claim(tool)
        # An environment can't be moved: each is built in its final folder, under a unique name.
        environment = folder / f"{kind}-{uuid4().hex[:8]}"
        try:
            older = read_mark(tool)
            image, base_digest = _build(tool, kind, environment, lock, engine, base)
            made_by, lock_name = str(engine) if engine else None, lock.name if lock else None
            new_mark = EnvironmentMark(tool.name, kind, lock_name, made_by, image, environment.name, base_digest)
            write_mark(folder, new_mark)
        except BaseException:
            mark = read_mark(tool)
            if mark is None:
                with suppress(OSError):
                    discard(folder)
            elif mark.environment != environment.name:  # else it is complete: the old one was being deleted
                shutil.rmtree(environment, ignore_errors=True)
            raise
        _remove_image(older, tool)
    return environment if kind is EnvironmentKind.CONTAINER else venv_python(environment)


def remove(tool: Tool) -> bool:
    """Remove the environment of a tool; return False if there was none.

    Raises
    ------
    RequestError
        nwbpipe did not make the folder that is there.
    """
    if not os.path.lexists(tool_folder(tool)):
        return False
    with _lock(tool):
        folder = claim(tool)
        _remove_image(read_mark(tool), tool)
        discard(folder)
    return True


def _remove_image(mark: EnvironmentMark | None, tool: Tool) -> None:
    if mark is not None and mark.engine and mark.image:
        _image.remove_image(Path(mark.engine), mark.image, tool, mark.environment)


def describe_installation(tool: Tool) -> str:
    """Return the commands that install a tool."""
    install_it = f"nwbpipe tools install {tool.name}"
    ways = [f"{install_it} (a container, by docker, podman or apptainer)" if tool.image else install_it]
    if tool.checkout is not None:
        clone = f"git clone {tool.checkout.repository}"
        if not tool.checkout.built:
            return f"{clone}, then set {variable_name(tool, 'checkout')}=/path/to/it"
        ways = [f"{clone}, then {variable_name(tool, 'checkout')}=/path/to/it {install_it}"]
        if tool.conda:
            ways.insert(
                0, f"{install_it} --kind conda" + ("" if find_on_path(_conda.ENGINES) else " (with micromamba)")
            )
    return "; or ".join([*ways, f"use a Python that has it: {variable_name(tool, 'python')}=/path/to/python"])


def read_lock_python(lock: Path) -> str | None:
    """Return the version of Python (``3.N``) that a lock was made for, if it states one."""
    match = re.search(r"^# python (3\.\d+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return match.group(1) if match else None


def _choose_kind(tool: Tool, lock: Path | None) -> EnvironmentKind:
    if lock is not None and _is_explicit(lock):
        return EnvironmentKind.CONDA
    if tool.image:
        return EnvironmentKind.CONTAINER
    no_index = tool.checkout is not None and tool.checkout.built
    return (
        EnvironmentKind.CONDA
        if no_index and tool.conda and read_settings(tool).checkout is None
        else EnvironmentKind.ISOLATED
    )


def _is_explicit(lock: Path) -> bool:
    return _conda.EXPLICIT in lock.read_text(encoding="utf-8").splitlines()


def _refuse_another_lock(kind: EnvironmentKind, lock: Path | None) -> None:
    if lock is not None and _is_explicit(lock) != (kind is EnvironmentKind.CONDA):
        msg = f"the lock does not serve an environment of the kind {str(kind)!r}"
        raise RequestError(
            msg,
            where=str(lock),
            expected="conda's explicit list" if kind is EnvironmentKind.CONDA else "pip's requirements",
            hint="lock it again, or choose the kind that it was made for",
        )


def _refuse_without_source(tool: Tool, kind: EnvironmentKind) -> None:
    """Refuse to look on a package index for a tool that none has: a package of its name is another one."""
    if tool.checkout is None or (kind is not EnvironmentKind.ISOLATED and tool.conda):
        return
    if not tool.checkout.built or kind is EnvironmentKind.ISOLATED:
        find_checkout(tool)
    else:
        msg = f"no package index has the tool {tool.name!r}"
        raise ToolMissingError(msg, expected="an isolated environment", hint=describe_installation(tool))


def _find_engine(tool: Tool, kind: EnvironmentKind) -> Path | None:
    if kind is EnvironmentKind.CONDA:
        try:
            return _conda.find_conda(tool)
        except ToolMissingError as error:
            if tool.checkout is None:
                raise
            problem = error.problem
            raise ToolMissingError(
                problem.what, expected=problem.expected, hint=f"{problem.hint}; or {describe_installation(tool)}"
            ) from error
    return _image.find_container_engine(tool) if kind is EnvironmentKind.CONTAINER else None


def _lock(tool: Tool) -> FileLock:
    # Older versions of filelock empty the file that they lock, and "suite2p.lock" could be a user's file.
    folder = tool_folder(tool).parent
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f".{tool.name}.nwbpipe-lock")


def _build(
    tool: Tool, kind: EnvironmentKind, folder: Path, lock: Path | None, engine: Path | None, base: str | None
) -> tuple[str | None, str | None]:
    """Build an environment in `folder`; return the image of a container, and the digest of its base."""
    with _accept(tool, kind, lock) as accepted:
        if kind is EnvironmentKind.CONTAINER:
            assert engine is not None
            return _image.build(tool, engine, folder, accepted, base)
        if kind is EnvironmentKind.CONDA:
            assert engine is not None
            _conda.create(tool, engine, folder, accepted)
        else:
            _create_isolated(tool, folder, lock, accepted)
    return None, None


@contextmanager
def _accept(tool: Tool, kind: EnvironmentKind, lock: Path | None) -> Iterator[Path | None]:
    """Yield a file of our own with the lines of a lock that were accepted; the lock itself may change meanwhile."""
    if lock is None:
        yield None
        return
    content = _read_lock(tool, kind, lock)
    lines = content.lines
    by_pip = kind is EnvironmentKind.CONTAINER or (kind is EnvironmentKind.ISOLATED and not find_uv())
    # pip wants a hash for all packages or for none.
    if by_pip and (tool.checkout is not None or not content.has_hashes):
        lines = tuple(line.partition(" --hash=")[0] for line in lines)
    with tempfile.TemporaryDirectory(prefix="nwbpipe-") as folder:
        file = Path(folder) / lock.name
        file.write_text("\n".join([*lines, ""]), encoding="utf-8")
        yield file


def _read_lock(tool: Tool, kind: EnvironmentKind, lock: Path) -> Lock:
    if kind is not EnvironmentKind.CONDA:
        return read_lock(lock, tool)
    if lock.resolve() == default_lock(tool).resolve() or is_trusted(lock):  # of channels that the user set up
        return Lock(tuple(lock.read_text(encoding="utf-8").splitlines()), {}, has_hashes=False)
    return read_conda_lock(lock)


def _create_isolated(tool: Tool, folder: Path, lock: Path | None, accepted: Path | None) -> None:
    requirements = [f"--requirement={accepted}"] if accepted else list(tool.from_index)
    if tool.checkout is not None and tool.checkout.built:
        requirements.append(f"{tool.package} @ {find_checkout(tool)[0].as_uri()}")
    base = choose_base_python(tool, read_lock_python(lock) if lock else None)
    program = find_uv()
    python = str(venv_python(folder))
    if program:
        run_installer([*program, "venv", "--quiet", "--python", base, str(folder)], tool)
        # As pip does: otherwise each run compiles all modules again where the folder is read-only.
        options = ["--quiet", "--compile-bytecode", "--python", python, *list_index_options()]
        run_installer([*program, "pip", "install", *options, *requirements], tool)
    else:
        run_installer([base, "-I", "-m", "venv", str(folder)], tool)
        run_installer([python, "-I", "-m", "pip", "install", "--quiet", *requirements], tool)
