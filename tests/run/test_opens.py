"""How often a run opens its session file, and that it is fenced all the same."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

import nwbpipe
from nwbpipe.errors import InputError
from nwbpipe.provenance import IdentityCache
from nwbpipe.run import _pending_run
from nwbpipe.session import SessionFile, _session_file
from tests.fixtures.processing import Scale, write_session
from tests.fixtures.s3 import Bucket


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the opens of HDF5 files by name, in this process."""
    counts: Counter[str] = Counter()
    open_file = h5py.File.__init__

    def count(self: Any, name: Any, *arguments: Any, **options: Any) -> None:
        if sys._getframe(1).f_code.co_name != "walk":  # the first look of a process with threads; others fork for it
            counts[str(name).rpartition("/")[2]] += 1
        open_file(self, name, *arguments, **options)

    monkeypatch.setattr(h5py.File, "__init__", count)
    return counts


@pytest.fixture
def requests(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the requests of nwbpipe to S3."""
    import botocore.client

    counts: Counter[str] = Counter()
    send = botocore.client.BaseClient._make_api_call

    def count(self: Any, operation: str, values: Any) -> Any:
        counts[operation] += self is not bucket.client
        return send(self, operation, values)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", count)
    return counts


def test_a_run_opens_the_file_four_times(session_nwb: Path, opens: Counter[str]) -> None:
    assert nwbpipe.process(session_nwb, Scale()).computed
    assert opens["session.nwb"] <= 4  # to prepare, to hash the inputs, to commit, and to validate
    opens.clear()
    assert not nwbpipe.process(session_nwb, Scale()).computed
    assert opens["session.nwb"] <= 2  # the second hashes inputs that were written a moment ago


def test_a_run_on_inputs_with_cached_identities_opens_the_file_three_times(
    session_nwb: Path, opens: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IdentityCache, "_is_settled", lambda *_: True)
    nwbpipe.process(session_nwb, Scale())
    opens.clear()
    assert nwbpipe.process(
        session_nwb, Scale(), step="again", inputs={"series": "lever"}, params={"factor": 3}
    ).computed
    assert opens["session.nwb"] <= 3
    opens.clear()
    assert not nwbpipe.process(session_nwb, Scale(), inputs={"series": "lever"}).computed
    assert opens["session.nwb"] == 1


def test_a_run_in_s3_sends_few_requests(
    bucket: Bucket, session_nwb: Path, opens: Counter[str], requests: Counter[str]
) -> None:
    url = bucket.put(session_nwb)
    assert nwbpipe.process(url, Scale()).computed  # finds out, once, whether the server checks conditions
    opens.clear()
    requests.clear()
    assert not nwbpipe.process(url, Scale()).computed
    assert (opens["session.nwb"], requests.total()) == (1, 1)
    requests.clear()
    assert nwbpipe.process(url, Scale(), step="again", inputs={"series": "lever"}).computed
    assert requests.total() <= 15, requests  # five to read, one to look for a newer state, nine to commit


def _after_the_tool(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    compute = _pending_run.PendingRun.compute

    def compute_and_act(self: Any, *arguments: Any) -> Any:
        finished = compute(self, *arguments)
        act()
        return finished

    monkeypatch.setattr(_pending_run.PendingRun, "compute", compute_and_act)


def _change(path: Path, name: str) -> None:
    with h5py.File(path, "r+") as file:
        file[name][...] += 1


@pytest.mark.parametrize("limit", [0, 2**28], ids=["hashed before the transaction", "hashed within it"])
def test_an_input_that_changed_while_the_tool_ran_is_refused(
    session_nwb: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(_session_file, "_SMALL", limit)
    _after_the_tool(monkeypatch, lambda: _change(session_nwb, "acquisition/lever/data"))
    with pytest.raises(InputError, match="changed while the tool ran"):
        nwbpipe.process(session_nwb, Scale())
    assert nwbpipe.read_records(session_nwb) == []


@pytest.mark.parametrize("limit", [0, 2**28], ids=["hashed before the transaction", "hashed within it"])
def test_another_object_that_changed_meanwhile_is_not_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    path = write_session(tmp_path / "session.nwb", "lever", "paw")
    monkeypatch.setattr(_session_file, "_SMALL", limit)
    _after_the_tool(monkeypatch, lambda: _change(path, "acquisition/paw/data"))
    assert nwbpipe.process(path, Scale(), inputs={"series": "lever"}).computed


def test_inputs_are_verified_without_a_cache(
    session_nwb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NWBPIPE_CACHE", str(tmp_path / "file"))  # nothing can be written there
    monkeypatch.setattr(_session_file, "_SMALL", 0)
    assert nwbpipe.process(session_nwb, Scale()).computed


def test_a_run_comes_to_its_end_beside_others_that_keep_committing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_session(tmp_path / "session.nwb", "lever", "paw")
    monkeypatch.setattr(_session_file, "_SMALL", 0)
    verify, versions = _pending_run.PendingRun._verify_inputs, []

    def verify_before_a_commit(self: Any) -> Any:
        versions.append(verify(self))
        _change(path, "acquisition/paw/data")
        return versions[-1]

    monkeypatch.setattr(_pending_run.PendingRun, "_verify_inputs", verify_before_a_commit)
    assert nwbpipe.process(path, Scale(), inputs={"series": "lever"}).computed
    assert len(versions) == 3


def test_a_change_between_verification_and_transaction_is_seen(
    session_nwb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inputs count as verified in one state of the file, not once and for all."""
    monkeypatch.setattr(_session_file, "_SMALL", 0)
    verify, changes = _pending_run.PendingRun._verify_inputs, []

    def verify_and_change(self: Any) -> Any:
        version = verify(self)
        if not changes:
            _change(session_nwb, "acquisition/lever/data")
            changes.append(version)
        return version

    monkeypatch.setattr(_pending_run.PendingRun, "_verify_inputs", verify_and_change)
    with pytest.raises(InputError, match="changed while the tool ran"):
        nwbpipe.process(session_nwb, Scale())
    assert SessionFile.at(session_nwb).snapshot().find_result("scale") is None
