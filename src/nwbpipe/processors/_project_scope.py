"""Processors of project scope: they read many sessions, and make an artefact that steps of sessions read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nwbpipe.errors import RequestError
from nwbpipe.processors._base import Context, Input, Processor, Results
from nwbpipe.provenance import identify_file

if TYPE_CHECKING:
    from pynwb import NWBFile


@dataclass(frozen=True)
class Artefact(Input):
    """An input that is no object of the session file, but what a processor of project scope made.

    ``request["inputs"][name]`` of the compute module is ``{"folder": "/abs/folder"}``: the artefact's files, to be
    read only.

    Parameters
    ----------
    *processors : str
        Name of the processor that makes it; or of several, one of which made it.
    doc : str
        What it is used for.
    """

    processors: tuple[str, ...] = ()

    def __init__(self, *processors: str, doc: str = "") -> None:
        super().__init__(doc=doc)
        object.__setattr__(self, "processors", processors)


@dataclass(frozen=True)
class Folder(Input):
    """An input of a processor of project scope that lies in no session file: a folder, such as a tool's own project.

    It is bound by its address in a store (``dlc://openfield``), or by its path, relative to nwbpipe.toml.
    ``request["inputs"][name]`` of the compute module is ``{"folder": "/abs/folder"}``, to be read only.

    Parameters
    ----------
    doc : str
        What it is used for.
    optional : bool
        Whether the processor does without it.
    """

    def __init__(self, *, doc: str = "", optional: bool = False) -> None:
        super().__init__(doc=doc, optional=optional)


class ProjectProcessor(Processor):
    """One method that is run on data of many sessions; its result is an artefact: files in the store ``models://``.

    What each session offers is bound as for any other processor, and `prepare` is called for each. In the request
    of the compute module ``"sessions"`` takes the place of ``"inputs"`` and ``"facts"``: a list with an entry for
    each session, ``{"inputs": {...}, "facts": {...}}``, in the order of their content: it does not depend on names.
    What is no input of sessions, a `Folder`, is in ``"inputs"``, with the facts of `prepare_folders` in ``"facts"``.

    Class attributes
    ----------------
    any_of : tuple of str
        Names of optional inputs of which a step binds one or more.
    """

    module: ClassVar[str] = ""
    any_of: ClassVar[tuple[str, ...]] = ()

    def identify_folder(self, name: str, folder: Path) -> str:
        """Return the identity of what the folder bound to the input `name` is read for: by default all its files.

        Raises
        ------
        InputError
            If it can't be used.
        """
        return identify_file(folder).identity

    def prepare_folders(self, context: Context) -> Mapping[str, Any]:
        """Check the bound folders before anything runs, and return the facts that the computation needs.

        Raises
        ------
        InputError
            If a folder can't be used.
        """
        return {}

    def check(self, facts: Sequence[Mapping[str, Any]]) -> None:
        """Check what `prepare` read from the sessions, all together.

        Raises
        ------
        InputError
            If they don't go together, e.g. have different numbers of columns.
        """

    @abstractmethod
    def make(self, folder: Path, results: Results, context: Context) -> None:
        """Write the artefact's files into an empty folder.

        The same results must give the same bytes: its identity is that of its files.
        """

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Refuse: there is no session file that the result belongs to."""
        msg = f"the processor {self.name!r} makes an artefact of a whole project"
        raise RequestError(msg, hint='declare a step of it in nwbpipe.toml, with scope = "project"')
