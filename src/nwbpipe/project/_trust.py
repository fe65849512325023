"""List the entries of a project file that can run code, which only a trusted project may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nwbpipe.errors import UntrustedError
from nwbpipe.machine import is_trusted

if TYPE_CHECKING:
    from nwbpipe.project._spec import ProjectSpec


def list_programs(project: ProjectSpec) -> list[str]:
    """Return the entries of nwbpipe.toml that can run code, as they would stand there.

    They are a tool's Python, its checkout and its weights (which are pickles), a scheduler's address (it sends
    pickles), the class of a cloud's cluster, and the options of a cluster (its job scripts are shell scripts).
    """
    programs = [
        f'tools.{name}.{key} = "{text}"'
        for name, tool in project.tools.items()
        for key, text in tool.model_dump(exclude_none=True).items()
    ]
    executor = project.executor
    for key in ("address", "cluster"):
        if (text := getattr(executor, key)) is not None:
            programs.append(f'executor.{key} = "{text}"')
    programs += [f"executor.kinds.{name}.options" for name, kind in executor.kinds.items() if kind.options]
    return programs


def require_trust(project: ProjectSpec) -> None:
    """Refuse to run a project whose file names programs, unless the user trusts it.

    Raises
    ------
    UntrustedError
    """
    programs = list_programs(project)
    if programs and not is_trusted(project.path):
        msg = "the project names programs, and you have not said that you trust it"
        more = f"; and {len(programs) - 10} more" if len(programs) > 10 else ""
        raise UntrustedError(
            msg,
            where=str(project.path),
            found="; ".join(programs[:10]) + more,
            hint=f"if you know them: nwbpipe trust {project.path}",
        )
