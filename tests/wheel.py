"""Install the wheel into empty environments, one for each Python here, and do what a user does first.

``make wheel`` builds and runs this. Only the core's dependencies are installed, without extras and without the lock.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

OLDEST = (3, 11)
SPEC = """
nwbpipe: 1
subject: {subject_id: m1, species: Mus musculus, sex: F, age: P90D}
session: {session_id: a, session_start_time: "2024-05-01T10:00:00+00:00", session_description: A test}
sources:
  events: {interface: BehaviorEventsInterface, args: {file_path: events.csv, time_column: time, name_column: name}}
"""


def find_pythons() -> dict[str, str]:
    """Return the Pythons of this machine that nwbpipe can be installed in, by version: on the PATH, and of pyenv."""
    places = [found for minor in range(11, 20) if (found := shutil.which(f"python3.{minor}"))]
    places += sorted(map(str, Path("~/.pyenv/versions").expanduser().glob("3.*/bin/python")))
    pythons = {}
    for python in [sys.executable, *places]:
        code = "import sys; print('.'.join(map(str, sys.version_info[:2])))"
        answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        version = answer.stdout.strip()  # a shim of pyenv may lead nowhere
        if not answer.returncode and tuple(map(int, version.split("."))) >= OLDEST:
            pythons.setdefault(version, python)
    return dict(sorted(pythons.items()))


def check_wheel(wheel: Path, python: str, folder: Path) -> None:
    """Install a wheel in an empty environment; import it, ask for help, convert a recording, and read the log."""
    subprocess.run(["uv", "venv", "--quiet", "--python", python, str(folder / "venv")], check=True)
    within = folder / "venv" / "bin"
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(within / "python"), str(wheel)], check=True)
    (folder / "session.yaml").write_text(SPEC, encoding="utf-8")
    (folder / "events.csv").write_text("time,name\n0.5,lick\n1.25,reward\n", encoding="utf-8")
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    nwbpipe = str(within / "nwbpipe")
    for words in (
        [str(within / "python"), "-W", "error", "-c", "import nwbpipe; nwbpipe.convert, nwbpipe.Project"],
        [nwbpipe, "--help"],
        [nwbpipe, "help", "clocks"],
        [nwbpipe, "convert", "session.yaml", "-o", "a.nwb"],
        [nwbpipe, "check", "a.nwb"],
        [nwbpipe, "log", "a.nwb"],
    ):
        done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def check_package(folder: Path) -> None:
    """Generate a lab's package, install it beside the wheel, and run its tests."""
    python, nwbpipe = str(folder / "venv" / "bin" / "python"), str(folder / "venv" / "bin" / "nwbpipe")
    subprocess.run([nwbpipe, "init", "--package", "our_lab"], cwd=folder, check=True)
    install = ["uv", "pip", "install", "--quiet", "--python", python, "--editable", "our_lab[dev]"]
    subprocess.run(install, cwd=folder, check=True)
    subprocess.run([python, "-m", "pytest", "-q"], cwd=folder / "our_lab", check=True)


def main(wheel: Path) -> None:
    for version, python in find_pythons().items():
        with tempfile.TemporaryDirectory() as folder:
            check_wheel(wheel.resolve(), python, Path(folder))
            check_package(Path(folder))
        print(f"Python {version}: imported, converted, checked; the package of a lab passes its tests")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
