"""Declare a tool and its requirements."""

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
        Its name in messages, with the supported versions: ``"GNU Octave >= 7"``.
    commands : tuple of str
        Its commands on the PATH; the first one that exists is used.
    """

    name: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Checkout:
    """The repository of a tool that no package index has; the user sets the path of a checkout.

    Parameters
    ----------
    repository : str
        URL to clone from.
    contains : str
        A file that every checkout has, relative to it.
    version : tuple of str
        A file of the checkout, and a regular expression whose first group is the version in that file.
    built : bool
        True if the tool's package is built from the checkout; otherwise the tool is used from it directly.
    """

    repository: str
    contains: str
    version: tuple[str, str]
    built: bool = True


@dataclass(frozen=True)
class Weights:
    """A file that a tool would download itself. A run has no network: the file must exist before.

    Parameters
    ----------
    file : str
        Its name in the tool's folder of weights.
    source : str
        URL, or a description of its source.
    needed_for : str
        Its purpose, for messages.
    required : bool
        True if no run works without it; see :meth:`Tool.requiring`.
    """

    file: str
    source: str
    needed_for: str = "every run"
    required: bool = True


@dataclass(frozen=True)
class Tool:
    """The declaration of a tool: its package and its requirements.

    Parameters
    ----------
    name : str
        Its name in ``nwbpipe tools``.
    requirements : tuple of str
        Requirements with version ranges; the first one is the tool itself, whose version is recorded (unless the
        tool is a `checkout` that is not built).
    python : str
        Supported versions of Python, e.g. ``">=3.9,<3.13"``.
    licence : str
        Its licence (SPDX name).
    module : str
        The module that ``nwbpipe tools doctor`` imports; by default the package's name.
    gpu : {"torch", "tensorflow", "cuda", None}
        The library through which it uses a GPU; "cuda" for a program of its own.
    programs : tuple of Program
        Programs of the system that it runs.
    system : tuple of str
        Debian packages that it needs beside Python, which a container installs.
    conda : tuple of str
        Its requirements as conda-forge spells them; if empty, pip installs them into a conda environment.
    checkout : Checkout, optional
        Its repository, if no package index has the tool.
    weights : tuple of Weights
        Files that it would otherwise download.
    image : str
        Image that its container is built from, for a tool that comes in a container alone; the requirements are
        installed into it, and the Python that nwbpipe runs in is not taken for it.
    preload : tuple of str or None
        Modules that a process which runs many steps imports once, for each run to be a fork of (Linux); h5py always
        is. None: a run is never a fork, for tools that can't be forked.
    """

    name: str
    requirements: tuple[str, ...]
    python: str = ">=3.9"
    licence: str = "unknown"
    module: str = ""
    gpu: Literal["torch", "tensorflow", "cuda"] | None = None
    programs: tuple[Program, ...] = ()
    system: tuple[str, ...] = ()
    conda: tuple[str, ...] = ()
    checkout: Checkout | None = None
    weights: tuple[Weights, ...] = field(default=())
    image: str = ""
    preload: tuple[str, ...] | None = ()

    @property
    def package(self) -> str:
        """Name of the tool's own package, as package indexes spell it."""
        return canonicalize_name(Requirement(self.requirements[0]).name)

    @property
    def from_index(self) -> tuple[str, ...]:
        """The requirements to install from a package index: without the tool if it is built from a checkout."""
        return self.requirements[1:] if self.checkout is not None and self.checkout.built else self.requirements

    def requiring(self, *files: str) -> Tool:
        """Return this tool with some of its weights required, for parameters that need them.

        Parameters
        ----------
        *files : str
            Names of declared `weights`.
        """
        declared = {weights.file for weights in self.weights}
        assert set(files) <= declared, f"{self.name} declares no weights {sorted(set(files) - declared)}"
        changed = tuple(
            replace(weights, required=weights.required or weights.file in files) for weights in self.weights
        )
        return replace(self, weights=changed)

    def unmet(self, packages: Mapping[str, str]) -> list[str]:
        """Return the requirements that an environment does not meet.

        Parameters
        ----------
        packages : mapping of str to str
            Version of each installed package, by canonical name.

        Returns
        -------
        list of str
            E.g. ``["suite2p>=1.1,<1.2 (found 0.14.0)"]``; empty if all are met.
        """
        unmet = []
        for text in self.requirements:
            requirement = Requirement(text)
            version = packages.get(canonicalize_name(requirement.name))
            if version is None:
                unmet.append(f"{text} (not installed)")
            elif not requirement.specifier.contains(version, prereleases=True):
                unmet.append(f"{text} (found {version})")
        return unmet
