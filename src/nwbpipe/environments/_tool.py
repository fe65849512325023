"""What a tool is, and what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Tool:
    """The program that computes, and what it needs.

    Parameters
    ----------
    name : str
        Name under which ``nwbpipe tools`` knows it.
    requirements : tuple of str
        Requirements with version ranges; the first one is the tool itself, whose version is recorded.
    python : str
        Versions of Python that it runs on, e.g. ``">=3.9,<3.13"``.
    licence : str
        Its licence (SPDX name).
    """

    name: str
    requirements: tuple[str, ...]
    python: str = ">=3.9"
    licence: str = "unknown"

    @property
    def package(self) -> str:
        """Name of the tool's own package, as package indexes spell it."""
        return canonicalize_name(Requirement(self.requirements[0]).name)

    def unmet(self, packages: Mapping[str, str]) -> list[str]:
        """Say which requirements an environment does not meet.

        Parameters
        ----------
        packages : mapping of str to str
            Version of each installed package, by canonical name.

        Returns
        -------
        list of str
            E.g. ``["suite2p>=1.1,<1.2 (found 0.14.0)"]``; empty if all are met.
        """
        lacking = []
        for text in self.requirements:
            requirement = Requirement(text)
            found = packages.get(canonicalize_name(requirement.name))
            if found is None:
                lacking.append(f"{text} (not installed)")
            elif not requirement.specifier.contains(found, prereleases=True):
                lacking.append(f"{text} (found {found})")
        return lacking
