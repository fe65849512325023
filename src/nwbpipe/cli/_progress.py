"""Progress on stderr, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nwbpipe.errors import show_text


@contextmanager
def show_progress_bar(label: str) -> Iterator[Callable[[float, str], None] | None]:
    """Show a bar while the block runs; yields what to call with a fraction (0 to 1) and a text, or None."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=1.0, text="")
        yield lambda fraction, text: bar.update(task, completed=fraction, text=show_text(text))
