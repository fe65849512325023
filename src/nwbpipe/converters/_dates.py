"""Check a subject's dates and age against each other and against the session's start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta

from nwbpipe.converters.spec._entities import Implant, Injection, Insertion, Surgery
from nwbpipe.converters.spec._model import SubjectSpec
from nwbpipe.errors import Problem
from nwbpipe.validation import read_age


def check_dates(
    subject: SubjectSpec, start: datetime, insertions: Mapping[str, Insertion] | None = None
) -> list[Problem]:
    """Return the contradictions between a subject's date of birth, age and procedures, and the session's start."""
    return [*_check_birth(subject, start), *_check_procedures(subject, start, insertions or {})]


def _check_birth(subject: SubjectSpec, start: datetime) -> Iterator[Problem]:
    birth = subject.date_of_birth
    if birth is None:
        return
    days = (start - birth) / timedelta(days=1)
    if days < 0:
        text = f"{birth.isoformat()}, {-days:.0f} days later"
        yield Problem("the subject was born after the session", "subject.date_of_birth", f"before {start}", text)
        return
    if subject.age is None or subject.age__reference == "gestational":
        return
    low, high = read_age(subject.age)
    if not low - 1 <= days <= high + 1:
        yield Problem(
            "the age is not the time from birth to the session",
            "subject.age",
            f"about P{days:.0f}D: from {birth.date()} to {start.date()}",
            subject.age,
            "correct one of age, date_of_birth and session_start_time, or leave age out",
        )


def _check_procedures(
    subject: SubjectSpec, start: datetime, insertions: Mapping[str, Insertion]
) -> Iterator[Problem]:
    procedures: list[tuple[str, Surgery | Injection | Implant | Insertion]] = [
        *((f"subject.surgeries.{index}", entry) for index, entry in enumerate(subject.surgeries)),
        *((f"subject.injections.{index}", entry) for index, entry in enumerate(subject.injections)),
        *((f"subject.implants.{index}", entry) for index, entry in enumerate(subject.implants)),
        *((f"insertions.{name}", entry) for name, entry in insertions.items()),
    ]
    for section, entry in procedures:
        if entry.date is None:
            continue
        day, where = date.fromisoformat(entry.date), f"{section}.date"
        if day > start.date() + timedelta(days=1):  # a day may be another one elsewhere
            yield Problem("it was done after the session", where, f"until {start.date()}", entry.date)
        elif subject.date_of_birth is not None and day < subject.date_of_birth.date() - timedelta(days=1):
            birth = subject.date_of_birth.date()
            yield Problem("it was done before the subject's birth", where, f"from {birth} on", entry.date)
