"""`nwbpipe inspect` with NWB Widgets: with a stand-in for its server; the real one: test_widgets_browser."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import httpx
import psutil
import pytest

from nwbpipe.cli import main
from nwbpipe.environments import NWBWIDGETS, EnvironmentKind, ToolEnvironment
from nwbpipe.errors import (
    DamagedFileError,
    FileAccessError,
    LockedFileError,
    NwbpipeError,
    RequestError,
    ToolFailedError,
    ToolMissingError,
    UnsupportedFileError,
)
from nwbpipe.processors import list_tools
from nwbpipe.serve import _widgets, _widgets_kernel, has_widgets, inspect_with_widgets
from nwbpipe.session import SessionFile

pytestmark = pytest.mark.skipif(os.name == "nt", reason="refused there")

SERVER = """
import json, os, socket, subprocess, sys, threading
request = json.loads(sys.stdin.buffer.readline())
kernel = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
facts = {
    "request": request, "view": json.load(open("request.json")), "arguments": sys.argv, "kernel": kernel.pid,
    "variables": dict(os.environ), "files": sorted(os.listdir()), "pid": os.getpid(),
}
listener = socket.socket(fileno=request["socket"])

def answer():
    while True:
        connection = listener.accept()[0]
        connection.recv(1000)
        text = json.dumps(facts).encode()
        head = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n" % len(text)
        connection.sendall(head + text)
        connection.close()

threading.Thread(target=answer, daemon=True).start()
print("ready", flush=True)
sys.stdin.buffer.read()
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a program in the place of NWB Widgets' server."""
    monkeypatch.setenv("NWBPIPE_CACHE", str(tmp_path / "cache"))
    environment = ToolEnvironment(NWBWIDGETS, EnvironmentKind.EXISTING, Path(sys.executable), "3.11", {})
    monkeypatch.setattr(_widgets, "find", lambda tool: environment)
    file = tmp_path / "server.py"
    monkeypatch.setattr(_widgets, "_SERVER", file)

    def write(text: str = SERVER) -> None:
        file.write_text(text)

    write()
    return write


