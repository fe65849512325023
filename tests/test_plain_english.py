"""The code keeps to plain English: verbs for functions, names that name the thing, docstrings without riddles."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plain_english import (
    Report,
    count_by_room,
    count_file,
    count_folders,
    is_odd_message,
    is_participle,
    is_riddle,
)

SOURCE = Path(__file__).resolve().parents[1] / "src"

#: Percent of functions, assigned names, docstrings and texts.
LEVEL = {"participles": 1.0, "vague names": 0.5, "riddles": 0.5, "odd messages": 0.0}
#: Rooms without a place that is not plain English.
PLAIN_ROOMS = (
    *("errors", "extensions", "nwb_builders", "provenance", "simulate", "demo", "project"),
    *("engine", "session_file", "_old_names"),
)

#: Names of public attributes, and names that another library asks for.
EXCEPTIONS = frozenset(
    {
        "demo/_report.py:DemoScore.found",
        "demo/_report.py:DemoScore.passed",
        "demo/_report.py:_ScoredReport.passed",
        "errors.py:Problem.found",
        "errors.py:Problem.what",
        "errors.py:Problem.where",
        "project/execute/_run_options.py:RunSummary.done",
        "provenance/_alignments.py:AlignmentRecord.accepted",
        "provenance/_records.py:RunRecord.superseded",
    }
)


@pytest.fixture(scope="module")
def report() -> Report:
    return count_folders(SOURCE / "nwbpipe", SOURCE / "nwbpipe_kit", exceptions=EXCEPTIONS)


@pytest.mark.parametrize("kind", LEVEL)
def test_the_package_keeps_its_level(kind: str, report: Report) -> None:
    counts = report.kinds()[kind]
    assert counts.percent <= LEVEL[kind], f"{kind}: {counts.percent:.2f} % > {LEVEL[kind]} %:\n" + "\n".join(
        counts.places
    )


@pytest.mark.parametrize("kind", LEVEL)
def test_finished_rooms_are_plain(kind: str, report: Report) -> None:
    rooms = count_by_room(report.kinds()[kind])
    assert {room: rooms[room] for room in PLAIN_ROOMS if rooms[room]} == {}


def test_every_exception_is_needed(report: Report) -> None:
    assert report.unused_exceptions == set()


@pytest.mark.parametrize("name", ["loaded", "_known_settings", "found", "made_by", "renamed"])
def test_participles(name: str) -> None:
    assert is_participle(name)


@pytest.mark.parametrize(
    "name", ["embed", "feed", "need_lock", "seed", "speed_up", "read", "set_sources", "put_file", "load", "_redraw"]
)
def test_verbs(name: str) -> None:
    assert not is_participle(name)


@pytest.mark.parametrize("docstring", ["Whether it is one.", "What is known.", "How, and why."])
def test_riddles(docstring: str) -> None:
    assert is_riddle(docstring)


@pytest.mark.parametrize("docstring", ["Return True if it is one.", "Whatever", "Whole files.", "Iffy names."])
def test_no_riddles(docstring: str) -> None:
    assert not is_riddle(docstring)


@pytest.mark.parametrize(
    "text",
    ["the source is no mapping", "the table has not the columns", "what is named as the checkout is none", "mend it"],
)
def test_odd_messages(text: str) -> None:
    assert is_odd_message(text)


@pytest.mark.parametrize("text", ["there is no tool 'x'", "it is no longer than a frame", "the file does not exist"])
def test_plain_messages(text: str) -> None:
    assert not is_odd_message(text)


def test_every_kind_is_counted_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "code.py"
    path.write_text(
        '"""A module."""\n'
        "class Box:\n"
        "    def opened(self):\n"
        '        """Whether it is open."""\n'
        "        def told():\n"
        "            one = [name for other in self for name in other]\n"
        '            return f"{one} is no box"\n'
        "        return told\n"
    )
    report = Report()
    count_file(path, report, frozenset({"code.py:Box.opened.told.other"}), "code.py")
    assert {kind: (counts.total, counts.places) for kind, counts in report.kinds().items()} == {
        "participles": (2, ["code.py:3 Box.opened", "code.py:5 Box.opened.told"]),
        "vague names": (3, ["code.py:6 Box.opened.told.one"]),
        "riddles": (2, ["code.py:3 Box.opened"]),
        "odd messages": (1, ["code.py:7  is no box"]),
    }
