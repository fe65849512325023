"""Changing values of a YAML file: everything else keeps its lines, comments and quotes."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
import yaml

from nwbpipe.errors import RequestError
from nwbpipe.serve._yaml_edit import Change, edit_yaml

SPEC = """\
# head
nwbpipe: 1   # version

subject: {subject_id: 042, species: Mus musculus,  sex: F}   # a mouse
session:
  session_id: 2024-05-01   # the day
  weird: ~
  lab: X   # our lab
  experimenter: ["Doe, Jane"]

# what was recorded
sources:
  rig: {interface: A,   args: {a:  1}}
surgeries:
- procedure: one   # first
  date: 2024-01-01
- procedure: two
# end
"""
ORDER = ("session_id", "lab", "institution", "experimenter")


def edit(*changes: Change, text: str = SPEC) -> list[str]:
    """Return the lines that changed: those that went with a minus, those that came with a plus."""
    old, new = text.splitlines(), edit_yaml(text.encode(), changes).decode().splitlines()
    return [f"-{line}" for line in old if line not in new] + [f"+{line}" for line in new if line not in old]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (Change(("session", "lab"), "Y"), ["-  lab: X   # our lab", "+  lab: Y   # our lab"]),
        (Change(("session", "institution"), "I: J", ORDER), ["+  institution: 'I: J'"]),
        (Change(("session", "zzz"), "null"), ["+  zzz: 'null'"]),
        (Change(("session", "weird"), None), ["-  weird: ~"]),
        (
            Change(("session", "experimenter"), ["Doe, Jane", "R"]),
            ['-  experimenter: ["Doe, Jane"]', '+  experimenter: ["Doe, Jane", R]'],
        ),
        (Change(("surgeries", 0, "date"), "2024-02-02"), ["-  date: 2024-01-01", "+  date: 2024-02-02"]),
        (Change(("surgeries", 1), None), ["-- procedure: two"]),
        (Change(("surgeries", 2), {"procedure": "0042"}), ["+- procedure: 0042"]),
        (Change(("devices", "scope"), {"description": "a b"}), ["+devices:", "+  scope:", "+    description: a b"]),
    ],
)
def test_one_value_changes_its_own_line(change: Change, expected: list[str]) -> None:
    assert edit(change) == expected


NOTES = """\
---
# the lab's
session:
    description: a long
        text   # of us
    lab: "another
        one"
    experimenter:
      - "Doe, J"   # left in May
      # since June
      - Roe, R
    dyes:
        red:   DiI   # old
        blue: DAPI
subject: {sex:  F,   age: P9D}   # one line
devices:
  scope:   {a: 1}

