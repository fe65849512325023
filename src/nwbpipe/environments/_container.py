"""Build the command that runs in the container of a tool, and remove containers that are left.

A run's paths are the same inside and outside: each folder that it reads or writes is mounted under its own path.
The container has no network (except with apptainer, where that needs privileges) and the user's own user id.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nwbpipe.environments._engine import ask_engine, describe_engine, inspect_engine, last_line
from nwbpipe.errors import ToolKilledError

#: Of the containers of runs. Images have none of it: the user's own containers of an image would get it, too.
LABEL = "nwbpipe.run"
#: Tells the folder that a container computes in.
_WORK_LABEL = "nwbpipe.work"
REFUSED = 125  # exit code of docker and podman when the container was not started
_ABANDONED = "24h"
_END_TIMEOUT_S = 60.0  # an engine may wait for a container to end
_SELINUX = Path("/sys/fs/selinux/enforce")


@dataclass(frozen=True)
class Container:
    """A container image with its engine.

    Attributes
    ----------
    engine : Path
    image : str
        Its id; for apptainer its file.
    gpu : bool
        True if it may use GPUs.
    base : str
        Digest of the image that it was built from; "" if the engine does not tell it.
    """

    engine: Path
    image: str
    gpu: bool = False
    base: str = ""

    @property
    def is_apptainer(self) -> bool:
        """True for apptainer, which has no daemon: the container is a process of the user."""
        return describe_engine(self.engine)[0] == "apptainer"

    def describe(self) -> dict[str, str]:
        """Return what a record keeps: the engine, the id of the image, and the digest of its base."""
        described = {"engine": " ".join(describe_engine(self.engine)).strip(), "image": self.image}
        return {**described, "base": self.base} if self.base else described

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
        memory: int = 0,
        work: Path | None = None,
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
        memory : int
            Bytes of memory that it may use, without any swap; 0 for as much as the machine has.
        work : Path, optional
            The folder that it computes in, by which `end_earlier` finds it.
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
        if limit := self.find_memory_limit(memory):
            start += ["--memory", str(limit), "--memory-swap", str(limit)]
        if work is not None:
            start += ["--label", _label_work(work)]
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

    def find_memory_limit(self, memory: int) -> int:
        """Return the bytes that a container is held to if that many are asked for; 0 if the engine can't."""
        return 0 if self.is_apptainer or not inspect_engine(self.engine).limits_memory else memory

    def end_earlier(self, work: Path) -> None:
        """End a container that still computes in a folder: one whose engine died under it, and came back.

        Raises
        ------
        ToolKilledError
            The engine did not end it.
        """
        if self.is_apptainer:
            return
        try:
            words = ("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={_label_work(work)}")
            names = ask_engine(self.engine, *words).stdout.split()
            if not names:
                return
            answer = ask_engine(self.engine, "rm", "--force", *names, timeout=_END_TIMEOUT_S)
            problem = last_line(answer.stderr) or "no reason given" if answer.returncode else ""
        except (OSError, subprocess.SubprocessError) as error:
            problem = str(error)
        if problem:
            msg = "a container of an earlier attempt may still compute in this run's folder, and can't be ended"
            hint = f"end it when the engine answers: {self.engine.name} ps --filter label={LABEL}"
            raise ToolKilledError(msg, where=str(work), found=problem, hint=hint)

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


def _label_work(folder: Path) -> str:
    """Return the label that tells the folder of a container's work; its path may hold what no label can."""
    return f"{_WORK_LABEL}={hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]}"


def sweep_containers(engine: Path) -> None:
    """Remove our containers that a killed process left behind; what runs, or is of today, stays."""
    if describe_engine(engine)[0] == "apptainer":
        return
    words = ["container", "prune", "--force", "--filter", f"label={LABEL}", "--filter", f"until={_ABANDONED}"]
    with suppress(OSError, subprocess.SubprocessError):
        ask_engine(engine, *words, timeout=_END_TIMEOUT_S)


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
