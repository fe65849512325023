"""Write the report of a session file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from markupsafe import Markup

from nwbpipe import __version__
from nwbpipe.errors import NwbpipeError, show_text
from nwbpipe.provenance import canonical_json, digest
from nwbpipe.report._behavior import draw_behavior
from nwbpipe.report._content import Figure, Section, SessionContent
from nwbpipe.report._ephys import draw_ephys
from nwbpipe.report._imaging import draw_imaging
from nwbpipe.report._overview import draw_session, draw_time_line, list_findings
from nwbpipe.report._page import render_page, write_page
from nwbpipe.report._pose import draw_pose
from nwbpipe.report._processors import draw_processors
from nwbpipe.report._provenance import draw_provenance
from nwbpipe.report._signals import draw_face, draw_photometry, draw_signals
from nwbpipe.session import SessionFile, SessionReader
from nwbpipe.stores import is_remote

_PARTS = (
    ("time", "Time line and clocks", draw_time_line),
    ("imaging", "Imaging", draw_imaging),
    ("ephys", "Electrophysiology", draw_ephys),
    ("photometry", "Fiber photometry", draw_photometry),
    ("behavior", "Behaviour", draw_behavior),
    ("pose", "Pose", draw_pose),
    ("face", "Face", draw_face),
    ("signals", "Other signals", draw_signals),
    ("processors", "From the processors", draw_processors),
    ("provenance", "Where it comes from", draw_provenance),
    ("session", "Session", draw_session),
)


def write_report(location: Path | str, out: Path | None = None) -> Path:
    """Write the report of a session file: one HTML page without scripts, which needs no network and no server.

    Parameters
    ----------
    location : path or URL
        The session file, on this machine or in a store (``s3://bucket/key``).
    out : Path, optional
        The page. By default the name of the session file with ``.html``: beside a file on this machine, or in the
        current folder. A page of ours is written over, nothing else.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileAccessError
        If the session file can't be read, or the page not be written.
    UnsupportedFileError, DamagedFileError, LockedFileError
        See `SessionFile.open`.
    OverwriteError
        If something that is not a report has the name of the page.

    Examples
    --------
    >>> from nwbpipe.report import write_report
    >>> write_report("session.nwb")  # doctest: +SKIP
    PosixPath('session.html')
    """
    session = SessionFile.at(location)
    target = out or _choose_name(location)
    return write_page(target, session.read(lambda reader: draw_page(reader, session.name), locked=True))


def _choose_name(location: Path | str) -> Path:
    if is_remote(location):
        return Path(str(location).rpartition("/")[2]).with_suffix(".html")
    return Path(location).with_suffix(".html")


def compute_state(session: SessionFile) -> str:
    """Return a digest of a file's state and of nwbpipe's version: a page with the same need not be drawn again."""
    return digest(canonical_json([__version__, repr(session.version())]))


def draw_parts(location: Path | str) -> str:
    """Return the parts of a session file's report as HTML, without the page around them."""
    session = SessionFile.at(location)
    return session.read(lambda reader: draw_page(reader, session.name, template="session_parts.html"), locked=True)


def draw_page(reader: SessionReader, name: str, *, state: str = "", template: str = "session.html") -> str:
    """Return the page of an open session file."""
    content = SessionContent(reader, name)
    sections = [_draw(content, *part) for part in _PARTS]
    return render_page(
        template,
        state=state,
        title=content.nwbfile.session_id or name,
        name=name,
        findings=list_findings(content),
        judged=bool(content.verdicts),
        sections=sections,
    )


def _draw(
    content: SessionContent, key: str, title: str, draw: Callable[[SessionContent], Iterator[Figure]]
) -> Section:
    """Draw a part; one that fails says so in its place: a file of strangers may hold anything."""
    figures: list[Figure] = []
    try:
        figures.extend(draw(content))
    except (NwbpipeError, OSError, MemoryError):
        raise  # a commit of another process may be the cause
    except Exception as error:
        text = show_text(f"{type(error).__name__}: {error}")[:400]
        figures.append(Figure("The rest of this part can't be drawn", Markup("<p>{}</p>").format(text)))
    return Section(key, title, figures)
