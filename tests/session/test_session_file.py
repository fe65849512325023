"""`SessionFile`: snapshots, not handles."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe import files
from nwbpipe.errors import DamagedFileError, InputError, RequestError
from nwbpipe.session import SessionFile, SessionReader, _session_file
from tests.fixtures.processing import Scale


def test_one_file_has_one_session_file(session_nwb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(session_nwb.parent)
    session = SessionFile.at("session.nwb")
    assert session == SessionFile.at(session_nwb) == SessionFile.at(session)
    assert len({session, SessionFile.at(session_nwb)}) == 1
    assert (session.location, session.name, session.folder) == (session_nwb, "session.nwb", session_nwb.parent)
    assert session.is_local
    remote = SessionFile.at("s3:/bucket/a/session.nwb")
    assert (remote.location, remote.name, remote.folder) == (
        "s3://bucket/a/session.nwb",
        "session.nwb",
        "s3://bucket/a",
    )
    assert not remote.is_local


def test_no_secret_of_a_url_is_shown() -> None:
    session = SessionFile.at("https://user:secret@host/x.nwb?Signature=secret")
    assert "secret" not in f"{session} {session!r}"
    with pytest.raises(RequestError, match="not supported") as caught:
        session.require_changeable()
    assert "secret" not in str(caught.value)


def test_a_snapshot_holds_records_and_objects(session_nwb: Path) -> None:
    session = SessionFile.at(session_nwb)
    first = session.snapshot()
    assert first.records == ()
    assert "/acquisition/lever" in [item.path for item in first.objects]
    assert first.find_result("scale") is None
    record = nwbpipe.process(session_nwb, Scale()).record
    second = session.snapshot()
    assert second.find_result("scale") == record
    assert second.version != first.version
    assert second.version == session.version()
    with h5py.File(session_nwb, "r+") as file:
        del file["processing/behavior/Scaled_scale"]
    assert session.snapshot().find_result("scale") is None
    assert session.snapshot().records == (record,)


def test_nothing_stays_open(session_nwb: Path) -> None:
    """A program that wants HDF5's exclusive lock gets it while snapshots are kept."""
    session = SessionFile.at(session_nwb)
    snapshot = session.snapshot()
    session.read(lambda reader: reader.nwbfile.session_id, locked=True)
    session.identity("/acquisition/lever")
    with h5py.File(session_nwb, "r+", locking=True) as file:
        file.attrs["touched"] = 1
    with session.transaction() as nwbfile:
        nwbfile.create_processing_module("behavior", "test")
    assert snapshot.version != session.version()


def test_a_reader_reads_on_demand(session_nwb: Path) -> None:
    with SessionFile.at(session_nwb).open() as reader:
        assert reader.nwbfile.acquisition["lever"].unit == "V"
        assert reader.file["acquisition/lever/data"].shape == (100, 3)
    assert not reader.file


def test_what_a_commit_changed_meanwhile_is_read_again(session_nwb: Path) -> None:
    readers = []

    def read(reader: SessionReader) -> int:
        readers.append(reader)
        if len(readers) == 1:
            with files.transaction(session_nwb) as file:
                file["scratch/note"] = 1
            raise KeyError("half of the old, half of the new")
        return int(reader.file["scratch/note"][()])

    assert SessionFile.at(session_nwb).read(read) == 1
    assert len(readers) == 2


def test_an_error_of_the_reader_itself_is_raised(session_nwb: Path) -> None:
    def read(reader: SessionReader) -> None:
        raise InputError("no")

    with pytest.raises(InputError):
        SessionFile.at(session_nwb).read(read)


def test_identities_are_those_of_content(session_nwb: Path) -> None:
    session = SessionFile.at(session_nwb)
    identity = session.identity("/acquisition/lever")
    assert identity.neurodata_type == "TimeSeries"
    with session.change() as change:
        assert session.identify_in_change(change, "/acquisition/lever") == identity.identity
        change.file["acquisition/lever/data"][0, 0] = 7.0
    assert session.identity("/acquisition/lever").identity != identity.identity
    with pytest.raises(InputError, match="no object at this path"):
        session.identity("/acquisition/nothing")


def test_a_small_input_of_a_large_file_is_hashed_within_a_change(
    session_nwb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = SessionFile.at(session_nwb)
    with session.change() as change:
        change.file["acquisition/large"] = np.zeros(100_000)
    monkeypatch.setattr(_session_file, "_SMALL", 100_000)
    monkeypatch.setattr(session, "look_up_identity", lambda *_, **__: None)
    with session.change() as change:
        assert change.version.size > 100_000
        assert session.identify_in_change(change, "/acquisition/lever") is not None
        monkeypatch.setattr(_session_file, "_SMALL", 1000)
        assert session.identify_in_change(change, "/acquisition/lever") is None
        assert session.identify_in_change(change, "/acquisition/lever", however_large=True) is not None


def test_several_identities_cost_one_open(session_nwb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    open_file = h5py.File.__init__

    def count(self: h5py.File, name: object, *arguments: object, **options: object) -> None:
        # Else it is the handle of an open file, or the look of a process with threads at a file that it has not seen.
        if isinstance(name, Path) and sys._getframe(1).f_code.co_name != "walk":
            opened.append(name)
        open_file(self, name, *arguments, **options)

    monkeypatch.setattr(h5py.File, "__init__", count)
    paths = ["/acquisition/lever", "/acquisition/lever/data", "/acquisition/lever"]
    identities = SessionFile.at(session_nwb).identify(paths)
    assert [identity.path for identity in identities] == paths
    assert len(opened) == 1


def test_a_damaged_file_is_told_from_one_that_another_program_holds(session_nwb: Path) -> None:
    session_nwb.write_bytes(session_nwb.read_bytes()[:5000])
    with pytest.raises(DamagedFileError, match="damaged or truncated"), SessionFile.at(session_nwb).open():
        pytest.fail("it was opened")


def test_old_functions_serve_for_one_release(session_nwb: Path) -> None:
    from nwbpipe import session_file

    with pytest.warns(FutureWarning, match="next release"):
        check_readable = session_file.check_readable
    assert check_readable(session_nwb) == session_nwb
    with pytest.warns(FutureWarning, match="next release"):
        open_hdf5 = session_file.open_hdf5
    with open_hdf5(session_nwb) as file:
        assert "acquisition" in file
