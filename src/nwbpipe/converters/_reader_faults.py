"""Say what to do about readers that fail on a file, or read nothing of it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nwbpipe.errors import SourceError


def hint_at_fault(error: Exception, interface: str, files: Iterable[Path]) -> str:
    """Return the next step after an error out of a reader."""
    if isinstance(error, AttributeError | NameError | NotImplementedError):  # no file makes a name go missing
        return (
            f"this looks like a fault of {interface} itself (NeuroConv {version('neuroconv')}): report it at "
            "https://github.com/catalystneuro/neuroconv/issues, with the file if you can"
        )
    parts = _list_probes(files) if interface.startswith("SpikeGLX") and isinstance(error, LookupError) else ""
    if parts:
        return f"neo {version('neo')} may not know the probe {parts}: a later version of neo may, or report it there"
    return "check that the file is whole and of that format, and that the arguments are right"


def _list_probes(files: Iterable[Path]) -> str:
    """Return the part numbers of the probes in the .meta files of SpikeGLX."""
    metas = [meta for path in files for meta in (path.rglob("*.meta") if path.is_dir() else [path])]
    parts = {
        line.partition("=")[2].strip()
        for meta in metas
        if meta.suffix == ".meta"
        for line in meta.read_text("utf-8", "replace").splitlines()
        if line.startswith("imDatPrb_pn=")
    }
    return ", ".join(sorted(parts))


def refuse_empty(interface: Any, where: str) -> None:
    """Refuse a recording without a sample, which its writer would fail on.

    Raises
    ------
    SourceError
    """
    recording = getattr(interface, "recording_extractor", None)
    if recording is None or not hasattr(recording, "get_num_segments"):
        return
    if not sum(recording.get_num_samples(segment) for segment in range(recording.get_num_segments())):
        hint = "check that the file is whole, or leave the source out"
        raise SourceError("the recording holds no samples", where=where, expected="one or more", found="0", hint=hint)