...
"""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (Change(("subject", "sex"), "M"), ["-subject: {sex:  F,   age: P9D}   # one line"]),
        (Change(("devices", "scope", "a"), "2"), ["-  scope:   {a: 1}", "+  scope: {a: 2}"]),
        (Change(("devices", "rig"), {"b": "c"}), ["+  rig:", "+    b: c"]),
        (Change(("session", "experimenter"), ["Doe, J", "Roe, R", "New, N"]), ["+      - New, N"]),
        (Change(("session", "experimenter"), ["New, N", "Doe, J", "Roe, R"]), ["+      - New, N"]),
        (Change(("session", "experimenter"), ["Doe, J", "Poe, P"]), ["-      - Roe, R", "+      - Poe, P"]),
        (Change(("session", "experimenter"), ["Doe, J"]), ["-      - Roe, R"]),
        (Change(("session", "dyes"), {"red": "DiI", "blue": "X"}), ["-        blue: DAPI", "+        blue: X"]),
        (Change(("session", "dyes"), {"red": "DiI", "blue": "DAPI", "a": "b"}), ["+        a: b"]),
        (Change(("new",), "x"), ["+new: x"]),
    ],
)
def test_lines_that_a_dumper_would_write_otherwise_stay(change: Change, expected: list[str]) -> None:
    for text in (NOTES, NOTES.replace("\n", "\r\n")):
        assert edit(change, text=text)[: len(expected)] == expected
        assert len(edit(change, text=text)) <= 2


def test_each_line_keeps_its_own_end() -> None:
    data = b"a:\r\n  b: 1\nc: 2 # \x0b\xc2\x85\nd: 3\r\n".replace(b"\x0b\xc2\x85", b"\xe2\x80\xa8")
    assert edit_yaml(data, [Change(("a", "b"), "4")]) == data.replace(b"b: 1", b"b: 4")
    assert edit_yaml(b"a: 1\r\nb: 2", [Change(("c",), "3")]) == b"a: 1\r\nb: 2\r\nc: 3\r\n"


def test_a_long_text_of_many_aliases_is_held_once() -> None:
    text = f"a: &x {'x' * 10_000}\nb: [{', '.join(['*x'] * 1000)}]\nc: 1\n"
    tracemalloc.start()
    try:
        edit_yaml(text.encode(), [Change(("c",), "2")])
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_new_key_stands_before_the_comment_of_what_follows() -> None:
    lines = edit_yaml(SPEC.encode(), [Change(("session", "zzz"), "new")]).decode().splitlines()
    assert lines.index("  zzz: new") == lines.index('  experimenter: ["Doe, Jane"]') + 1
    lines = edit_yaml(SPEC.encode(), [Change(("session", "institution"), "I", ORDER)]).decode().splitlines()
    assert lines.index("  institution: I") == lines.index("  lab: X   # our lab") + 1


def test_a_mapping_in_one_line_stays_in_one() -> None:
    (gone, new) = edit(Change(("subject", "weight"), "23 g"))
    assert gone.startswith("-subject: {")
    assert new == "+subject: {subject_id: 042, species: Mus musculus, sex: F, weight: 23 g} # a mouse"


def test_lines_of_a_text_stay_lines() -> None:
    new = edit_yaml(SPEC.encode(), [Change(("session", "lab"), "one\ntwo: 2")])
    assert yaml.safe_load(new)["session"]["lab"] == "one\ntwo: 2"
    assert b"    one\n    two: 2\n" in new


def test_bytes_at_the_ends_stay() -> None:
    data = b"\xef\xbb\xbfa:\r\n  b: 1 # \xc3\xa4\r\n"
    assert edit_yaml(data, [Change(("a", "c"), "2")]) == data + b"  c: 2\r\n"
    assert edit_yaml(b"", [Change(("a", "b"), "c")]) == b"a:\n  b: c\n"
    assert edit_yaml(b"a:\n", [Change(("a", "b"), "c")]) == b"a:\n  b: c\n"


@pytest.mark.parametrize(
    "text",
    [
        "a: &x {b: 1}\nc: *x\n",
        "a: [b\n",
        "a: {b: 1, b: 2}\n",
        "a:\n\tb: 1\n",
        "a: {b: 1}\rc: 2\r",
        "a: {b: \udcff}\n",
    ],
    ids=["alias", "flow", "twice", "tab", "CR", "bytes"],
)
def test_what_can_not_be_changed_alone_is_refused(text: str) -> None:
    with pytest.raises(RequestError):
        edit_yaml(text.encode(errors="surrogateescape"), [Change(("a", "b"), "2")])


def test_random_specs_change_in_one_value_alone() -> None:
    from hypothesis import given, settings
    from hypothesis import strategies as st

    names = st.sampled_from(["a", "b", "c", "yes", "0", "x y"])
    texts = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F), max_size=12) | st.sampled_from(
        [
            "~",
            "null",
            "",
            "- x",
            "# no",
            "a: b",
            "0042",
            "2024-05-01",
            "one\ntwo",
            "'",
            "|",
            "&x",
            "*x",
            "!t",
            "{",
            "]",
        ]
    )
    values = st.recursive(
        texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
    )

    @settings(max_examples=10, deadline=None, database=None, derandomize=True)
    @given(st.dictionaries(names, values, min_size=1, max_size=4), texts, st.booleans())
    def check(tree: dict[str, Any], text: str, flow: bool) -> None:
        data = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True, sort_keys=False).encode()
        before = yaml.load(data, Loader=yaml.BaseLoader)
        after = yaml.load(edit_yaml(data, [Change(("new",), text)]), Loader=yaml.BaseLoader)
        assert after == {**before, "new": text}

    check()
