"""Marks that a person has not filled in are named, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from nwbpipe.converters import check_draft, load_spec, summarize_spec
from nwbpipe.errors import SpecError
from tests.converters import raw

SPEC = """\
nwbpipe: 1
subject: {subject_id: m1, species: FILL IN, sex: FILL IN, age: P90D}
session:
  session_id: s1
  session_start_time: 2024-05-01T10:00:00 FILL IN   # the time zone
  session_description: "Rats FILL IN forms."
sources:
  movie:
    interface: TiffImagingInterface
    args:
      file_path: movie.tif
      sampling_frequency: FILL IN   # Hz
  body: {interface: NoInterface, args: {file_paths: [body.avi]}}
clocks:
  body: {align: start, offset_s: FILL IN}
"""


@pytest.mark.parametrize("check", [load_spec, check_draft])
def test_each_mark_is_named_once_with_its_line(folder: Path, check: object) -> None:
    spec = folder / "session.yaml"
    spec.write_text(SPEC)
    with pytest.raises(SpecError) as caught:
        check(spec)  # type: ignore[operator]
    problems = {str(problem.where).partition("session.yaml, ")[2]: problem for problem in caught.value.problems}
    places = {
        "line 2: subject.species",
        "line 2: subject.sex",
        "line 5: session.session_start_time",
        "line 12: sources.movie.args.sampling_frequency",
        "line 15: clocks.body.offset_s",
    }
    marked = {place for place, problem in problems.items() if problem.found == "FILL IN"}
    assert marked == places
    # What else is wrong is said, too; nothing is said twice.
    assert set(problems) - marked == {"line 13: sources.body.interface"}
    assert len(caught.value.problems) == len(problems)


def test_a_text_that_only_holds_the_words_is_no_mark(folder: Path) -> None:
    spec = raw.write_spec(folder, {"trials": raw.trials()})
    spec.write_text(spec.read_text().replace("A test", "FILL IN the form"))
    load_spec(spec)


def test_a_session_without_its_ids_has_no_key(folder: Path) -> None:
    spec = raw.write_spec(folder, {"trials": raw.trials()})
    spec.write_text(spec.read_text().replace("subject_id: M042", "subject_id: FILL IN"))
    assert "FILL IN" in spec.read_text()
    with pytest.raises(SpecError, match="subject_id"):
        summarize_spec(spec)
