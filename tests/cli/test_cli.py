"""Each command's good and bad paths: what it prints, and what it exits with."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import h5py
import pytest

from nwbpipe.cli import _main, main
from nwbpipe.processors import _registry
from nwbpipe.simulate import SimulatedSession


@pytest.fixture(autouse=True)
def with_test_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the test processor as a third party's would be: by an entry point."""
    points = {
        **_registry._find_entry_points(),
        "scale": EntryPoint("scale", "tests.fixtures.processing:Scale", _registry.GROUP),
    }
    monkeypatch.setattr(_registry, "_find_entry_points", lambda: points)


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Call the command line in this process."""

    def call(*words: object) -> Result:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        code = ended.value.code
        captured = capsys.readouterr()
        return Result(code if isinstance(code, int) else 0, captured.out, captured.err)

    return call


def test_the_installed_command_answers() -> None:
    command = Path(sys.executable).with_name("nwbpipe")
    done = subprocess.run([str(command), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("nwbpipe 0.")


@pytest.mark.parametrize("verb", ["", "convert", "process", "processors", "log", "check", "edit", "demo", "tools"])
def test_help(run, verb: str) -> None:
    result = run(*filter(None, [verb, "--help"]))
    assert result.code == 0
    assert "Usage" in result.out


def test_help_imports_neither_pynwb_nor_numpy() -> None:
    code = (
        "import sys; from nwbpipe.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'pynwb', 'h5py', 'numpy', 'pydantic', 'rich'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_process_log_and_process_again(run, session_nwb: Path) -> None:
    first = run("process", session_nwb, "scale", "-p", "factor=4", "--step", "four")
    assert first.code == 0
    assert "/processing/behavior/Scaled_four" in first.out
    assert "log: " in first.out
    again = run("process", session_nwb, "scale", "-p", "factor=4", "--step", "four")
    assert (again.code, again.out) == (0, "four: done, nothing to do\n")
    log = run("log", session_nwb)
    assert log.code == 0
    assert "four  done" in log.out
    (record,) = json.loads(run("log", session_nwb, "--json").out)
    assert record["parameters"] == {"ending": "well", "factor": 4.0}


def test_json_of_process(run, session_nwb: Path) -> None:
    record = json.loads(run("process", session_nwb, "scale", "--json").out)
    assert record["computed"] is True
    assert record["step"] == "scale"


@pytest.mark.parametrize(
    ("suffix", "text"), [("yaml", "factor: 7"), ("json", '{"factor": 7}'), ("toml", "factor = 7")]
)
def test_parameters_from_a_file(run, session_nwb: Path, tmp_path: Path, suffix: str, text: str) -> None:
    (tmp_path / f"params.{suffix}").write_text(text)
    assert run("process", session_nwb, "scale", "--params", tmp_path / f"params.{suffix}").code == 0
    with h5py.File(session_nwb) as file:
        assert file["processing/behavior/Scaled_scale/data"][0, 1] == 7.0


def test_a_file_without_runs(run, session_nwb: Path) -> None:
    assert "no runs" in run("log", session_nwb).out


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("scal",), 2, "did you mean 'scale'"),
        (
            ("scale", "-p", "factor=-2"),
            2,
            "the value of 'factor' is not allowed\n  where:    factor\n  expected: greater than 0",
        ),
        (("scale", "-p", "factor"), 2, "NAME=VALUE"),
        (("scale", "--input", "series=nothing"), 2, "next:     name one: --input series=acquisition/"),
        (("scale", "--input", "serie=x"), 2, "next:     `nwbpipe processors scale` shows its inputs"),
        (("scale", "--step", "Bad"), 2, "the step's name 'Bad' is not valid"),
        (("scale", "--step", "convert"), 2, "another name: the conversion has this one"),
        (("scale", "--params", "/nonexistent.yaml"), 2, "no such file"),
        (("scale", "--frobnicate"), 2, "No such option"),
        (("scale", "-p", "ending=raise"), 1, "ValueError: the data are odd"),
        (("scale", "-p", "ending=segfault"), 1, "NP213"),
        (("scale", "-p", "ending=hang", "--timeout", "2"), 1, "NP215"),
        (("facemap_svd",), 2, "nothing in the file serves as the input 'video'"),
    ],
)
def test_bad_requests_and_failures(run, session_nwb: Path, words: tuple[str, ...], code: int, named: str) -> None:
    before = session_nwb.read_bytes()
    result = run("process", session_nwb, *words)
    assert result.code == code
    assert named in result.err
    assert "Traceback" not in result.err
    assert session_nwb.read_bytes() == before


def test_debug_shows_the_traceback(session_nwb: Path) -> None:
    with pytest.raises(Exception, match="no processor") as caught:
        main(["process", str(session_nwb), "scal", "--debug"])
    assert caught.type.__name__ == "UnknownNameError"


@pytest.mark.parametrize(
    ("content", "code", "named"),
    [(None, 1, "no such file"), (b"", 2, "not an HDF5 file"), (b"PK\x03\x04 something", 2, "not an HDF5 file")],
)
def test_files_that_are_no_session(run, tmp_path: Path, content: bytes | None, code: int, named: str) -> None:
    path = tmp_path / "odd.nwb"
    if content is not None:
        path.write_bytes(content)
    for words in (("process", path, "scale"), ("log", path)):
        result = run(*words)
        assert result.code == code
        assert named in result.err


def test_an_nwb_1_file_is_refused_with_its_version(run, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "old.nwb", "w") as file:
        file["nwb_version"] = "NWB-1.0.6"
    result = run("process", tmp_path / "old.nwb", "scale")
    assert result.code == 2
    assert "NWB version NWB-1.0.6 is not supported" in result.err


def test_processors(run) -> None:
    assert {"suite2p", "spikesorting", "facemap_svd"} <= {
        line.split()[0] for line in run("processors").out.splitlines()
    }
    shown = run("processors", "suite2p").out
    assert "tau = 1.0" in shown
    assert "settings = {}" in shown
    assert "[sparsery, sourcery]" in shown
    assert "alignment_event (required)  Name of" in run("processors", "event_windows").out
    assert run("processors", "suite3p").code == 2


@pytest.mark.parametrize("octave", [True, False])
def test_tools(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, octave: bool) -> None:
    if octave:
        (tmp_path / "octave-cli").write_text("#!/bin/sh\n")
        (tmp_path / "octave-cli").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for tool in ("CAIMAN", "EXTRACT"):
        monkeypatch.delenv(f"NWBPIPE_TOOL_{tool}_CHECKOUT", raising=False)
    rows = {row["name"]: row for row in json.loads(run("tools", "list", "--json").out)}
    assert {"suite2p", "facemap", "spikeinterface"} <= set(rows)
    ways = {name: row["get"] for name, row in rows.items() if row["kind"] is None}
    expected = "git clone" if octave else "apt-get install octave"
    assert expected in ways.pop("extract")
    for way in ways.values():
        assert "nwbpipe tools install" in way
    assert run("tools", "requirements", "facemap").out.startswith("facemap>=")
    assert run("tools", "install", "facemaps").code == 2


def test_a_missing_tool_says_how_to_get_it(run, small_nwb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWBPIPE_TOOLS", "/nonexistent")
    monkeypatch.delenv("NWBPIPE_TOOL_FACEMAP_PYTHON", raising=False)
    result = run("process", small_nwb, "facemap_svd")
    assert result.code == 1
    assert "nwbpipe tools install facemap" in result.err


def test_convert(run, small_session: SimulatedSession, tmp_path: Path) -> None:
    out = tmp_path / "out.nwb"
    assert run("convert", small_session.spec, "-o", out).code == 0
    before = out.read_bytes()
    refused = run("convert", small_session.spec, "-o", out)
    assert refused.code == 2
    assert "NP106" in refused.err
    assert out.read_bytes() == before
    assert run("convert", tmp_path / "none.yaml").code == 2
    assert run("convert", small_session.spec, "-o", out, "--overwrite").code == 0


def test_an_unforeseen_error_has_no_traceback(run, session_nwb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr("nwbpipe.run.process", fail)
    result = run("process", session_nwb, "scale")
    assert result.code == 1
    assert "ZeroDivisionError: odd" in result.err
    assert "--debug" in result.err
    assert "Traceback" not in result.err


def test_a_command_that_is_interrupted_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nwbpipe.session.check", interrupt)
    with pytest.raises(SystemExit) as ending:
        main(["check", "session.nwb"])
    assert ending.value.code == 1
    assert capsys.readouterr().err == "stopped; nothing half-done was left\n"


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["run"], 1),
        (["edit", "remove", "a.nwb"], 1),
        (["help", "run"], 0),
        (["--version", "run"], 0),
        (["no-verb", "run"], 0),
        ([], 0),
    ],
)
def test_only_the_verb_that_is_asked_for_is_set_up(words: list[str], count: int) -> None:
    selected = _main._select_verb(words)
    assert (selected is _main.app) == (count == 0)
    if count:
        assert len(selected.registered_commands) + len(selected.registered_groups) == count
        assert len(_main.app.registered_commands) > 20
