"""A catalogue: bring its tables up to date, and ask it in SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nwbpipe.catalog._columns import TABLES
from nwbpipe.catalog._extract import extract_tables
from nwbpipe.catalog._packs import Manifest, Packs
from nwbpipe.errors import NwbpipeError, Problem, RequestError, ToolMissingError
from nwbpipe.machine import make_cache_folder
from nwbpipe.provenance import digest
from nwbpipe.session import SessionFile
from nwbpipe.stores import LocalStore, Store

if TYPE_CHECKING:
    import duckdb

_HIDDEN = "_location"
# A subject has a row for each session in the files; the newest one counts.
_SUBJECTS = """
SELECT a.* FROM "_subjects" AS a LEFT JOIN "_sessions" AS b USING (_location)
QUALIFY row_number() OVER (PARTITION BY a.subject_id ORDER BY b.session_start_time DESC NULLS LAST) = 1
"""


@dataclass(frozen=True)
class CatalogFile:
    """A session file of a catalogue.

    Attributes
    ----------
    location : str
        Its path or address.
    version : str
        Text that is another one after each change of the file.
    """

    location: str
    version: str

    @classmethod
    def at(cls, location: Path | str) -> CatalogFile:
        """Look at a file.

        Raises
        ------
        FileAccessError
            If it does not exist.
        """
        session = SessionFile.at(location)
        return cls(str(session.location), repr(session.version()))


class Catalog:
    """SQL tables of many session files, read-only.

    Parameters
    ----------
    store : Store
        Where the tables are kept, in a folder ``catalog``.

    Attributes
    ----------
    problems : list of Problem
        Files that can't be read, and columns whose types differ between files.

    Examples
    --------
    >>> catalog = Catalog.of_files(["a.nwb", "b.nwb"])  # doctest: +SKIP
    >>> catalog.query("SELECT subject_id, count(*) FROM trials GROUP BY ALL").to_pandas()  # doctest: +SKIP
    """

    def __init__(self, store: Store) -> None:
        try:
            import duckdb  # noqa: F401
        except ImportError as error:
            msg = "DuckDB is not installed, which answers the queries"
            raise ToolMissingError(msg, hint="pip install 'nwbpipe[query]'") from error
        self._packs = Packs(store)
        self._manifest = Manifest()
        self.problems: list[Problem] = []

    @classmethod
    def of_files(cls, locations: Iterable[Path | str]) -> Catalog:
        """Return the catalogue of some session files; its tables are kept in the user's cache.

        Raises
        ------
        FileAccessError
            If one of them does not exist.
        """
        files = [CatalogFile.at(location) for location in locations]
        name = digest("\n".join(sorted(file.location for file in files)))[:32]
        folder = make_cache_folder() / "catalogs" / name
        folder.mkdir(parents=True, exist_ok=True)
        catalog = cls(LocalStore(folder))
        catalog.refresh(files)
        return catalog

    def refresh(self, files: Iterable[CatalogFile], progress: Callable[[int, int], None] | None = None) -> None:
        """Read the tables of files that are new or have changed, and leave out those that are no longer named.

        Parameters
        ----------
        files : iterable of CatalogFile
            All files that the catalogue is to hold.
        progress : callable, optional
            Called with the number of files that were read, and of those that are to be read.
        """
        versions = {file.location: file.version for file in files}
        old = self._packs.read_manifest()
        changed = [name for name, version in versions.items() if old.files.get(name) != version]
        if changed or old.files.keys() != versions.keys():
            fresh: dict[str, Mapping[str, pa.Table]] = {}
            for count, name in enumerate(changed):
                if progress is not None:
                    progress(count, len(changed))
                fresh[name] = _read_tables(name, versions[name])
            old = self._packs.update(old, versions, fresh)
        self._manifest = old
        self.__dict__.pop("connection", None)
        self.problems = [Problem(note) for note in old.notes] + self._read_problems()

    @property
    def tables(self) -> dict[str, list[str]]:
        """The columns of each table, by its name."""
        rows = self.connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'main' "
            "AND table_name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY ordinal_position"
        ).fetchall()
        columns: dict[str, list[str]] = {}
        for table, column in rows:
            columns.setdefault(table, []).append(column)
        return dict(sorted(columns.items(), key=lambda item: (item[0] not in TABLES, item[0])))

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection with a view a table. It can read nothing but these, and changes no file."""
        import duckdb

        connection = duckdb.connect(":memory:")
        connection.execute("SET TimeZone = 'UTC'")
        datasets = {name: self._packs.open(paths) for name, paths in self._manifest.tables.items()}
        views = {name: dataset for name, dataset in datasets.items() if dataset is not None}
        for name, dataset in views.items():
            connection.register(f"_ {name}", dataset)
            missing = [column for column in TABLES.get(name, ()) if column not in dataset.schema.names]
            nulls = "".join(f', NULL::VARCHAR AS "{column}"' for column in missing)  # as no session has any
            connection.execute(f'CREATE VIEW "_{name}" AS SELECT *{nulls} FROM "_ {name}"')  # noqa: S608
        connection.execute("SET enable_external_access = false")
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET lock_configuration = true")
        for name in views:
            rows = _SUBJECTS if name == "subjects" else f'SELECT * FROM "_{name}"'  # noqa: S608 - a name of ours
            connection.execute(f'CREATE VIEW "{name}" AS SELECT * EXCLUDE ({_HIDDEN}) FROM ({rows})')  # noqa: S608
        for name in TABLES.keys() - views.keys():  # a query on a table without rows has an answer: none
            columns = ", ".join(f'NULL::VARCHAR AS "{column}"' for column in TABLES[name])
            connection.execute(f'CREATE VIEW "{name}" AS SELECT {columns} LIMIT 0')
        return connection

    def query(self, sql: str) -> pa.Table:
        """Return the answer to a query.

        Parameters
        ----------
        sql : str
            One query in DuckDB's SQL. `tables` lists what it can be about.

        Returns
        -------
        pyarrow.Table
            ``.to_pandas()`` makes a data frame of it.

        Raises
        ------
        RequestError
            If the query is wrong.
        """
        import duckdb

        try:
            answer: Any = self.connection.sql(sql)
        except duckdb.Error as error:
            msg = "the query can't be answered"
            hint = "`nwbpipe query --tables` lists the columns of each"
            names = ", ".join(self.tables)
            raise RequestError(msg, where=sql, expected=f"SQL on {names}", found=str(error), hint=hint) from error
        if answer is None:
            msg = "the text is not a query"
            raise RequestError(msg, where=sql, expected="SELECT …", hint="a catalogue can be read, but not changed")
        return answer.to_arrow_table()

    def find_rows(self, text: str) -> tuple[str, pa.Table]:
        """Return the rows of a table that meet a condition, each with the location of its file.

        Parameters
        ----------
        text : str
            What follows ``FROM``, with the table first: ``"units JOIN subjects USING (subject_id) WHERE sex = 'F'"``.

        Returns
        -------
        table : str
            Name of the table.
        rows : pyarrow.Table
            Its columns, and ``_location``: tables of a session have columns that are called ``location``, too.

        Raises
        ------
        RequestError
            If the query is wrong.
        """
        match = re.match(r'\s*"?(\w+)', text)
        table = match[1] if match else ""
        if table not in self.tables:
            names = ", ".join(self.tables)
            raise RequestError(
                "the text does not begin with a table", where=text, expected=f"one of {names}", found=table
            )
        if self._packs.open(self._manifest.tables.get(table, [])) is None:
            return table, self.query(f'SELECT *, NULL::VARCHAR AS {_HIDDEN} FROM "{table}"')  # noqa: S608
        located = f'WITH "{table}" AS (SELECT * FROM "_{table}")'  # noqa: S608 - a name of ours
        return table, self.query(f'{located} SELECT "{table}".* FROM {text}')  # noqa: S608

    def write_parquet(self, sql: str, path: Path) -> None:
        """Write the answer to a query to a new Parquet file.

        Raises
        ------
        RequestError
            If the query is wrong, or the file exists.
        """
        from pyarrow import parquet

        answer = self.query(sql)
        try:
            with path.open("xb") as file:
                parquet.write_table(answer, file)
        except FileExistsError as error:
            raise RequestError("the file exists", where=str(path), hint="choose another name") from error

    def _read_problems(self) -> list[Problem]:
        if "files" not in self._manifest.tables:
            return []
        rows = self.query("SELECT location, problem FROM files WHERE problem IS NOT NULL ORDER BY location")
        return [Problem(str(row["problem"]), str(row["location"])) for row in rows.to_pylist()]


def _read_tables(location: str, version: str) -> dict[str, pa.Table]:
    """Return the tables of a file; of one that can't be read its row in ``files``, with the reason."""
    facts = {"location": location, "version": version, "nwb_version": None, "problem": None}
    tables: dict[str, pa.Table] = {}
    try:
        session = SessionFile.at(location)
        tables, numbers = session.read(lambda reader: (extract_tables(reader, location), reader.nwb_version))
        facts["nwb_version"] = ".".join(map(str, numbers))
    except NwbpipeError as error:
        facts["problem"] = f"{error.code}: {error.problem.what}"
    keys = tables["sessions"].select(["subject_id", "session_id"]).to_pylist()[0] if tables else {}
    schema = pa.schema([(name, pa.string()) for name in ("subject_id", "session_id", *facts)])
    tables["files"] = pa.Table.from_pylist([keys | facts], schema=schema)
    return tables
