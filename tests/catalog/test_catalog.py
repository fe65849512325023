"""Tables drawn from session files, kept up to date, and asked in SQL."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

import nwbpipe
from nwbpipe.catalog import TABLES, Catalog, CatalogFile, _catalog
from nwbpipe.cli import main
from nwbpipe.errors import FileAccessError, RequestError
from nwbpipe.stores import LocalStore
from tests.fixtures.projects import make_project

SPIKES = [np.array([0.5, 1.25, 3.0]), np.array([2.0])]


def write_file(path: Path, subject: str, session: str, choices: list[Any], *, day: int = 1, sex: str = "F") -> Path:
    """Write a session file with trials, units, a verdict on each unit, events and a series with its own times."""
    from hdmf.common import DynamicTable, DynamicTableRegion, VectorData
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries
    from pynwb.file import Subject

    nwbfile = NWBFile("a session", f"id-{path.stem}", datetime(2024, 5, day, 10, tzinfo=UTC), session_id=session)
    nwbfile.experimenter = ["Doe, Jane"]
    nwbfile.subject = Subject(subject_id=subject, species="Mus musculus", sex=sex, age="P90D", genotype="wt")
    times = TimeSeries(name="lick", description="d", data=np.zeros(4), unit="V", timestamps=[0.5, 1.0, 2.0, 4.5])
    nwbfile.add_acquisition(times)
    nwbfile.add_acquisition(TimeSeries(name="lever", description="d", data=np.zeros((5, 3)), unit="m", rate=2.0))
    nwbfile.add_trial_column("choice", "the choice")
    for number, choice in enumerate(choices):
        nwbfile.add_trial(start_time=float(number), stop_time=number + 0.5, choice=choice)
    nwbfile.add_epoch(0.0, 9.0, tags=["rest", "dark"])
    nwbfile.add_unit_column("depth", "depth in µm")
    for number, spikes in enumerate(SPIKES):
        nwbfile.add_unit(spike_times=spikes, depth=100.0 * number, waveform_mean=np.zeros((30, 4)))
    verdicts = DynamicTable(
        name="UnitQuality",
        description="d",
        columns=[
            DynamicTableRegion(name="unit", description="d", data=[1], table=nwbfile.units),
            VectorData(name="verdict", description="d", data=["fail"]),
            VectorData(name="reasons", description="d", data=["isi above 0.5"]),
            VectorData(name="isi", description="d", data=[0.7]),
        ],
    )
    nwbfile.create_processing_module("ecephys", "d").add(verdicts)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


@pytest.fixture(scope="module")
def two_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two session files of one subject; the newer one corrects the sex."""
    folder = tmp_path_factory.mktemp("two")
    return [
        write_file(folder / "a.nwb", "m1", "s1", ["left", "right", "left"], sex="U"),
        write_file(folder / "b.nwb", "m1", "s2", ["left"], day=2),
    ]


@pytest.fixture
def catalog(two_files: list[Path]) -> Catalog:
    return Catalog.of_files(two_files)


def ask(catalog: Catalog, sql: str) -> list[Any]:
    rows = catalog.query(sql).to_pylist()
    return [next(iter(row.values())) if len(row) == 1 else tuple(row.values()) for row in rows]


def test_a_join_over_all_sessions(catalog: Catalog) -> None:
    sql = """
    SELECT t.session_id, t.choice, u.row, s.genotype,
    list_count(list_filter(k.spike_times, lambda x: x >= t.start_time AND x < t.stop_time)) AS n
    FROM trials t JOIN units u USING (subject_id, session_id) JOIN subjects s USING (subject_id)
    JOIN spike_times k ON k.session_id = u.session_id AND k.path = u.path AND k.row = u.row
    WHERE t.choice = 'left' AND u.depth < 50 ORDER BY t.session_id, t.start_time
    """
    assert ask(catalog, sql) == [("s1", "left", 0, "wt", 0), ("s1", "left", 0, "wt", 0), ("s2", "left", 0, "wt", 0)]
    sql = "SELECT session_id, sum(spike_count) FROM units GROUP BY ALL ORDER BY ALL"
    assert ask(catalog, sql) == [("s1", 4), ("s2", 4)]
    times = ask(catalog, "SELECT spike_times FROM spike_times WHERE session_id = 's1' ORDER BY row")
    assert times == [spikes.tolist() for spikes in SPIKES]


def test_a_subject_has_one_row_that_of_its_newest_session(catalog: Catalog) -> None:
    assert ask(catalog, "SELECT subject_id, sex FROM subjects") == [("m1", "F")]
    start = ask(catalog, "SELECT session_start_time FROM sessions ORDER BY session_id")[1]
    assert start == datetime(2024, 5, 2, 10, tzinfo=UTC)
    assert ask(catalog, "SELECT DISTINCT experimenter FROM sessions") == [["Doe, Jane"]]


