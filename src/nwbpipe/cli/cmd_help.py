"""``nwbpipe help``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._pages import find_pages, read_title


def show_help(
    context: typer.Context,
    topic: Annotated[
        list[str] | None, typer.Argument(metavar="[TOPIC...]", help="A verb, or words of a page's title.")
    ] = None,
) -> None:
    """Show a page of the documentation, or the options of a verb; without a topic, list them."""
    pages = find_pages()
    words = [word.lower() for word in topic or ()]
    if not words:
        echo("`nwbpipe help VERB` shows the options of a verb, `nwbpipe help WORD` the page with it in its title:")
        for page in pages:
            echo(f"  {read_title(page)}")
        return
    commands = context.find_root().command
    if len(words) == 1 and isinstance(commands, typer.core.TyperGroup) and words[0] in commands.commands:
        with typer.Context(commands.commands[words[0]], info_name=words[0], parent=context.find_root()) as inner:
            echo(inner.get_help(), lines=True)
        return
    _show_page(_choose_page(pages, words))


def _choose_page(pages: list[Path], words: list[str]) -> Path:
    from nwbpipe.errors import UnknownNameError, suggest_names

    fitting = [page for page in pages if all(word in read_title(page).lower() for word in words)]
    if len(fitting) == 1:
        return fitting[0]
    msg = f"{len(fitting) or 'no'} pages have these words in their titles"
    titles = [read_title(page) for page in fitting or pages]
    words_known = {word for title in titles for word in title.lower().strip("?").split()}
    hint = (
        "give one more word" if fitting else suggest_names(words[0], words_known) or "`nwbpipe help` lists the pages"
    )
    raise UnknownNameError(msg, expected="; ".join(titles), found=" ".join(words), hint=hint)


def _show_page(page: Path) -> None:
    """Show a page: formatted and page by page on a terminal, else as it is."""
    text = page.read_text(encoding="utf-8")
    if not sys.stdout.isatty():
        echo(text, lines=True)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    os.environ.setdefault("LESS", "-FRX")  # as git does: without -R, `less` shows colours as their codes
    console = Console()
    with console.pager(styles=True):
        console.print(Markdown(text))
