"""The pages of docs/ are true: what they mark as runnable runs, and shows what they show.

A fenced block is run where its first line says so::

    ```console runnable     commands after "$ ", each with the output that follows it
    ```python runnable      a script
    ```yaml file=NAME       (any language) written to NAME, for the blocks that follow

The blocks of a page run in order, in one folder that holds a simulated session (see conftest). In shown output
"…" stands for anything. A command whose output is an error must end with that error's exit code.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nwbpipe import errors
from tests.docs import forked

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
CODES = {
    one.code: one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.NwbpipeError)
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def file(self) -> str | None:
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)

    @property
    def runnable(self) -> bool:
        return "runnable" in self.words


def blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    start: int | None = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
            continue
        language, *words = lines[start][3:].split() or [""]
        yield Block(language, tuple(words), "\n".join(lines[start + 1 : number]) + "\n", start + 1)
        start = None
    assert start is None, f"{page}: the block at line {start} is not closed"


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the output that it is said to print."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output.strip()


def run(words: list[str], folder: Path) -> tuple[int, str]:
    here = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}
    environment["NWBPIPE_TOOLS"] = str(folder / "tools")  # a page must not touch the tools that are installed
    if words[0] in ("nwbpipe", sys.executable):
        return forked.run(words, folder, environment)
    done = subprocess.run(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
    )
    return done.returncode, done.stdout.strip()


def matches(shown: str, printed: str) -> bool:
    pattern = re.escape(shown).replace(re.escape("…"), ".*")
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


def check_command(command: str, shown: str, folder: Path, where: str) -> None:
    code, printed = run(shlex.split(command), folder)
    expected = 0
    if found := re.match(r"error (NP\d{3})", shown):
        expected = CODES[found[1]].exit_code
    assert code == expected, f"{where}: {command!r} ended with {code}:\n{printed}"
    assert matches(shown, printed), f"{where}: {command!r} is said to print\n{shown}\nand prints\n{printed}"


RUNNABLE = [page for page in PAGES if any(block.runnable for block in blocks(page))]


# Those that take a minute are left to `make test-long`.
CLUSTER = "how-do-i-use-our-cluster.md"  # by `make test-slurm`
LONG = ("how-do-i-process-photometry.md", "how-do-i-sort-spikes.md", "how-good-is-my-scan.md", "tutorial.md")


_MARKS = {name: (pytest.mark.long, pytest.mark.timeout(1800)) for name in LONG} | {CLUSTER: (pytest.mark.slurm,)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=_MARKS.get(page.name, ())) for page in RUNNABLE],
    ids=lambda page: page.relative_to(DOCS).as_posix(),
)
def test_a_page_runs(page: Path, page_folder: Path, request: pytest.FixtureRequest) -> None:
    if page.name == CLUSTER:
        request.getfixturevalue("slurm")
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        if block.file:
            target = page_folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.runnable and block.language == "console":
            for command, shown in commands(block):
                check_command(command, shown, page_folder, where)
        elif block.runnable:
            script = page_folder / "block.py"
            script.write_text(block.text, encoding="utf-8")
            code, printed = run([sys.executable, script.name], page_folder)
            assert code == 0, f"{where} ended with {code}:\n{printed}"


def test_pages_are_run() -> None:
    assert len(RUNNABLE) >= 5


def test_output_that_differs_is_seen() -> None:
    assert matches("a … c", "a b\nb c")
    assert not matches("a … c", "a b d")
    assert not matches("", "something")


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    for page in PAGES:
        name = page.relative_to(DOCS).as_posix()
        assert name == "index.md" or f"({name})" in index, f"docs/index.md does not lead to {name}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "README.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target} is not there"


def test_every_error_is_explained_as_the_code_says() -> None:
    text = (DOCS / "what-do-the-errors-mean.md").read_text(encoding="utf-8")
    rows = {
        code: (name, int(exit_code), meaning)
        for code, name, exit_code, meaning in re.findall(
            r"^\| (NP\d{3}) \| `(\w+)` \| (\d) \| (.+?) \| .+ \|$", text, flags=re.MULTILINE
        )
    }
    for code, one in CODES.items():
        if code == "NP000":
            continue  # what was not foreseen: in the text
        assert one.__doc__
        meaning = one.__doc__.strip().splitlines()[0]
        assert rows.get(code) == (one.__name__, one.exit_code, meaning), (
            f"the row of {code} is missing or out of date"
        )
    assert set(rows) == set(CODES) - {"NP000"}


def test_messages_name_commands_that_exist() -> None:
    """No hint in the code, and no page, tells the user to run a command that is not there."""
    from typer.main import get_command

    from nwbpipe.cli._main import app

    root = get_command(app)
    verbs: dict[str, set[str]] = {}
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        parts = getattr(command, "commands", {"": command})
        options = {option for part in parts.values() for one in part.params for option in one.opts}
        verbs[name] = options | set(parts)
    files = [*PAGES, *(ROOT / "src").rglob("*.py"), ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines():
            for verb, rest in re.findall(r"(?:[`\"$] ?|hint=.*: )nwbpipe ([a-z]+)\b([^`\"')]*)", line):
                assert verb in verbs, f"{path.name}: `nwbpipe {verb}` does not exist: {line.strip()}"
                for option in re.findall(r"(?<!\S)--[a-z-]+", rest):
                    assert option in verbs[verb] | {"--debug", "--help"}, f"{path.name}: {verb} has no {option}"