def test_verdicts_stand_beside_the_units(catalog: Catalog) -> None:
    sql = "SELECT row, verdict, isi FROM units WHERE session_id = 's1' ORDER BY row"
    assert ask(catalog, sql) == [(0, None, None), (1, "fail", 0.7)]
    assert ask(catalog, "SELECT DISTINCT about, row, reasons FROM quality") == [("/units", 1, "isi above 0.5")]


def test_series_tell_their_times(catalog: Catalog) -> None:
    sql = "SELECT name, shape, rate, start, stop, unit FROM series WHERE session_id = 's1' ORDER BY name"
    assert ask(catalog, sql) == [("lever", [5, 3], 2.0, 0.0, 2.0, "m"), ("lick", [4], None, 0.5, 4.5, "V")]


def test_every_table_of_intervals_is_there(catalog: Catalog) -> None:
    assert ask(catalog, "SELECT DISTINCT name FROM intervals ORDER BY 1") == ["epochs", "trials"]
    assert ask(catalog, "SELECT tags FROM epochs LIMIT 1") == [["rest", "dark"]]


def test_columns_that_no_table_can_have_are_named(catalog: Catalog) -> None:
    sql = 'SELECT DISTINCT path, "column", reason FROM left_out'
    assert ask(catalog, sql) == [("/units", "waveform_mean", "30x4 values for each row")]


def test_a_documented_column_that_no_session_has_is_null(tmp_path: Path) -> None:
    from tests.export.sessions import write_arrays_session

    catalog = Catalog.of_files([write_arrays_session(tmp_path / "a.nwb")])  # units without verdicts
    assert catalog.query("SELECT count(*) AS n FROM units WHERE verdict = 'pass'").to_pylist() == [{"n": 0}]
    assert catalog.query("SELECT DISTINCT verdict FROM units").to_pylist() == [{"verdict": None}]
    assert catalog.find_rows("units WHERE verdict IS NULL")[1].num_rows == 2


def test_a_table_without_rows_can_be_asked(catalog: Catalog) -> None:
    assert ask(catalog, "SELECT verdict FROM rois") == []
    assert TABLES.keys() <= catalog.tables.keys()
    assert not any("_location" in columns for columns in catalog.tables.values())


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    reads: list[str] = []
    read: Callable[..., Any] = _catalog._read_tables

    def count(location: str, version: str) -> Any:
        reads.append(Path(location).name)
        return read(location, version)

    monkeypatch.setattr(_catalog, "_read_tables", count)
    return reads


def test_only_a_changed_file_is_read_again(
    tmp_path: Path, two_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / path.name for path in two_files]
    for source, path in zip(two_files, paths, strict=True):
        path.write_bytes(source.read_bytes())
    store, reads = LocalStore(tmp_path), count_reads(monkeypatch)
    Catalog(store).refresh(map(CatalogFile.at, paths))
    Catalog(store).refresh(map(CatalogFile.at, paths))
    assert reads == ["a.nwb", "b.nwb"]
    with h5py.File(paths[0], "r+") as file:
        file["intervals/trials/choice"][1] = "none"
    catalog = Catalog(store)
    catalog.refresh(map(CatalogFile.at, paths))
    assert reads == ["a.nwb", "b.nwb", "a.nwb"]
    assert ask(catalog, "SELECT choice FROM trials ORDER BY session_id, row") == ["left", "none", "left", "left"]
    assert ask(catalog, "SELECT count(*) FROM spike_times") == [4]
    catalog.refresh(map(CatalogFile.at, paths[1:]))
    assert ask(catalog, "SELECT session_id FROM sessions") == ["s2"]
    assert ask(catalog, "SELECT count(*) FROM spike_times") == [2]


def test_old_packs_are_removed_and_nothing_else(tmp_path: Path, two_files: list[Path]) -> None:
    store = LocalStore(tmp_path)
    catalog = Catalog(store)
    catalog.refresh(map(CatalogFile.at, two_files))
    foreign = tmp_path / "catalog" / "mine.parquet"
    foreign.write_bytes(b"a person's")
    for path in tmp_path.rglob("*.parquet"):
        os.utime(path, (0, 0))
    catalog.refresh(map(CatalogFile.at, two_files[:1]))
    assert foreign.read_bytes() == b"a person's"
    folders = {path.parent.name for path in (tmp_path / "catalog").glob("*/trials.parquet")}
    assert len(folders) == 1
    assert ask(catalog, "SELECT count(*) FROM trials") == [3]


def test_a_catalogue_that_is_damaged_is_made_anew(tmp_path: Path, two_files: list[Path]) -> None:
    store = LocalStore(tmp_path)
    Catalog(store).refresh(map(CatalogFile.at, two_files))
    for content in (
        b"no JSON",
        b'{"files": 3}',
        b'{"files": {}, "tables": {"trials": ["../x"]}, "notes": [], "revision": 1}',
    ):
        (tmp_path / "catalog" / "manifest.json").write_bytes(content)
        catalog = Catalog(store)
        catalog.refresh(map(CatalogFile.at, two_files))
        assert ask(catalog, "SELECT count(*) FROM trials") == [4]


