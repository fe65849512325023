"""What an examination of the machine, a tool or a project found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Severity of a finding."""

    FINE = "ok"
    NOTE = "note"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Parameters
    ----------
    about : str
        Name of the tool, or "machine", "folders", "packages", "project", "stores".
    verdict : Severity
    text : str
        The finding; for a fault also the next step.
    """

    about: str
    verdict: Severity
    text: str
