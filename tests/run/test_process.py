"""Running a processor: what is done once, refused, replaced, and never half-done."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from pynwb import TimeSeries, validate

import nwbpipe
from nwbpipe import errors
from nwbpipe.provenance import IdentityCache
from nwbpipe.run import _process
from tests.fixtures.counting import Count
from tests.fixtures.processing import Scale, write_session


def content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_results_and_record_are_in_the_file(session_nwb: Path) -> None:
    run = nwbpipe.process(session_nwb, Scale(), params={"factor": 3})
    assert run.computed
    with h5py.File(session_nwb) as file:
        np.testing.assert_array_equal(
            file["processing/behavior/Scaled_scale/data"], 3.0 * file["acquisition/lever/data"][()]
        )
    assert validate(path=str(session_nwb)) == []
    (record,) = nwbpipe.read_records(session_nwb)
    assert record == run.record
    assert (record.step, record.processor, record.revision, record.seed) == ("scale", "scale", 1, 0)
    assert record.parameters == {"factor": 3.0, "ending": "well"}
    assert (record.tool, record.tool_version) == ("numpy", np.__version__)
    assert record.packages["h5py"] == h5py.__version__
    assert [one.path for one in record.inputs] == ["/acquisition/lever"]
    assert record.inputs[0].identity
    assert [one.path for one in record.outputs] == ["/processing/behavior/Scaled_scale"]
    assert record.ended >= record.started
    assert record.resources["peak_memory_bytes"] > 1e6


def test_the_same_run_again_does_nothing(session_nwb: Path, tmp_path: Path) -> None:
    method = Scale(tmp_path / "counter")
    nwbpipe.process(session_nwb, method)
    before = content(session_nwb)
    again = nwbpipe.process(session_nwb, method)
    assert not again.computed
    assert content(session_nwb) == before
    assert (tmp_path / "counter").read_text().count("ran") == 1


def test_pynwb_is_imported_beside_the_tool_and_not_for_a_step_that_is_done(
    session_nwb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = []

    @contextmanager
    def note_modules(*modules: str) -> Iterator[None]:
        imported.append(modules)
        yield

    monkeypatch.setattr(_process, "preload_beside", note_modules)
    nwbpipe.process(session_nwb, Scale(), step="scaled")
    assert imported == [("nwbpipe.extensions",)]
    nwbpipe.process(session_nwb, Scale(), step="scaled")
    assert len(imported) == 1


def test_other_parameters_are_refused_without_replace(session_nwb: Path) -> None:
    nwbpipe.process(session_nwb, Scale())
    before = content(session_nwb)
    with pytest.raises(errors.ResultExistsError, match=r"factor 2\.0 → 5\.0") as caught:
        nwbpipe.process(session_nwb, Scale(), params={"factor": 5})
    assert caught.value.exit_code == 2
    assert content(session_nwb) == before


def test_replace_swaps_the_result_and_keeps_the_record(session_nwb: Path) -> None:
    first = nwbpipe.process(session_nwb, Scale()).record
    second = nwbpipe.process(session_nwb, Scale(), params={"factor": 5}, replace=True).record
    old, new = nwbpipe.read_records(session_nwb)
    assert (old.run_id, old.superseded_by) == (first.run_id, second.run_id)
    assert (new.run_id, new.superseded) == (second.run_id, False)
    with h5py.File(session_nwb) as file:
        assert list(file["processing/behavior"]) == ["Scaled_scale"]
        assert file["processing/behavior/Scaled_scale/data"][1, 0] == 15.0
    assert validate(path=str(session_nwb)) == []


def test_force_computes_again(session_nwb: Path, tmp_path: Path) -> None:
    method = Scale(tmp_path / "counter")
    nwbpipe.process(session_nwb, method)
    assert nwbpipe.process(session_nwb, method, force=True).computed
    assert (tmp_path / "counter").read_text().count("ran") == 2
    assert [record.superseded for record in nwbpipe.read_records(session_nwb)] == [True, False]


def test_two_steps_of_one_processor_stand_side_by_side(session_nwb: Path) -> None:
    for step, factor in (("weak", 2), ("strong", 9)):
        nwbpipe.process(
            session_nwb, Scale(), step=step, params={"factor": factor}, inputs={"series": "acquisition/lever"}
        )
    with h5py.File(session_nwb) as file:
        assert sorted(file["processing/behavior"]) == ["Scaled_strong", "Scaled_weak"]


def test_changed_input_makes_another_key(session_nwb: Path) -> None:
    first = nwbpipe.process(session_nwb, Scale()).record
    with h5py.File(session_nwb, "r+") as file:
        file["acquisition/lever/data"][50, 1] += 1
    with pytest.raises(errors.ResultExistsError, match="the input series has other content"):
        nwbpipe.process(session_nwb, Scale())
    assert nwbpipe.process(session_nwb, Scale(), replace=True).record.key != first.key


def test_a_result_that_a_foreign_program_removed_is_computed_again(session_nwb: Path) -> None:
    nwbpipe.process(session_nwb, Scale())
    with h5py.File(session_nwb, "r+") as file:
        del file["processing/behavior/Scaled_scale"]
    assert nwbpipe.process(session_nwb, Scale()).computed
    assert [record.superseded for record in nwbpipe.read_records(session_nwb)] == [True, False]


def test_a_result_that_others_link_to_is_not_replaced(session_nwb: Path) -> None:
    nwbpipe.process(session_nwb, Scale())
    binding = {"series": "acquisition/lever"}
    with nwbpipe.transaction(session_nwb) as nwbfile:
        scaled = nwbfile.processing["behavior"]["Scaled_scale"]
        nwbfile.add_acquisition(TimeSeries(name="linked", description="d", data=scaled, unit="V", rate=10.0))
    before = content(session_nwb)
    with pytest.raises(errors.ResultExistsError, match="/acquisition/linked"):
        nwbpipe.process(session_nwb, Scale(), inputs=binding, force=True)
    assert content(session_nwb) == before


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"facter": 2}, "did you mean 'factor'"),
        ({"factor": -1}, "greater than 0"),
        ({"factor": "many"}, "number"),
        ({"ending": "badly"}, "well"),
    ],
)
def test_wrong_parameters_are_named(session_nwb: Path, params: dict[str, object], named: str) -> None:
    with pytest.raises(errors.ParameterError, match=named):
        nwbpipe.process(session_nwb, Scale(), params=params)


def test_all_wrong_parameters_are_named_at_once(session_nwb: Path) -> None:
    with pytest.raises(errors.ParameterError) as caught:
        nwbpipe.process(session_nwb, Scale(), params={"facter": 2, "factor": 0, "ending": "badly"})
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("step", ["Two", "2p", "a-b", "convert", ""])
def test_names_of_steps(session_nwb: Path, step: str) -> None:
    with pytest.raises(errors.RequestError, match=r"step.s name .* is not valid"):
        nwbpipe.process(session_nwb, Scale(), step=step)


def test_an_ambiguous_input_is_refused_with_the_candidates(tmp_path: Path) -> None:
    path = write_session(tmp_path / "two.nwb", "left", "right")
    with pytest.raises(errors.InputError, match=r"/acquisition/left, /acquisition/right"):
        nwbpipe.process(path, Scale())
    assert nwbpipe.process(path, Scale(), inputs={"series": "right"}).record.inputs[0].path == "/acquisition/right"


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({"series": "acquisition/none"}, "no object at"),
        ({"movie": "x"}, "has no input"),
        ({"series": "subject"}, "wrong type"),
    ],
)
def test_wrong_bindings(session_nwb: Path, inputs: dict[str, str], named: str) -> None:
    with pytest.raises(errors.InputError, match=named):
        nwbpipe.process(session_nwb, Scale(), inputs=inputs)


def test_nothing_serves(tmp_path: Path) -> None:
    with pytest.raises(errors.InputError, match="nothing in the file serves"):
        nwbpipe.process(write_session(tmp_path / "empty.nwb"), Scale())


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        ("raise", errors.ToolFailedError),
        ("exit", errors.ToolFailedError),
        ("memory", errors.ToolMemoryError),
        ("segfault", errors.ToolCrashedError),
        ("killed", errors.ToolKilledError),
        ("hang", errors.ToolTimeoutError),
        ("nothing", errors.InvalidResultError),
        ("elsewhere", errors.InvalidResultError),
    ],
)
def test_each_bad_ending_leaves_the_file_and_a_log(
    session_nwb: Path,
    own_places: Path,
    ending: str,
    error: type[errors.NwbpipeError],
    limit_from: Callable[[Callable[[], bool]], None],
) -> None:
    before = content(session_nwb)
    limit_from(lambda: any("hello" in log.read_text() for log in own_places.glob("logs/*")))
    with pytest.raises(error) as caught:
        nwbpipe.process(session_nwb, Scale(), params={"ending": ending}, timeout=0.5 if ending == "hang" else 600)
    assert content(session_nwb) == before
    assert sorted(entry.name for entry in session_nwb.parent.iterdir() if "partial" in entry.name) == []
    (log,) = (own_places / "logs").iterdir()
    assert "hello from the tool" in log.read_text()
    if isinstance(caught.value, errors.ToolError):
        assert caught.value.log == str(log)
        assert str(log) in str(caught.value)
        assert "hello from the tool" in str(caught.value)
        assert list((own_places / "scratch").glob("*/")) == []


def test_the_tools_own_message_is_told(session_nwb: Path) -> None:
    with pytest.raises(errors.ToolFailedError, match="ValueError: the data are odd"):
        nwbpipe.process(session_nwb, Scale(), params={"ending": "raise"})


def test_a_result_that_could_not_be_committed_is_not_computed_again(session_nwb: Path, tmp_path: Path) -> None:
    method = Scale(tmp_path / "counter")
    code = (
        "import sys, pathlib, nwbpipe.files\n"
        "with nwbpipe.files.hold_lock(pathlib.Path(sys.argv[1])):\n"
        "    print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(session_nwb)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as foreign:
        assert foreign.stdout is not None
        assert foreign.stdout.readline() == b"locked\n"
        with pytest.raises(errors.LockedFileError, match="is writing this file"):
            nwbpipe.process(session_nwb, method, lock_timeout=0.2)
        foreign.communicate()
    run = nwbpipe.process(session_nwb, method)
    assert run.computed
    assert (tmp_path / "counter").read_text().count("ran") == 1
    assert len(nwbpipe.read_records(session_nwb)) == 1


def test_a_file_that_another_program_writes_is_not_touched(session_nwb: Path) -> None:
    code = "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(session_nwb)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as foreign:
        assert foreign.stdout is not None
        assert foreign.stdout.readline() == b"open\n"
        with pytest.raises(errors.LockedFileError, match="open for writing"):
            nwbpipe.process(session_nwb, Scale())
        foreign.communicate()


def test_no_secret_reaches_the_tool(session_nwb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"AWS_SECRET_ACCESS_KEY": "s3", "DANDI_API_KEY": "dk", "GITHUB_TOKEN": "gt"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    seen: dict[str, str] = {}

    class Spy(Scale):
        def write(self, nwbfile: object, results: nwbpipe.Results, context: nwbpipe.Context) -> None:
            seen.update(results.summary["environment"])
            super().write(nwbfile, results, context)

    nwbpipe.process(session_nwb, Spy(), threads=1)
    assert seen["OMP_NUM_THREADS"] == "1"
    assert not set(secrets) & set(seen)


def test_an_interrupt_ends_the_tool_and_leaves_the_file(session_nwb: Path, own_places: Path) -> None:
    code = (
        "import signal, sys, nwbpipe\n"
        "from tests.fixtures.processing import Scale\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # shells start background jobs without it
        "nwbpipe.process(sys.argv[1], Scale(), params={'ending': 'hang'})"
    )
    before = content(session_nwb)
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code, str(session_nwb)], cwd=root, stderr=subprocess.PIPE
    ) as running:
        logs = own_places / "logs"
        end = time.monotonic() + 240
        while not any("hello" in log.read_text() for log in logs.glob("*.log")):
            assert time.monotonic() < end, "the tool did not start"
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, error = running.communicate(timeout=30)
    assert b"KeyboardInterrupt" in error
    assert content(session_nwb) == before
    assert list((own_places / "scratch").glob("*/")) == []


def test_a_commit_leaves_other_inputs_known(tmp_path: Path) -> None:
    path = write_session(tmp_path / "two.nwb", "left", "right")
    steps = {name: {"step": name, "inputs": {"series": f"acquisition/{name}"}} for name in ("left", "right")}
    for arguments in steps.values():
        time.sleep(2.1)  # what is read of a small file that has just changed is not remembered
        nwbpipe.process(path, Scale(), **arguments)
    cache = IdentityCache()
    assert cache.identify(path, "/acquisition/left").cached
    assert cache.identify(path, "/acquisition/right").cached
    nwbpipe.process(path, Scale(), params={"factor": 7}, replace=True, **steps["right"])
    assert cache.identify(path, "/acquisition/left").cached
    assert not cache.identify(path, "/processing/behavior/Scaled_right").cached


class Staged(Scale):
    """A processor whose compute module leaves stages behind."""

    resumable = True


def test_of_a_resumable_run_that_failed_its_stages_are_kept(session_nwb: Path, own_places: Path) -> None:
    scratch = own_places / "scratch"
    for method, kept in ((Scale(), False), (Staged(), True)):
        with pytest.raises(errors.ToolFailedError):
            nwbpipe.process(session_nwb, method, params={"ending": "raise"})
        folder = next((one for one in scratch.iterdir() if one.is_dir()), None)
        assert (folder is not None) is kept
    assert folder is not None
    assert sorted(one.name for one in folder.iterdir()) == ["made_by.json", "stages"]  # no outcome to be mistaken
    (folder / "stages" / "second").mkdir()
    with pytest.raises(errors.ToolFailedError):
        nwbpipe.process(session_nwb, Staged(), params={"ending": "raise"})
    assert (folder / "stages" / "second").is_dir()
    (folder / "made_by.json").write_text("another version")
    with pytest.raises(errors.ToolFailedError):
        nwbpipe.process(session_nwb, Staged(), params={"ending": "raise"})
    assert not (folder / "stages" / "second").exists()


def test_a_declared_stage_that_ended_is_kept_and_one_that_failed_is_not(
    session_nwb: Path, own_places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTS_COUNTER", str(tmp_path / "counter"))
    for _ in range(2):
        with pytest.raises(errors.ToolFailedError, match="the second stage failed"):
            nwbpipe.process(session_nwb, Count(), params={"label": "fails"})
    (folder,) = (one for one in (own_places / "scratch").iterdir() if one.is_dir())
    assert sorted(one.name for one in folder.iterdir()) == ["made_by.json", "stages"]
    assert [one.name for one in (folder / "stages").iterdir()] == ["one"]
    assert (tmp_path / "counter").read_text().count("one began") == 1  # the second try went on from there
