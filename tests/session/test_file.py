"""What is a session file, and what is refused; reading and changing it as NWB."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import pytest

import nwbpipe
from nwbpipe.errors import (
    DamagedFileError,
    FileAccessError,
    InvalidResultError,
    LockedFileError,
    NwbpipeError,
    UnsupportedFileError,
)
from nwbpipe.session import SessionFile
from tests.files.helpers import WAITING, child, no_leftovers, output_of, wait_for_line


def content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_hdf5(path: Path, version: str | None, where: str = "attribute") -> Path:
    with h5py.File(path, "w") as file:
        if version is not None and where == "attribute":
            file.attrs["nwb_version"] = version
        elif version is not None:
            file["nwb_version"] = version
    return path


def refused(path: Path, error: type[NwbpipeError]) -> str:
    """Every way to a session file refuses `path` alike, and names it; return the message."""
    with pytest.raises(error) as caught:
        SessionFile.at(path).snapshot()
    with pytest.raises(error), nwbpipe.read(path):
        pytest.fail("it was read")
    with pytest.raises(error), nwbpipe.transaction(path):
        pytest.fail("it was opened for writing")
    assert path.name in str(caught.value)
    return str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "no.nwb", FileAccessError)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    refused(tmp_path, FileAccessError)


@pytest.mark.parametrize("data", [b"", b"II*\0 a picture", b"\0" * 4096], ids=["empty", "a TIFF", "zeros"])
def test_what_is_not_hdf5(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.nwb"
    path.write_bytes(data)
    assert "not an HDF5 file" in refused(path, UnsupportedFileError)


def test_hdf5_that_is_not_nwb(tmp_path: Path) -> None:
    assert "not NWB" in refused(write_hdf5(tmp_path / "a.nwb", None), UnsupportedFileError)


@pytest.mark.parametrize(
    ("version", "where"),
    [("NWB-1.0.5_beta", "dataset"), ("1.0.6", "attribute"), ("3.0.0", "attribute"), ("", "attribute")],
)
def test_versions_that_are_not_2_are_refused_by_name(tmp_path: Path, version: str, where: str) -> None:
    message = refused(write_hdf5(tmp_path / "a.nwb", version, where), UnsupportedFileError)
    assert version in message
    assert "NWB 2" in message


@pytest.mark.parametrize("version", ["2.0b", "2.2.5", "2.9.0-alpha"])
def test_versions_of_nwb_2_are_let_through(tmp_path: Path, version: str) -> None:
    path = write_hdf5(tmp_path / "a.nwb", version)
    snapshot = SessionFile.at(path).snapshot()
    assert snapshot.nwb_version[0] == 2
    assert (snapshot.records, snapshot.objects) == ((), ())


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_file(session_nwb: Path, kept: float) -> None:
    data = session_nwb.read_bytes()
    session_nwb.write_bytes(data[: int(len(data) * kept)])
    assert "damaged or truncated" in refused(session_nwb, DamagedFileError)


def test_read_gives_the_nwb_file(session_nwb: Path) -> None:
    with nwbpipe.read(session_nwb) as nwbfile:
        assert nwbfile.acquisition["lever"].data[0, 0] == 0.0


def test_a_file_that_another_program_writes_is_not_read(session_nwb: Path) -> None:
    script = f"""
        with h5py.File({str(session_nwb)!r}, "r+") as file:
            {WAITING}
    """
    with child(script) as process:
        wait_for_line(process)
        with pytest.raises(LockedFileError, match="another program"), nwbpipe.read(session_nwb):
            pytest.fail("it was read")
        report = nwbpipe.check(session_nwb)
    assert (report.verdict, report.findings) == ("busy", ())


def test_a_transaction_commits(session_nwb: Path) -> None:
    with nwbpipe.transaction(session_nwb) as nwbfile:
        nwbfile.create_processing_module("behavior", "test")
    with nwbpipe.read(session_nwb) as nwbfile:
        assert list(nwbfile.processing) == ["behavior"]


def test_an_exception_leaves_the_file(session_nwb: Path) -> None:
    before = content(session_nwb)
    with pytest.raises(RuntimeError), nwbpipe.transaction(session_nwb) as nwbfile:  # noqa: PT012
        nwbfile.create_processing_module("behavior", "test")
        raise RuntimeError
    assert content(session_nwb) == before
    assert no_leftovers(session_nwb.parent)


@pytest.mark.parametrize("samples", [10, 1_000_000], ids=["fails when it closes", "fails while it writes"])
def test_a_full_disk_leaves_the_file(session_nwb: Path, samples: int) -> None:
    """A limit on the size of files stands in for the full disk: the copy fits, what is added does not."""
    before = content(session_nwb)
    limit = session_nwb.stat().st_size + 10
    script = f"""
        import resource, signal, numpy, pynwb, nwbpipe
        from nwbpipe.errors import NwbpipeError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        try:
            with nwbpipe.transaction({str(session_nwb)!r}) as nwbfile:
                data = numpy.ones({samples})
                nwbfile.add_acquisition(pynwb.TimeSeries(name="more", data=data, unit="V", rate=1.0))
        except NwbpipeError as error:
            print(error.code, error, flush=True)
        os._exit(0)  # HDF5 would try to write what is left once more
    """
    printed = output_of(script)
    assert printed.startswith("NP204"), printed
    assert "ulimit -f" in printed
    assert content(session_nwb) == before
    assert no_leftovers(session_nwb.parent)


def test_before_acts_on_the_copy_only(session_nwb: Path) -> None:
    def remove(file: h5py.File) -> None:
        del file["acquisition/lever"]

    before = content(session_nwb)
    with pytest.raises(RuntimeError), nwbpipe.transaction(session_nwb, before=remove):
        raise RuntimeError
    assert content(session_nwb) == before
    with nwbpipe.transaction(session_nwb, before=remove) as nwbfile:
        assert not nwbfile.acquisition
    with nwbpipe.read(session_nwb) as nwbfile:
        assert not nwbfile.acquisition


def test_check_sees_what_was_written_and_may_refuse(session_nwb: Path) -> None:
    seen = []

    def check(finished: h5py.File) -> None:
        seen.extend(finished["processing"])
        raise InvalidResultError("no")

    before = content(session_nwb)
    with pytest.raises(InvalidResultError), nwbpipe.transaction(session_nwb, check=check) as nwbfile:
        nwbfile.create_processing_module("behavior", "test")
    assert seen == ["behavior"]
    assert content(session_nwb) == before


def test_committed_is_called_with_the_new_file_in_place(session_nwb: Path) -> None:
    seen = []

    def committed() -> None:
        with h5py.File(session_nwb) as file:
            seen.extend(file["processing"])

    with nwbpipe.transaction(session_nwb, committed=committed) as nwbfile:
        nwbfile.create_processing_module("behavior", "test")
    assert seen == ["behavior"]


def test_update_returns_what_the_function_returns(session_nwb: Path) -> None:
    assert nwbpipe.update(session_nwb, lambda nwbfile: nwbfile.session_id) == "s1"
