"""What a report reads of a session file: its objects, records, verdicts and clocks, and which step wrote what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from nwbpipe.provenance import AlignmentRecord, RunRecord, read_alignments
from nwbpipe.review import QualityVerdict, read_verdicts
from nwbpipe.session import SessionReader, SessionSummary, summarize_session

if TYPE_CHECKING:
    from pynwb import NWBFile


@dataclass(frozen=True)
class Figure:
    """A picture or a table of the report.

    Attributes
    ----------
    title : str
        What it is, and which step it comes from.
    body : Markup
        The SVG or HTML.
    caption : str
        How to read it.
    is_folded : bool
        True if it shows when a person asks for it.
    """

    title: str
    body: Markup
    caption: str = ""
    is_folded: bool = False


@dataclass(frozen=True)
class Section:
    """One part of the page; it is left out if it has no figures.

    Attributes
    ----------
    key, title : str
        Its anchor, and its heading.
    figures : list of Figure
    """

    key: str
    title: str
    figures: list[Figure] = field(default_factory=list)


@dataclass(frozen=True)
class Finding:
    """Something that a person should look at before the rest.

    Attributes
    ----------
    level : {"fail", "warn"}
    about, text : str
        The step, source or clock, and what is the matter.
    """

    level: str
    about: str
    text: str


class SessionContent:
    """The content of an open session file.

    Attributes
    ----------
    reader : SessionReader
        The open file.
    name : str
        Of the file.
    """

    def __init__(self, reader: SessionReader, name: str) -> None:
        self.reader, self.name = reader, name
        self.shown: set[str] = set()  # ids of objects that a section has drawn

    @property
    def nwbfile(self) -> NWBFile:
        """The file as pynwb reads it; data are read on access."""
        return self.reader.nwbfile

    @cached_property
    def records(self) -> list[RunRecord]:
        """The records of the results that are in the file."""
        return [record for record in self.reader.records if not record.superseded]

    @cached_property
    def alignments(self) -> list[AlignmentRecord]:
        """How each clock was brought to that of the session."""
        return read_alignments(self.reader.file)

    @cached_property
    def verdicts(self) -> list[QualityVerdict]:
        """Verdicts on scans and ROIs."""
        return read_verdicts(self.reader)

    @cached_property
    def summary(self) -> SessionSummary:
        """A line for each series and table."""
        conversion = next((record for record in self.records if record.processor == "convert"), None)
        return summarize_session(self.nwbfile, conversion)

    @cached_property
    def _owners(self) -> dict[str, str]:
        return {item.object_id: record.step for record in self.records for item in record.outputs if item.object_id}

    def find_step(self, item: Any) -> str:
        """Return the step that wrote an object or what holds it; "" if no record names it."""
        while item is not None:
            step = self._owners.get(item.object_id)
            if step is not None:
                return step
            item = item.parent
        return ""

    def find(self, *types: str) -> list[Any]:
        """Return all objects of these types or their subtypes, by path."""
        return sorted(
            (item for item in self.nwbfile.all_children() if types_of(item) & set(types)),
            key=lambda item: path_of(item),
        )

    def mark_shown(self, *items: Any) -> None:
        """Note that these objects are drawn, so that no other section draws them again."""
        self.shown.update(item.object_id for item in items)

    def is_shown(self, item: Any) -> bool:
        """Return True if a section has drawn an object."""
        return item.object_id in self.shown


def types_of(item: Any) -> set[str]:
    """Return the names of an object's type and of all types that it is a kind of."""
    return {kind.__name__ for kind in type(item).__mro__}


def path_of(item: Any) -> str:
    """Return the names of an object and of what holds it, without the file's."""
    return "/".join(reversed(list(_walk_up(item))))


def is_processed(item: Any) -> bool:
    """Return True if an object is in a processing module."""
    while item is not None:
        if "ProcessingModule" in types_of(item):
            return True
        item = item.parent
    return False


def name_with_step(content: SessionContent, item: Any) -> str:
    """Return an object's name, and the step that wrote it where the name does not say so."""
    step = content.find_step(item)
    return f"{item.name} ({step})" if step not in ("", "convert") and step not in item.name else str(item.name)


def _walk_up(item: Any) -> Iterator[str]:
    while item is not None and item.parent is not None:
        yield str(item.name)
        item = item.parent
