"""What a tool is, and what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Program:
    """A program of the system that a tool runs, e.g. GNU Octave.

    Parameters
    ----------
    name : str
        How it is called in messages, with the versions that serve: ``"GNU Octave >= 7"``.
    commands : tuple of str
        Its names on the PATH; the first one that is there is taken.
    """

    name: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Checkout:
    """A tool whose package is on no index: it is taken from a checkout of its repository, which the user names.

    Parameters
    ----------
    repository : str
        Where it can be cloned from.
    contains : str
        A file by which a checkout is known, relative to it.
    version : tuple of str
        A file of it, and a regular expression whose first group is the version there.
    built : bool
        Whether the tool's package is built from it; otherwise it is used as it lies there.
    """

    repository: str
    contains: str
    version: tuple[str, str]
    built: bool = True


@dataclass(frozen=True)
class Weights:
    """A file that a tool would download by itself; a run has no network, so it must be there before.

    Parameters
    ----------
    file : str
        Its name in the tool's folder of weights.
    source : str
        Where it comes from.
    needed_for : str
        What needs it, for messages.
    required : bool
        Whether no run works without it; see :meth:`Tool.requiring`.
    """

    file: str
    source: str
    needed_for: str = "every run"
    required: bool = True


@dataclass(frozen=True)
class Tool:
    """The program that computes, and what it needs.

    Parameters
    ----------
    name : str
        Name under which ``nwbpipe tools`` knows it.
    requirements : tuple of str
        Requirements with version ranges; the first one is the tool itself, whose version is recorded (unless the
        tool is a `checkout` that is not built).
    python : str
        Versions of Python that it runs on, e.g. ``">=3.9,<3.13"``.
    licence : str
        Its licence (SPDX name).
    module : str
        What ``nwbpipe tools doctor`` imports; by default the package's name.
    gpu : {"torch", "tensorflow", None}
        The library through which it uses a GPU.
    programs : tuple of Program
        Programs of the system that it runs.
    system : tuple of str
        Packages of Debian that it needs beside Python: what a container installs.
    conda : tuple of str
        Its requirements as conda-forge spells them; empty: they are installed by pip in a conda environment.
    checkout : Checkout, optional
        Where the tool comes from, if from no index.
    weights : tuple of Weights
        Files that it would otherwise download.
    """

    name: str
    requirements: tuple[str, ...]
    python: str = ">=3.9"
    licence: str = "unknown"
    module: str = ""
    gpu: Literal["torch", "tensorflow"] | None = None
    programs: tuple[Program, ...] = ()
    system: tuple[str, ...] = ()
    conda: tuple[str, ...] = ()
    checkout: Checkout | None = None
    weights: tuple[Weights, ...] = field(default=())

    @property
    def package(self) -> str:
        """Name of the tool's own package, as package indexes spell it."""
        return canonicalize_name(Requirement(self.requirements[0]).name)

    @property
    def from_index(self) -> tuple[str, ...]:
        """The requirements that a package index has: without the tool's own, where that is built from a checkout."""
        return self.requirements[1:] if self.checkout is not None and self.checkout.built else self.requirements

    def requiring(self, *files: str) -> Tool:
        """Return this tool with some of its weights required: what parameters ask for.

        Parameters
        ----------
        *files : str
            Names of declared `weights`.
        """
        known = {one.file for one in self.weights}
        assert set(files) <= known, f"{self.name} declares no weights {sorted(set(files) - known)}"
        changed = tuple(replace(one, required=one.required or one.file in files) for one in self.weights)
        return replace(self, weights=changed)

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
