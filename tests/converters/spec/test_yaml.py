"""Reading YAML as texts."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwbpipe.converters.spec._yaml import MAX_NODES, YamlScalar, merge, read_document, read_yaml
from nwbpipe.errors import Problem, SpecError


def read(tmp_path: Path, text: str | bytes, problems: list[Problem] | None = None):
    file = tmp_path / "a.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(file, problems if problems is not None else [])


@pytest.mark.parametrize("text", ["2024-05-01", "042", "N", "yes", "off", "1e3", "0x10", "1_000", "12:30:45", ".5"])
def test_scalars_stay_as_they_were_written(tmp_path, text):
    value = read(tmp_path, f"key: {text}\n")["key"]
    assert isinstance(value, YamlScalar)
    assert value == text
    assert value.plain


def test_quoted_scalars_are_told_apart(tmp_path):
    assert not read(tmp_path, "key: '7'\n")["key"].plain


def test_places_are_kept(tmp_path):
    tree = read(tmp_path, "a: 1\nb:\n  c: 2\n")
    assert tree["b"].marks["c"].line == 3
    assert tree["b"]["c"].mark.line == 3


def test_duplicate_keys_are_named_with_both_lines(tmp_path):
    problems: list[Problem] = []
    tree = read(tmp_path, "a: 1\nb: 2\na: 3\n", problems)
    assert tree["a"] == "1"
    assert "line 3" in problems[0].where
    assert "line 1" in problems[0].found


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['x']", "!own x", "!!str 3", "!!binary aGk="])
def test_tags_are_refused(tmp_path, tag):
    problems: list[Problem] = []
    read(tmp_path, f"a: {tag}\n", problems)
    assert [problem.what for problem in problems] == ["YAML tags are not allowed"]


def test_null_characters_are_refused_in_keys_and_values(tmp_path):
    problems: list[Problem] = []
    read(tmp_path, 'devices:\n  "a\\0": {description: x}\nlist:\n- "b\\0"\n', problems)
    assert [problem.where.rpartition(", ")[2] for problem in problems] == ["line 2", "line 4"]
    assert [problem.found for problem in problems] == [r"'a\x00'", r"'b\x00'"]
    assert all(problem.hint for problem in problems)


def test_merge_keys_are_refused(tmp_path):
    problems: list[Problem] = []
    read(tmp_path, "base: &b {x: 1}\nother: {<<: *b}\n", problems)
    assert "merge keys" in problems[0].what


def test_an_alias_bomb_is_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(SpecError, match="more values"):
        read(tmp_path, "\n".join(lines))


def test_deep_nesting_is_refused(tmp_path):
    with pytest.raises(SpecError):
        read(tmp_path, "a: " + "[" * 5000 + "]" * 5000)


def test_a_file_that_contains_itself_is_refused(tmp_path):
    with pytest.raises(SpecError):
        read(tmp_path, "a: &a [*a]\n")


@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"a: [1", b"- a\n- b\n", b"a: b: c", b"\x00"])
def test_what_is_no_mapping_in_yaml_is_refused(tmp_path, text):
    with pytest.raises(SpecError):
        read(tmp_path, text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("y") / "a.yaml"
    file.write_text(text, encoding="utf-8", errors="replace")
    with contextlib.suppress(SpecError):
        read_yaml(file, [])


def test_extends_merges_deeply_and_later_files_win(tmp_path):
    lab, session = tmp_path / "lab.yaml", tmp_path / "s" / "session.yaml"
    session.parent.mkdir()
    lab.write_text("session: {lab: A, institution: I}\nmetadata: {keywords: [a, b]}\n")
    (tmp_path / "mouse.yaml").write_text("subject: {sex: F}\nsession: {lab: B}\n")
    session.write_text(
        "extends: [../lab.yaml, ../mouse.yaml]\nsession: {institution: J}\nmetadata: {keywords: [c]}\n"
    )
    document = read_document(session, tmp_path)
    assert document.problems == []
    assert document.tree["session"] == {"lab": "B", "institution": "J"}
    assert document.tree["metadata"]["keywords"] == ["c"]
    assert document.tree["session"].marks["lab"].file.name == "mouse.yaml"
    assert "extends" not in document.tree


def test_extends_outside_the_root_is_refused_even_by_a_link(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "secret.yaml"
    root.mkdir()
    outside.write_text("session: {lab: stolen}\n")
    (root / "link.yaml").symlink_to(outside)
    (root / "s.yaml").write_text("extends: [../secret.yaml, link.yaml, /etc/hostname]\n")
    document = read_document(root / "s.yaml", root)
    assert len(document.problems) == 3
    assert all("outside" in problem.what for problem in document.problems)
    assert "session" not in document.tree


def test_circles_are_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    document = read_document(tmp_path / "a.yaml", tmp_path)
    assert "itself" in document.problems[0].what


def test_a_diamond_is_no_circle(tmp_path):
    (tmp_path / "top.yaml").write_text("a: 1\n")
    (tmp_path / "l.yaml").write_text("extends: top.yaml\n")
    (tmp_path / "r.yaml").write_text("extends: top.yaml\n")
    (tmp_path / "s.yaml").write_text("extends: [l.yaml, r.yaml]\n")
    document = read_document(tmp_path / "s.yaml", tmp_path)
    assert document.problems == []
    assert document.tree == {"a": "1"}


def test_merge_replaces_what_is_no_mapping():
    assert merge(["a"], ["b"]) == ["b"]
    assert MAX_NODES > 1000
