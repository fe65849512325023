"""Propose a session.yaml for a folder of raw data, and an nwbpipe.toml for a tree of sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nwbpipe.proposals._project import ProjectProposal, propose_project
    from nwbpipe.proposals._proposal import Proposal, ProposedSource, propose

_HOMES = {
    "ProjectProposal": "_project",
    "Proposal": "_proposal",
    "ProposedSource": "_proposal",
    "propose": "_proposal",
    "propose_project": "_project",
}

__all__ = ["ProjectProposal", "Proposal", "ProposedSource", "propose", "propose_project"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, and only that."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
