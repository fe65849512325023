"""``nwbpipe query``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import Profile, ProjectFile
from nwbpipe.cli._progress import show_progress_bar
from nwbpipe.errors import RequestError, show_text

if TYPE_CHECKING:
    import pyarrow as pa

    from nwbpipe.catalog import Catalog

_MOST = 40  # rows that are shown


def query(
    sql: Annotated[str | None, typer.Argument(metavar="SQL", help="The query, in DuckDB's SQL.")] = None,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE.nwb …]", help="Session files, or their addresses; without them, a project."),
    ] = None,
    project: ProjectFile = None,
    profile: Profile = None,
    list_tables: Annotated[bool, typer.Option("--tables", help="List the tables and their columns.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the whole answer as CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", metavar="FILE", help="Write the answer to a new Parquet file.")
    ] = None,
) -> None:
    """Ask all sessions of a project, or some session files, in SQL."""
    if files and project is not None:
        msg = "session files and a project were named"
        raise RequestError(msg, found=f"{files[0]}, --project {project}", hint="leave one of them out")
    if (sql is None) != list_tables:
        msg = "a query, or --tables: one of them is needed"
        raise RequestError(msg, found=repr(sql), hint='nwbpipe query "SELECT * FROM sessions"')
    catalog = _open(files or [], project, profile)
    for problem in catalog.problems:
        echo(f"note: {problem}", err=True, lines=True)
    if sql is None:
        _show_tables(catalog, as_json=as_json)
        return
    if parquet is not None:
        catalog.write_parquet(sql, parquet)
        return
    answer = catalog.query(sql)
    if as_json:
        typer.echo(json.dumps(answer.to_pylist(), indent=2, default=str))
    elif as_csv:
        _print_csv(answer)
    else:
        _show(answer)


def _open(files: list[str], project: Path | None, profile: str | None) -> Catalog:
    if files:
        from nwbpipe.catalog import Catalog

        return Catalog.of_files(files)
    from nwbpipe.project import Project

    with show_progress_bar("reading session files") as report:

        def progress(count: int, total: int) -> None:
            if report is not None:
                report(count / total, f"{count} of {total}")

        return Project(project, profile=profile).catalog(progress=progress)


def _show_tables(catalog: Catalog, *, as_json: bool) -> None:
    from nwbpipe.catalog import TABLES

    if as_json:
        typer.echo(json.dumps(catalog.tables, indent=2))
        return
    for table, columns in catalog.tables.items():
        echo(table)
        for column in columns:
            text = TABLES.get(table, {}).get(column, "")
            echo(f"  {column:24} {text}".rstrip())


def _print_csv(answer: pa.Table) -> None:
    import csv
    import sys

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.column_names)
    for batch in answer.to_batches():
        writer.writerows([_format_cell(value) for value in row.values()] for row in batch.to_pylist())


def _show(answer: pa.Table) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in answer.column_names:
        shown.add_column(Text(show_text(name)), overflow="fold")
    for row in answer.slice(0, _MOST).to_pylist():
        shown.add_row(*(Text(show_text(_format_cell(value))) for value in row.values()))
    Console().print(shown)
    more = answer.num_rows - _MOST
    echo(f"{answer.num_rows} rows" + (f", {more} of them not shown (--csv, --json, --parquet)" if more > 0 else ""))


def _format_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.10g}"
    return json.dumps(value, default=str) if isinstance(value, (list, dict)) else str(value)
