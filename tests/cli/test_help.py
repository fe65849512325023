"""``nwbpipe help``: pages by the words of their titles, and verbs."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from nwbpipe.cli import main

DOCS = Path(__file__).resolve().parents[2] / "docs"


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as ending:
        main(["help", *words])
    assert ending.value.code in (0, None)


def test_all_pages_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    run()
    shown = capsys.readouterr().out
    for page in DOCS.glob("how-*.md"):
        assert page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") in shown


def test_a_page_is_shown_by_a_word_of_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    run("Clocks")
    assert capsys.readouterr().out.strip() == (DOCS / "how-do-clocks-work.md").read_text(encoding="utf-8").strip()


def test_the_options_of_a_verb_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    run("status")
    assert "--why" in capsys.readouterr().out


def test_less_shows_a_page_in_colours(tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if name not in {"LESS", "MANPAGER"}}
    variables |= {"TERM": "xterm", "PAGER": f'cat > "{tmp_path}/page"; echo "$LESS" > "{tmp_path}/less"'}
    ours, terminal = pty.openpty()
    try:
        command = [sys.executable, "-m", "nwbpipe", "help", "clocks"]
        subprocess.run(command, env=variables, stdin=terminal, stdout=terminal, check=True, timeout=60)
    finally:
        os.close(ours)
        os.close(terminal)
    assert "\x1b[" in (tmp_path / "page").read_text(encoding="utf-8")
    assert "R" in (tmp_path / "less").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [("write", "write a processor"), ("procesor", "did you mean 'processor'"), ("xylophone", "`nwbpipe help`")],
)
def test_words_that_name_no_page(words: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        main(["help", words])
    assert ending.value.code == 2
    assert says in capsys.readouterr().err


def test_the_shell_completes_a_verb() -> None:
    """By the script that ``--install-completion`` writes, which calls nwbpipe with these variables."""
    variables = {**os.environ, "_NWBPIPE_COMPLETE": "complete_bash", "COMP_WORDS": "nwbpipe exp", "COMP_CWORD": "1"}
    code = "import sys; sys.argv = ['nwbpipe']; from nwbpipe.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[:1] == ["export"], done.stderr
