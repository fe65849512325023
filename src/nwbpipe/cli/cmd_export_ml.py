"""``nwbpipe export ml``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import Profile
from nwbpipe.cli._progress import show_progress_bar
from nwbpipe.errors import RequestError

if TYPE_CHECKING:
    from nwbpipe.catalog import Catalog

VERB = "export ml"


def export_ml(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="PROJECT|FILE.nwb… DATASET.toml",
            help="A project (its folder or nwbpipe.toml) or session files, and the declaration of the data set.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="A new folder.")],
    profile: Profile = None,
) -> None:
    """Write windows of many sessions as a data set for machine learning, whose parts share nothing."""
    *sources, declaration = words
    if not sources or Path(declaration).suffix != ".toml":
        msg = "a project or session files, and a declaration: both are needed"
        expected = f"nwbpipe {VERB} PROJECT DATASET.toml -o DIR"
        raise RequestError(msg, expected=expected, found=" ".join(words))
    from nwbpipe.export.ml import export_dataset, load_declaration

    declared = load_declaration(declaration)
    catalog = _open_catalog(sources, profile)
    for problem in catalog.problems:
        echo(f"note: {problem}", err=True, lines=True)
    with show_progress_bar(f"{declared.dataset.name}: windows"):
        dataset = export_dataset(catalog, declared, output)
    if dataset is None:
        echo(f"{output}: up to date, nothing to do")
        return
    parts = {part: len(dataset.part(part)) for part in ("train", "valid", "test")}
    count = len(dataset.sessions)
    sessions = "1 session" if count == 1 else f"{count} sessions"
    windows = ", ".join(f"{part} {number:,}" for part, number in parts.items())
    echo(f"{output}: {windows} windows of {sessions}; see {output / 'CARD.md'}")
    for name, reason in dataset.left_out.items():
        echo(f"  left out: {name}: {reason}")
    for reason, count in dataset.dropped.items():
        echo(f"  left out: {count:,} windows: {reason}")


def _open_catalog(sources: list[str], profile: str | None) -> Catalog:
    path = Path(sources[0])
    if len(sources) == 1 and (path.is_dir() or path.suffix == ".toml"):
        from nwbpipe.project import Project

        return Project(path, profile=profile).catalog()
    from nwbpipe.catalog import Catalog

    return Catalog.of_files(sources)


def join_verb(words: list[str]) -> list[str]:
    """Return the words with ``export ml`` as one of them; a session file of that name is ``./ml``."""
    return [VERB, *words[2:]] if words[:2] == VERB.split() else words
