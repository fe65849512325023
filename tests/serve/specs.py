"""Projects whose sessions are specs: quick to read, never converted."""

from __future__ import annotations

from pathlib import Path

PROJECT = """\
nwbpipe = 1
[project]
name = "lab"
sessions = "raw://**/session.yaml"
output = "nwb://{subject_id}_{session_id}.nwb"
[stores]
raw = "raw"
nwb = "nwb"
state = "state"
"""
SPEC = """\
# The first session.
nwbpipe: 1
extends: [../lab.yaml, ../m1.yaml]
session:
  session_id: s1   # of the day
  session_start_time: 2024-05-01T10:00:00-04:00
  session_description: A session.
  notes:
  - text: calm   # until noon

# what was recorded
sources:
  trials: {interface: CsvTimeIntervalsInterface, args: {file_path: trials.csv}}
"""
SUBJECT = """\
subject:
  subject_id: m1   # ear tag 7
  species: Mus musculus
  sex: F
  surgeries:
  - procedure: craniotomy   # by R
    date: 2024-04-01
  - procedure: implantation
    date: 2024-04-08
"""
LAB = "session: {lab: Lab X}\ndevices:\n  scope: {description: A microscope.}\n"


def write_spec_project(folder: Path) -> Path:
    """Write a project of two sessions of one subject; return the spec of the first."""
    for name in ("a", "b"):
        (folder / "raw" / name).mkdir(parents=True)
        (folder / "raw" / name / "trials.csv").write_text("start_time,stop_time\n0,1\n")
    (folder / "nwbpipe.toml").write_text(PROJECT)
    (folder / "raw" / "lab.yaml").write_text(LAB)
    (folder / "raw" / "m1.yaml").write_text(SUBJECT)
    (folder / "raw" / "a" / "session.yaml").write_text(SPEC)
    (folder / "raw" / "b" / "session.yaml").write_text(SPEC.replace("session_id: s1", "session_id: s2"))
    return folder / "raw" / "a" / "session.yaml"