def test_columns_of_other_types_become_text_and_are_named(tmp_path: Path, two_files: list[Path]) -> None:
    numbers = write_file(tmp_path / "c.nwb", "m2", "s1", [1.5, 2.0])
    catalog = Catalog.of_files([two_files[0], numbers])
    assert ask(catalog, "SELECT choice FROM trials WHERE subject_id = 'm2' ORDER BY row") == ["1.5", "2.0"]
    assert [problem.what for problem in catalog.problems] == [
        "trials.choice is double, string in different files: read as text"
    ]


def test_a_damaged_file_is_listed_and_holds_up_no_other(tmp_path: Path, two_files: list[Path]) -> None:
    damaged = tmp_path / "damaged.nwb"
    damaged.write_bytes(two_files[0].read_bytes()[:5000])
    catalog = Catalog.of_files([two_files[0], damaged])
    assert ask(catalog, "SELECT count(*) FROM trials") == [3]
    ((location, problem),) = ask(catalog, "SELECT location, problem FROM files WHERE problem IS NOT NULL")
    assert location == str(damaged)
    assert problem.startswith("NP2")
    assert [problem.where for problem in catalog.problems] == [str(damaged)]
    with pytest.raises(FileAccessError):
        Catalog.of_files([tmp_path / "missing.nwb"])


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT choize FROM trials", "choice"),
        ("SELECT * FROM trails", "trials"),
        ("SELEC 1", "syntax error"),
        ("", "not a query"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled"),
        ("COPY trials TO 'trials.csv'", "disabled"),
        ("SET enable_external_access = true", "lock"),
    ],
)
def test_a_wrong_query_is_refused(catalog: Catalog, sql: str, text: str) -> None:
    with pytest.raises(RequestError) as caught:
        catalog.query(sql)
    assert text in str(caught.value)


@pytest.mark.usefixtures("test_processors")
def test_a_project_is_asked_after_each_change(tmp_path: Path) -> None:
    project = make_project(tmp_path, 2)
    assert project.query("SELECT count(*) AS n FROM series").to_pylist() == [{"n": 2}]
    tree = project.select("series WHERE session_id = 's1'").to_xarray()
    assert [node.name for node in tree.leaves] == [tree.children["sub-m1_ses-s1"].leaves[0].name]
    nwbpipe.process(tmp_path / "nwb" / "s0.nwb", "scale", step="first", params={"factor": 3})
    rows = project.query("SELECT session_id, step, name, unit FROM series WHERE step IS NOT NULL").to_pylist()
    assert [(row["session_id"], row["step"]) for row in rows] == [("s0", "first")]
    (run,) = project.query("SELECT step, processor, current, parameters, seconds FROM runs").to_pylist()
    assert (run["step"], run["processor"], run["current"]) == ("first", "scale", True)
    assert '"factor": 3' in run["parameters"]
    assert run["seconds"] >= 0
    assert (tmp_path / "state" / "catalog" / "manifest.json").is_file()
    counts: list[tuple[int, int]] = []
    nwbpipe.process(tmp_path / "nwb" / "s1.nwb", "scale", step="first", params={"factor": 3})
    project.catalog(progress=lambda count, total: counts.append((count, total)))
    assert counts == [(0, 1)]


def test_an_answer_is_written_to_a_new_file_only(catalog: Catalog, tmp_path: Path) -> None:
    catalog.write_parquet("SELECT choice FROM trials", tmp_path / "answer.parquet")
    assert pq.read_table(tmp_path / "answer.parquet").num_rows == 4
    with pytest.raises(RequestError, match="exists"):
        catalog.write_parquet("SELECT 1", tmp_path / "answer.parquet")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with contextlib.suppress(SystemExit):
        main(["query", *words])
    printed = capsys.readouterr()
    return printed.out or printed.err


def test_the_command_prints_answers(two_files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(path) for path in two_files]
    sql = "SELECT choice, count(*) AS n FROM trials GROUP BY ALL ORDER BY choice"
    assert run(capsys, sql, *files, "--csv") == "choice,n\nleft,3\nright,1\n"
    assert json.loads(run(capsys, sql, *files, "--json"))[0] == {"choice": "left", "n": 3}
    assert run(capsys, sql, *files).splitlines()[-1] == "2 rows"


def test_text_of_a_file_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_file(tmp_path / "a.nwb", "m1", "s1", ["\x1b]0;title\x07red"])
    shown = run(capsys, "SELECT choice FROM trials", str(path))
    assert "\x1b" not in shown
    assert "\\x1b]0;title" in shown
