"""Makes an empty session file, writes it, and holds it to the validator and the inspector."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pynwb import NWBHDF5IO, NWBFile, validate
from pynwb.file import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator


def empty_nwbfile() -> NWBFile:
    """A session file with nothing but its subject."""
    return NWBFile(
        session_description="a test",
        identifier="3f7c5a1e-0000-4000-8000-000000000000",
        session_start_time=datetime(2024, 5, 1, 10, tzinfo=UTC),
        subject=Subject(subject_id="M042", species="Mus musculus", sex="F", age="P90D"),
    )


@contextmanager
def written(nwbfile: NWBFile, path: Path) -> Iterator[Any]:
    """Write, check, and open again."""
    from nwbinspector import Importance, inspect_nwbfile

    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    assert validate(path=str(path)) == []
    messages = inspect_nwbfile(nwbfile_path=path, skip_validate=True)  # it has been validated
    found = [m for m in messages if m.importance.value >= Importance.CRITICAL.value]
    assert found == []
    with NWBHDF5IO(path, "r") as io:
        yield io.read()
