"""Pages: the report of an hour, and the dashboard of ten thousand sessions."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import numpy as np

from benchmarks._nwb import make_session
from benchmarks._report import note, table
from benchmarks._watch import watch
from benchmarks.project import STEPS, _nwbpipe, _time_command, make_computed_project, offer_processors

_RATE = 30.0


def run(folder: Path, *, quick: bool) -> None:
    _report(folder / "hour.nwb", *((8, 600, 4) if quick else (400, 108_000, 200)))
    print()
    variables = offer_processors(folder)
    if quick:
        del variables["PYTHONPYCACHEPREFIX"]  # else all packages are compiled first
    _dashboard(folder / "lab", *((3, 2, 1) if quick else (10_000, STEPS, 5)), variables)


def _judge(value: float, bound: float, text: str) -> str:
    return f"{text} ({'at most' if value <= bound else 'more than'} {bound:g})"


def _report(path: Path, rois: int, frames: int, units: int) -> None:
    write_hour(path, rois, frames, units)
    page = path.with_suffix(".html")
    measured = watch([*_nwbpipe("report", str(path), "-o", str(page))])
    size = page.stat().st_size / 1e6
    table(
        ["report", "ROIs", "frames", "units", "seconds", "MB", "memory, MB"],
        [
            [
                "`nwbpipe report FILE`", str(rois), str(frames), str(units),
                _judge(measured.seconds, 30, f"{measured.seconds:.1f}"), _judge(size, 5, f"{size:.2f}"),
                f"{measured.anonymous / 1e6:.0f}",
            ]
        ],
    )  # fmt: skip
    path.unlink()


def write_hour(path: Path, rois: int, frames: int, units: int) -> None:
    """Write a session of imaging and electrophysiology at 30 frames a second, with what an analysis leaves of it."""
    from pynwb import NWBHDF5IO
    from pynwb.base import Images
    from pynwb.image import GrayscaleImage
    from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel

    rng = np.random.default_rng(0)
    nwbfile = make_session()
    device = nwbfile.create_device("scope", description="d")
    channel = OpticalChannel(name="green", description="d", emission_lambda=520.0)
    plane = nwbfile.create_imaging_plane(
        name="plane", optical_channel=channel, description="d", device=device, excitation_lambda=920.0,
        indicator="GCaMP6s", location="V1", imaging_rate=_RATE,
    )  # fmt: skip
    ophys = nwbfile.create_processing_module("ophys", "o")
    ophys.add(Images(name="SummaryImages", images=[GrayscaleImage(name="mean", data=rng.normal(size=(512, 512)))]))
    segmentation = ImageSegmentation(name="rois")
    cells = segmentation.create_plane_segmentation(description="d", imaging_plane=plane, name="cells")
    y, x = np.mgrid[-6:7, -6:7]
    disc = x**2 + y**2 < 36
    for middle in rng.integers(10, 500, (rois, 2)):
        cells.add_roi(pixel_mask=[(i + middle[0], j + middle[1], 1.0) for i, j in zip(x[disc], y[disc], strict=True)])
    ophys.add(segmentation)
    fluorescence = Fluorescence(name="fluorescence")
    ophys.add(fluorescence)
    region = cells.create_roi_table_region(description="all", region=list(range(rois)))
    for name in ("traces", "neuropil"):
        data = rng.normal(size=(frames, rois)).astype(np.float32)
        fluorescence.create_roi_response_series(name=name, data=data, unit="a.u.", rois=region, rate=_RATE)
    probe = nwbfile.create_device("probe", description="d")
    group = nwbfile.create_electrode_group(name="shank", description="d", location="V1", device=probe)
    for row in range(384):
        nwbfile.add_electrode(group=group, location="V1", rel_x=16.0 * (row % 2), rel_y=20.0 * (row // 2))
    seconds = frames / _RATE
    for unit in range(units):
        nwbfile.add_unit(
            spike_times=np.sort(rng.uniform(0, seconds, int(5 * seconds))), electrodes=[unit % 384],
            waveform_mean=rng.normal(size=(60, 1)) * 1e-5, waveform_sd=np.full((60, 1), 1e-6),
        )  # fmt: skip
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)


def _dashboard(folder: Path, sessions: int, steps: int, requests: int, variables: dict[str, str]) -> None:
    """Ask for the first page as a browser does."""
    make_computed_project(folder, sessions, steps, variables)
    _time_command(_nwbpipe("status"), folder, variables)
    server = subprocess.Popen(
        [sys.executable, "-m", "nwbpipe", "serve", "--port", "0"], cwd=folder, env=variables, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        page, begin = _ask(opener, address), time.perf_counter()
        while f"{sessions} sessions" not in page and time.perf_counter() - begin < 600:
            time.sleep(1)
            page = _ask(opener, address)
        time.sleep(requests)
        times = []
        for _ in range(requests):
            began = time.perf_counter()
            page = _ask(opener, address)
            times.append(time.perf_counter() - began)
            time.sleep(2)
        memory = _read_memory(server.pid)
    finally:
        server.terminate()
        server.wait(60)
    table(
        ["dashboard", "sessions", "steps", "first page, warm: seconds", "kB", "memory, MB"],
        [
            [
                "`nwbpipe serve`", str(sessions), str(steps), _judge(min(times), 1, f"{min(times):.2f}"),
                f"{len(page) / 1e3:.0f}", _judge(memory, 150, f"{memory:.0f}"),
            ]
        ],
    )  # fmt: skip
    note()


def _ask(opener: urllib.request.OpenerDirector, address: str) -> str:
    """Return the page; the first answer leads on by a page of its own."""
    with opener.open(address, timeout=120) as answer:
        text: str = answer.read().decode()
    onward = re.search(r'http-equiv="refresh" content="0; ?url=([^"]+)"', text)
    if onward:
        with opener.open(urllib.request.urljoin(address, onward[1]), timeout=120) as answer:
            text = answer.read().decode()
    return text


def _read_memory(pid: int) -> float:
    """Return the peak of the resident memory of a process in MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"^VmHWM:\s+(\d+)", text, re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024 / 1e6


if __name__ == "__main__":
    write_hour(Path(sys.argv[1]), 400, 108_000, 200)
