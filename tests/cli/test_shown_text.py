"""Text from elsewhere is shown as text: no escape sequence reaches the terminal, no name forges a line."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from nwbpipe.cli._echo import ShownFormatter, echo, echo_address
from nwbpipe.converters.spec._model import SubjectSpec
from nwbpipe.errors import InputError, Problem, show_text

EVIL = {
    "escape": "\x1b]0;OWNED\x07",
    "C1": "\x9b31m",
    "bidi": "a\u202egnp.exe",
    "zero width": "a\u200bb",
    "line": "a\nerror NP000",
    "return": "a\rb",
    "separator": "a\u2028b",
    "BOM": "\ufeffa",
    "surrogate": "a\udc80",
}


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_what_shows_nothing_is_escaped(text: str) -> None:
    shown = show_text(text)
    assert shown.isprintable()
    assert "\\" in shown


def test_what_people_write_stays() -> None:
    for text in ("Müller 2024", "10\u00a0µm", "東京", "α→β", "it's 5 °C", ""):
        assert show_text(text) == text


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_an_error_can_not_be_forged(text: str) -> None:
    error = InputError(f"what {text}", where=text, found=text, problems=[Problem(text, where=text)])
    assert all(line.isprintable() for line in str(error).split("\n"))
    assert not re.search(r"^(error|  next)", str(error), re.M)


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_a_line_and_a_log_message_stay_what_they_are(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    echo(f"step {text}")
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.removesuffix("\n").isprintable()
    message = ShownFormatter().format(logging.LogRecord("x", logging.WARNING, "x", 1, "raw: %s", (text,), None))
    assert all(line.isprintable() for line in message.split("\n"))
    assert not message.partition("\n")[2].startswith("error")


@pytest.mark.parametrize("value", [*EVIL.values(), ".hidden", "a" * 81, "a/b", "..", " a", ""])
def test_an_id_that_no_file_name_bears_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="subject_id"):
        SubjectSpec.model_validate({"subject_id": value, "species": "Mus musculus", "sex": "F", "age": "P90D"})


def test_an_address_keeps_its_query_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    echo_address("http://127.0.0.1:8/?token=a%2Fb&\x1b[2J\u202e\n[::1]")
    assert capsys.readouterr().out == "http://127.0.0.1:8/?token=a%2Fb&%1B[2J%E2%80%AE%0A[::1]\n"


def test_the_command_line_writes_through_one_function() -> None:
    """`typer.echo` is for JSON and generated files: what is shown to a person goes through `echo`."""
    folder = Path(echo.__code__.co_filename).parent
    allowed = re.compile(r'typer\.echo\((json\.dumps|opened\.job_scripts|dockerfile_of|"\\n"\.join\(_find)')
    for path in sorted(folder.glob("*.py")):
        if path.name == "_echo.py":
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            if "typer.echo(" in line:
                assert allowed.search(line), f"{path.name}: {line.strip()}"
