"""Make random movies of each format, with what the NWB file must then hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.converters.accounts import raw_imaging as raw
from tests.converters.accounts.test_scanimage import field, scope
from tests.converters.accounts.test_scanimage import write as write_scanimage

Random = np.random.Generator


@dataclass
class Movie:
    """Arguments that read a movie, and what the NWB file must then hold.

    Attributes
    ----------
    source : dict
        As in a spec.
    values : ndarray, shape (frames,) or (frames, planes)
        What a pixel of row 1 holds; None for a video, whose frames stay outside.
    times : ndarray, shape (frames,)
        True times in s, from the first frame.
    tolerance : float
        Precision of the file's stamps, in s.
    """

    source: dict[str, Any]
    values: npt.NDArray[Any] | None
    times: npt.NDArray[np.float64]
    tolerance: float = 2e-6


def _times(random: Random, count: int, rate: float) -> npt.NDArray[np.float64]:
    """Give the times of frames: at a rate, and half of the movies with frames that are missing."""
    steps = np.ones(count - 1)
    if random.random() < 0.5 and count > 2:
        steps[random.integers(count - 1)] += random.integers(1, 50)
    return np.r_[0.0, np.cumsum(steps)] / rate


def _choose(random: Random, count: int) -> dict[str, Any]:
    """Choose one of so many planes, or all of them."""
    return {"plane_index": int(random.integers(count))} if count > 1 and random.random() < 0.4 else {}


def make_tiff(folder: Path, random: Random) -> Movie:
    """Make a TIFF: of ImageJ, OME, or plain with arguments; in one file, or plain in several."""
    import tifffile

    form = random.choice(["imagej", "ome", "plain"])
    frames, channels, planes = (int(number) for number in random.integers([2, 1, 1], [9, 4, 4]))
    channel = int(random.integers(channels))
    data = np.array([[[raw.page(t, c, z) for c in range(channels)] for z in range(planes)] for t in range(frames)])
    args: dict[str, Any] = {"sampling_frequency": 20.0}
    if channels > 1:
        args["channel_name"] = str(channel)
    paths = [folder / "movie.tif"]
    if form == "imagej":
        tifffile.imwrite(paths[0], data, imagej=True, metadata={"axes": "TZCYX", "finterval": 0.05})
    elif form == "ome":
        order = "".join(random.permutation(list("TZC")))
        moved = data.transpose([*("TZC".index(axis) for axis in order), 3, 4])
        tifffile.imwrite(paths[0], moved, ome=True, metadata={"axes": f"{order}YX"}, photometric="minisblack")
    else:
        pages = data.reshape(-1, raw.HEIGHT, raw.WIDTH)
        cut = int(random.integers(planes * channels))  # stopped within a volume
        pages = pages[: len(pages) - cut]
        frames = len(pages) // (planes * channels)
        parts = np.array_split(pages, min(int(random.integers(1, 4)), len(pages)))
        paths = [folder / f"part_{number:03d}.tif" for number in range(1, len(parts) + 1)]
        for path, part in zip(paths, parts, strict=True):
            tifffile.imwrite(path, part, photometric="minisblack", metadata=None)
        args |= {"num_channels": channels, "num_planes": planes, "dimension_order": "CZT"}
    args |= {"file_path": paths[0]} if len(paths) == 1 else {"file_paths": paths}
    values = raw.expected(frames, channel, planes)
    return Movie({"interface": "TiffImagingInterface", "args": args}, values, np.arange(frames) / 20.0)


def make_scanimage(folder: Path, random: Random) -> Movie:
    """Make an acquisition of ScanImage: channels, volumes with flyback or fields of view, parts, missing frames."""
    rate, volumes = 30.0, int(random.integers(2, 7))
    channels, planes = int(random.integers(1, 3)), int(random.integers(1, 4))
    flyback = int(random.integers(3)) if planes > 1 else 0
    channel, cycle = int(random.integers(channels)), planes + flyback
    numbers = 1 + np.round(_times(random, volumes, 1.0)).astype(int)[:, None] * cycle + np.arange(cycle)
    fields = int(random.integers(2, 4)) if planes == 1 and random.random() < 0.5 else 1
    pages, frame_numbers = [], []
    for volume, plane in np.ndindex(volumes, cycle):
        for c in range(channels):
            image = raw.page(volume, c, plane).astype(np.int16)
            gap = np.full((2, raw.WIDTH), -1, np.int16)  # lines of the fly-to
            stack = [part for n in range(fields) for part in (image + 200 * n, gap)][:-1]
            pages.append(np.concatenate(stack))
            frame_numbers.append(int(numbers[volume, plane]))
    more: dict[str, Any] = {"SI__hChannels__channelSave": ["1", random.choice(["[1 2]", "[1;2]"])][channels - 1]}
    args: dict[str, Any] = {"channel_name": ["Green", "Red"][channel]} if channels > 1 else {}
    rois, values = None, raw.expected(volumes, channel, planes)
    if fields > 1:
        chosen = int(random.integers(fields))
        more["SI__hRoiManager__mroiEnable"] = "true"
        rois = [{"name": f"F{n}", "scanfields": field(raw.HEIGHT, raw.WIDTH)} for n in range(fields)]
        args["field"], values = f"F{chosen}", values + 200 * chosen
    if planes > 1:
        args |= (plane := _choose(random, planes))
        values = raw.expected(volumes, channel, planes, plane.get("plane_index"))
        for name, value in (
            ("enable", "true"), ("numSlices", planes), ("numFramesPerVolume", planes),
            ("numFramesPerVolumeWithFlyback", cycle), ("stackMode", "'fast'"),
        ):  # fmt: skip
            more[f"SI__hStackManager__{name}"] = value
        more["SI__hRoiManager__scanVolumeRate"] = rate / cycle
    length = int(random.integers(channels, len(pages) + 1)) if random.random() < 0.5 else len(pages)
    more["SI__hScan2D__logFramesPerFile"] = length if length < len(pages) else "Inf"
    for number, first in enumerate(range(0, len(pages), length), 1):
        name = folder / f"scan_00001_{number:05d}.tif" if length < len(pages) else folder / "scan_00001.tif"
        part = slice(first, first + length)
        write_scanimage(name, pages[part], numbers=frame_numbers[part], rois=rois, **more)
    name = "scan_00001_00001.tif" if length < len(pages) else "scan_00001.tif"
    source = scope(name, **args)
    source["args"]["file_path"] = folder / name
    return Movie(source, values, (numbers[:, 0] - 1) / rate)


def make_bruker(folder: Path, random: Random) -> Movie:
    """Make a recording of Prairie View: channels, cycles with pauses, volumes in both directions, a stop."""
    planes, channels, cycles = (int(number) for number in random.integers([1, 1, 3], [4, 3, 6]))
    channel, path = int(random.integers(channels)), folder / "TSeries-1"
    args = {"channel_name": f"Ch{channel + 1}"} if channels > 1 else {}
    if planes > 1:
        starts = _times(random, cycles, 5.0)
        times = [(start + np.arange(planes) / (5.0 * planes)).tolist() for start in starts]
        times[-1] = times[-1][: int(random.integers(1, planes + 1))]
        frames = cycles - (len(times[-1]) < planes)
        raw.write_bruker(path, times, planes=planes, channels=channels, bidirectional=bool(random.integers(2)))
        args |= (plane := _choose(random, planes))  # type: ignore[assignment]
        values = raw.expected(frames, channel, planes, plane.get("plane_index"))
        return Movie(_bruker(path, args), values, starts[:frames])
    counts = random.integers(1, 7, cycles)
    pauses = np.cumsum(random.uniform(0, 4, cycles))
    ends = np.r_[0, np.cumsum(counts)[:-1]] / 30.0
    times = [(pauses[n] - pauses[0] + ends[n] + np.arange(counts[n]) / 30.0).tolist() for n in range(cycles)]
    raw.write_bruker(path, times, channels=channels)
    return Movie(_bruker(path, args), raw.expected(sum(counts), channel), np.concatenate(times))


def _bruker(path: Path, args: dict[str, Any]) -> dict[str, Any]:
    return {"interface": "BrukerTiffImagingInterface", "args": {"folder_path": path, **args}}


def make_scanbox(folder: Path, random: Random) -> Movie:
    """Make a recording of Scanbox: channels, planes, a stop within a volume."""
    frames, channels, planes = (int(number) for number in random.integers([2, 1, 1], [8, 3, 4]))
    channel = int(random.integers(channels))
    pages = [(frame, plane) for frame in range(frames) for plane in range(planes)]
    cut = int(random.integers(planes))
    frames -= cut > 0
    path = folder / "scan.sbx"
    raw.write_scanbox(path, pages[: len(pages) - cut], channels=channels, planes=planes)
    args = {"file_path": path, **(plane := _choose(random, planes))}
    if channels > 1:
        args["channel_name"] = ["green", "red"][channel]
    values = raw.expected(frames, channel, planes, plane.get("plane_index"))
    source = {"interface": "SbxImagingInterface", "args": args}
    return Movie(source, values, np.arange(frames) * planes * 512 / 7930)


def make_thor(folder: Path, random: Random) -> Movie:
    """Make a recording of ThorImage: channels, planes with flyback, times of frames."""
    frames, channels, planes = (int(number) for number in random.integers([2, 1, 1], [5, 3, 4]))
    channel, flyback = int(random.integers(channels)), int(random.integers(3))
    times = _times(random, frames, 10.0) if random.random() < 0.5 else None
    raw.write_thor(
        folder / "thor", frames, channels=channels, planes=planes, flyback=flyback,
        steps=None if times is None else np.diff(times),
    )  # fmt: skip
    args: dict[str, Any] = {"file_path": folder / "thor" / "ChanA_001_001_001_001.tif"}
    if channels > 1:
        args["channel_name"] = ["ChanA", "ChanB"][channel]
    if times is None:
        times = np.arange(frames) * (planes + (flyback if planes > 1 else 0)) / 30.0
    source = {"interface": "ThorImagingInterface", "args": args}
    return Movie(source, raw.expected(frames, channel, planes), times)


def make_micromanager(folder: Path, random: Random) -> Movie:
    """Make a recording of Micro-Manager: any rate, missing frames, several files."""
    times = _times(random, int(random.integers(3, 20)), float(random.uniform(1, 100)))
    raw.write_micromanager(folder / "mm", times, parts=int(random.integers(1, 4)))
    source = {"interface": "MicroManagerTiffImagingInterface", "args": {"folder_path": folder / "mm"}}
    return Movie(source, raw.expected(len(times)), times)


def make_video(folder: Path, random: Random) -> Movie:
    """Make a video in any container: a rate, two rates, missing frames or jitter."""
    import av

    count, rate = int(random.integers(3, 40)), float(random.choice([10, 20, 25, 50]))
    steps = np.full(count - 1, 1 / rate)
    kind = random.integers(4)
    if kind == 1:
        steps[count // 2 :] *= 3
    elif kind == 2:
        steps[random.integers(count - 1)] += int(random.integers(1, 30)) / rate
    elif kind == 3:
        steps *= random.uniform(0.5, 2.0, count - 1)
    stamps = np.round(1000 * np.r_[0.0, np.cumsum(steps)]).astype(int)
    path = folder / f"face.{random.choice(['mp4', 'mov', 'mkv'])}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=int(rate))
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = int(stamp), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    source = {"interface": "ExternalVideoInterface", "args": {"file_paths": [path]}}
    # Frames that are evenly spaced but for a tenth of an interval have the mean rate.
    return Movie(source, None, (stamps - stamps[0]) / 1000, tolerance=0.1 / rate + 0.001)


FORMATS: dict[str, Callable[[Path, Random], Movie]] = {
    "tiff": make_tiff,
    "scanimage": make_scanimage,
    "bruker": make_bruker,
    "scanbox": make_scanbox,
    "thor": make_thor,
    "micromanager": make_micromanager,
    "video": make_video,
}