class Looker:
    """Asks the server once the address is shown, and ends it as Ctrl-C does."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.said: list[str] = []

    def show(self, address: str) -> None:
        self.address = address
        self.facts = httpx.get(address).json()

    def say(self, text: str) -> None:
        self.said.append(text)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_nwb_widgets_is_a_tool_with_a_lock() -> None:
    assert list_tools()["nwbwidgets"] is NWBWIDGETS
    locked = (Path(__file__).parents[2] / "locks" / "nwbwidgets.txt").read_text()
    packages = dict(line.split("==") for line in locked.splitlines() if "==" in line)
    assert NWBWIDGETS.unmet(packages | {"ipython_genutils": "0.2"}) == []


def test_the_server_gets_the_token_and_no_credentials_and_ends_with_its_kernels(
    session_nwb: Path, stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "credential")
    monkeypatch.setenv("JUPYTER_PATH", "/elsewhere")
    before, looker = session_nwb.read_bytes(), Looker()
    inspect_with_widgets(session_nwb, looker.say, looker.show, browse=False)
    token = looker.facts["request"]["token"]
    assert looker.address.startswith("http://127.0.0.1:")
    assert looker.address.endswith(f"/?token={token}")
    assert len(token) > 40
    assert token not in str(looker.facts["arguments"]) + str(looker.facts["variables"])
    assert "credential" not in str(looker.facts["variables"])
    assert "JUPYTER_PATH" not in looker.facts["variables"]
    assert looker.facts["view"] == {"path": str(session_nwb.resolve()), "access": None}
    assert {"session.ipynb", "nwbpipe_view.py", "nwbpipe_worker.py"} <= {*looker.facts["files"]}
    assert not is_running(looker.facts["pid"])
    assert not is_running(looker.facts["kernel"])
    assert not Path(looker.facts["request"]["notebook"]).parent.exists()
    assert session_nwb.read_bytes() == before


def test_ctrl_c_ends_the_command_and_its_server(session_nwb: Path, stand_in: Any) -> None:
    """As a user types it: the address on the standard output, and an exit code of 0."""
    program = (
        "import signal, sys; from pathlib import Path; from nwbpipe.serve import _widgets; import nwbpipe.cli\n"
        "from nwbpipe.environments import *\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "environment = ToolEnvironment(NWBWIDGETS, EnvironmentKind.EXISTING, Path(sys.executable), '3', {})\n"
        f"_widgets.find = lambda tool: environment; _widgets._SERVER = Path({str(_widgets._SERVER)!r})\n"
        f"nwbpipe.cli.main(['inspect', {str(session_nwb)!r}, '--no-browser'])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        facts = httpx.get(process.stdout.readline().strip(), timeout=60).json()
        assert "Ctrl-C" in process.stderr.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, process.stderr.read()
    assert not is_running(facts["pid"])
    assert not Path(facts["request"]["notebook"]).parent.exists()


def test_a_server_without_its_nwbpipe_ends(session_nwb: Path, stand_in: Any, tmp_path: Path) -> None:
    """The real server, with a stand-in for Voila: it ends when its standard input does."""
    packages = tmp_path / "packages"
    for name, text in {
        "voila/__init__": "", "voila/app": "class Voila: pass",
        "tornado/__init__": "", "tornado/httpserver": "HTTPServer = None", "tornado/ioloop": "IOLoop = None",
        "tornado/httputil": "HTTPHeaders = ResponseStartLine = None",
    }.items():  # fmt: skip
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / f"{name}.py").write_text(text)
    file = Path(_widgets.__file__).with_name("_widgets_server.py")
    program = (
        f"import sys; sys.path.insert(0, {str(packages)!r}); sys.path.insert(0, {str(file.parent)!r})\n"
        "import _widgets_server, time; _widgets_server.Viewer.launch_instance = lambda *a, **k: time.sleep(300)\n"
        "print('up', flush=True); _widgets_server.main()\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"socket": listener.fileno(), "notebook": "n", "token": "t"}).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"up\n"
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(30) == -signal.SIGTERM
        process.stdout.close()


@pytest.mark.parametrize("text", ["import sys; sys.exit('no module voila\\x1b[31m')", "print('ready', flush=True)"])
def test_a_server_that_ends_by_itself_is_told_with_its_last_lines(
    session_nwb: Path, stand_in: Any, text: str
) -> None:
    stand_in(text)
    with pytest.raises(ToolFailedError) as caught:
        inspect_with_widgets(session_nwb, lambda _: None, lambda _: None, browse=False)
    assert "tools doctor nwbwidgets" in str(caught.value)
    assert ("no module voila\\x1b" in str(caught.value)) == ("voila" in text)


def test_a_port_in_use_is_refused_and_one_that_is_free_taken(session_nwb: Path, stand_in: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(RequestError, match="can't be used") as caught:
            inspect_with_widgets(session_nwb, lambda _: None, lambda _: None, port=number, browse=False)
    assert "--port" in str(caught.value)
    stand_in("print('ready', flush=True)")
    addresses: list[str] = []
    with pytest.raises(ToolFailedError):
        inspect_with_widgets(session_nwb, lambda _: None, addresses.append, port=number, browse=False)
    assert f":{number}/" in addresses[0]


def write_text(path: Path) -> None:
    path.write_text("not NWB")


def write_plain_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["a"] = 1


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (write_text, (UnsupportedFileError, DamagedFileError)),
        (write_plain_hdf5, UnsupportedFileError),
        (cut, DamagedFileError),
        (Path.unlink, FileAccessError),
    ],
    ids=["text", "hdf5", "cut", "missing"],
)
@pytest.mark.parametrize("viewer", ["nwbwidgets", "report"])
def test_a_file_that_is_damaged_or_not_nwb_is_refused_before_anything_starts(
    session_nwb: Path, stand_in: Any, spoil: Callable[[Path], None], error: type[NwbpipeError], viewer: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    spoil(session_nwb)
    stand_in("raise SystemExit('started')")
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(session_nwb), "--with", viewer, "--no-browser"])
    codes = [kind.code for kind in (error if isinstance(error, tuple) else (error,))]
    assert ended.value.code not in (0, None)
    printed = capsys.readouterr()
    assert any(code in printed.err for code in codes), printed.err
    assert "started" not in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("viewer", ["nwbwidgets", "report"])
def test_a_file_that_a_program_is_writing_is_refused(
    session_nwb: Path, stand_in: Any, viewer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in("raise SystemExit('started')")
    program = f"import h5py; file = h5py.File({str(session_nwb)!r}, 'r+'); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(SystemExit):
            main(["inspect", str(session_nwb), "--with", viewer, "--no-browser"])
        writer.communicate("\n")
    assert LockedFileError.code in capsys.readouterr().err


def test_the_viewer_is_nwb_widgets_where_it_is_installed_and_the_report_elsewhere(
    session_nwb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NWBPIPE_CACHE", str(tmp_path / "cache"))
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr("nwbpipe.serve.inspect_with_widgets", lambda *_, **options: calls.append(options))
    installed = True
    monkeypatch.setattr("nwbpipe.serve.has_widgets", lambda: installed)

    def call(*words: str) -> tuple[Any, str]:
        with pytest.raises(SystemExit) as ended:
            main(["inspect", str(session_nwb), "--no-browser", *words])
        return ended.value.code, capsys.readouterr().err

    assert call()[0] == 0
    assert calls == [{"port": 0, "browse": False}]
    installed = False
    code, err = call()
    assert code == 0
    assert "nwbpipe tools install nwbwidgets" in err
    assert call("--port", "4000")[0] == 0
    assert calls[1:] == [{"port": 4000, "browse": False}]
    code, err = call("--with", "report", "--port", "4000")
    assert code == 2
    assert "--port" in err


def test_where_it_is_not_installed_it_says_how(session_nwb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(tool: Any) -> Any:
        msg = "the tool 'nwbwidgets' is not installed"
        raise ToolMissingError(msg, hint="nwbpipe tools install nwbwidgets")

    monkeypatch.setattr(_widgets, "find", find)
    assert not has_widgets()
    with pytest.raises(ToolMissingError, match="tools install nwbwidgets"):
        inspect_with_widgets(session_nwb, lambda _: None, lambda _: None)


def test_a_container_has_no_page_to_look_at(session_nwb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = ToolEnvironment(NWBWIDGETS, EnvironmentKind.CONTAINER, Path("python"), "3.11", {})
    monkeypatch.setattr(_widgets, "find", lambda tool: environment)
    with pytest.raises(RequestError, match="container"):
        inspect_with_widgets(session_nwb, lambda _: None, lambda _: None)


def test_a_file_in_a_store_is_refused_with_what_to_do(memory_session: str, stand_in: Any) -> None:
    with pytest.raises(RequestError, match="--with report"):
        inspect_with_widgets(memory_session, lambda _: None, lambda _: None, browse=False)


@pytest.fixture
def memory_session(session_nwb: Path) -> str:
    import fsspec

    fsspec.filesystem("memory").pipe_file("/widgets/m1.nwb", session_nwb.read_bytes())
    location = "memory://widgets/m1.nwb"
    assert SessionFile.at(location).name == "m1.nwb"
    return location


def test_what_nwb_widgets_shows_as_html_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """It puts names of the file into HTML as they are; a script among them could run code in the kernel."""

    class HTML:
        def __init__(self, value: str = "", **_: Any) -> None:
            self.value = value

    package, inner, strings = (types.ModuleType(name) for name in ("ipywidgets", "widgets", "widget_string"))
    package.widgets, package.HTML, inner.HTML, strings.HTML = inner, HTML, HTML, HTML  # type: ignore[attr-defined]
    for name, module in (("", package), (".widgets", inner), (".widgets.widget_string", strings)):
        monkeypatch.setitem(sys.modules, f"ipywidgets{name}", module)
    _widgets_kernel.replace_html()
    hostile = "<img src=x onerror=alert(1)>"
    for module in (package, inner):
        made = module.HTML(f"no file '{hostile}'\nhere")
        assert isinstance(made, HTML)
        assert made.value == "no file &#x27;&lt;img src=x onerror=alert(1)&gt;&#x27; here"
    assert inner.HTML("<a href=http://dx.doi.org/10.1/x>doi:10.1/x</a>").value == "doi:10.1/x"
    shown = _widgets_kernel.show_text(types.SimpleNamespace(fields={hostile: hostile}), hostile).value
    assert shown.startswith("<p><i>&lt;img")
    assert hostile not in shown
