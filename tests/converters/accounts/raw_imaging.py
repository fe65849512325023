"""Write recordings of microscopes as their programs do; a pixel says its frame, channel and plane."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

HEIGHT, WIDTH = 6, 8


def page(frame: int, channel: int = 0, plane: int = 0) -> np.ndarray:
    """Make a picture whose pixels say where it belongs, but for the first row, which differs from the others."""
    image = np.full((HEIGHT, WIDTH), frame + 1000 * channel + 5000 * plane, np.uint16)
    image[0] += 1
    return image


def expected(frames: int, channel: int = 0, planes: int = 1, plane: int | None = None) -> np.ndarray:
    """Return what a pixel of NWB's (time, x, y[, plane]) holds at row 1."""
    values = np.arange(frames)[:, None] + 1000 * channel + 5000 * np.arange(planes)
    return values[:, 0] if planes == 1 else values if plane is None else values[:, plane]


def write_bruker(
    folder: Path, cycles: list[list[float]], *, planes: int = 1, channels: int = 1, bidirectional: bool = False
) -> None:
    """Write a folder of Prairie View: the times of the frames of each cycle, or of the planes of each volume."""
    import tifffile

    folder.mkdir()
    kind = "TSeries ZSeries Element" if planes > 1 else "TSeries Timed Element"
    lines = ['<?xml version="1.0"?>', '<PVScan version="5.5.64.500" date="1/2/2024 10:00:00 AM">']
    values = "".join(f'<IndexedValue index="{axis}" value="{um}" />' for axis, um in (("XAxis", 1.1), ("YAxis", 1.5)))
    lines.append(f'<PVStateShard><PVStateValue key="micronsPerPixel">{values}</PVStateValue></PVStateShard>')
    frame = 0
    for cycle, times in enumerate(cycles, 1):
        lines.append(f'<Sequence type="{kind}" cycle="{cycle}" bidirectionalZ="{bidirectional}">')
        for index, seconds in enumerate(times):
            plane = planes - 1 - index if bidirectional and cycle % 2 == 0 else index
            start = 0.0 if planes > 1 else times[0]
            lines.append(
                f'<Frame relativeTime="{seconds - start:.9f}" absoluteTime="{seconds + 2:.9f}" index="{index}">'
            )
            for channel in range(channels):
                name = f"{folder.name}_Cycle{cycle:05d}_Ch{channel + 1}_{index + 1:06d}.ome.tif"
                value = page(cycle - 1, channel, plane) if planes > 1 else page(frame, channel)
                tifffile.imwrite(folder / name, value, metadata=None)
                lines.append(
                    f'<File channel="{channel + 1}" channelName="Ch{channel + 1}" page="1" filename="{name}"/>'
                )
            lines.append("</Frame>")
            frame += 1
        lines.append("</Sequence>")
    (folder / f"{folder.name}.xml").write_text("\n".join([*lines, "</PVScan>"]))


def bruker(name: str = "TSeries-1", **args: Any) -> dict[str, Any]:
    return {"interface": "BrukerTiffImagingInterface", "args": {"folder_path": name, **args}}


def write_scanbox(path: Path, pages: list[tuple[int, int]], *, channels: int = 1, planes: int = 1) -> None:
    """Write a recording of Scanbox of the frames and planes given, each in all channels."""
    from scipy.io import savemat

    images = [np.stack([page(frame, channel, plane) for channel in range(channels)], -1) for frame, plane in pages]
    (65535 - np.stack(images)).astype("<u2").tofile(path.with_suffix(".sbx"))
    info = {
        "channels": 1 if channels == 2 else 2, "recordsPerBuffer": HEIGHT, "scanmode": 1, "resfreq": 7930.0,
        "sz": [HEIGHT, WIDTH], "config": {"lines": 512}, "scanbox_version": 2, "otwave": np.arange(planes),
        "volscan": int(planes > 1),
    }  # fmt: skip
    savemat(path.with_suffix(".mat"), {"info": info})


def scanbox(name: str = "scan.sbx", **args: Any) -> dict[str, Any]:
    return {"interface": "SbxImagingInterface", "args": {"file_path": name, **args}}


def write_thor(
    folder: Path,
    frames: int,
    *,
    channels: int = 1,
    planes: int = 1,
    flyback: int = 0,
    steps: np.ndarray | None = None,
) -> None:
    """Write a folder of ThorImage, one file a frame; `steps` are the times between them, where they are known."""
    import tifffile

    folder.mkdir()
    names = ["ChanA", "ChanB"][:channels]
    times = None if steps is None else np.r_[0.0, np.cumsum(steps)]
    listed, planes_text = "", ""
    for t, z, c in np.ndindex(frames, planes, channels):
        name = f"{names[c]}_001_001_{z + 1:03d}_{t + 1:03d}.tif"
        listed += f'<TiffData IFD="0" FirstT="{t}" FirstZ="{z}" FirstC="{c}"><UUID FileName="{name}"/></TiffData>'
        if times is not None:
            planes_text += f'<Plane TheT="{t}" TheZ="{z}" TheC="{c}" DeltaT="{times[t]:.6f}"/>'
    size = f'SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeT="{frames}" SizeC="{channels}" SizeZ="{planes}"'
    text = f'<Pixels DimensionOrder="XYCZT" Type="uint16" {size}>{listed}{planes_text}</Pixels>'
    text = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">{text}</Image></OME>'
    for t, z, c in np.ndindex(frames, planes, channels):
        name = f"{names[c]}_001_001_{z + 1:03d}_{t + 1:03d}.tif"
        description = text if (t, z, c) == (0, 0, 0) else None
        tifffile.imwrite(folder / name, page(t, c, z), metadata=None, description=description)
    wavelengths = "".join(f'<Wavelength name="{name}"/>' for name in names)
    scanner = '<LSM frameRate="30.0" pixelSizeUM="1" widthUM="8" heightUM="6"/>'
    scanner += f'<Streaming flybackFrames="{flyback}"/>'
    start = '<Software version="4.1"/><Date date="5/1/2024 10:00:00" uTime="1714572000"/>'
    settings = f"<ThorImageExperiment>{start}<Wavelengths>{wavelengths}</Wavelengths>{scanner}</ThorImageExperiment>"
    (folder / "Experiment.xml").write_text(settings)


def thor(name: str = "thor", **args: Any) -> dict[str, Any]:
    path = f"{name}/ChanA_001_001_001_001.tif"
    return {"interface": "ThorImagingInterface", "args": {"file_path": path, **args}}


def write_micromanager(
    folder: Path, times: np.ndarray | None, frames: int = 0, parts: int = 1, **summary: int
) -> None:
    """Write a folder of Micro-Manager; pages say when they were taken, and it was played at 10 Hz."""
    import tifffile

    folder.mkdir()
    frames = frames if times is None else len(times)
    playing = {"map": {"PlaybackFPS": {"type": "DOUBLE", "scalar": 10.0}}}
    (folder / "DisplaySettings.json").write_text(json.dumps(playing))
    pages = np.array_split(np.arange(frames), parts)
    names = [f"{folder.name}_MMStack_Default{f'_{part}' if part else ''}.ome.tif" for part in range(parts)]
    listed = "".join(
        f'<TiffData><UUID FileName="{name}"/></TiffData>' * len(part) for name, part in zip(names, pages, strict=True)
    )
    size = f'SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeT="{frames}" SizeC="1" SizeZ="1"'
    text = f'<Pixels DimensionOrder="XYCZT" Type="uint16" {size}>{listed}</Pixels>'
    text = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">{text}</Image></OME>'
    values = {"Width": WIDTH, "Height": HEIGHT, "Channels": 1, "ChNames": ["Default"], "Slices": 1, **summary}
    values["StartTime"] = "2024-05-01 10:00:00.000 -0400"
    block = json.dumps({"MicroManagerVersion": "2.0.0", "Positions": 1, **values}).encode()
    for name, part in zip(names, pages, strict=True):
        with tifffile.TiffWriter(folder / name) as tiff:
            tiff.filehandle.seek(8)
            tiff.filehandle.write(
                struct.pack("<8I", 54773648, 0, 483765892, 0, 99384722, 0, 2355492, len(block)) + block
            )
            for frame in part:
                stamp = {} if times is None else {"ElapsedTime-ms": 1000 * float(times[frame])}
                tags = [(51123, 2, 0, json.dumps(stamp), True)]
                more = {"description": text if frame == part[0] else None, "extratags": tags}
                tiff.write(page(int(frame)), contiguous=False, metadata=None, **more)


def micromanager(name: str = "mm", **args: Any) -> dict[str, Any]:
    return {"interface": "MicroManagerTiffImagingInterface", "args": {"folder_path": name, **args}}


def write_miniscope(folder: Path, frames: list[int], times: np.ndarray) -> None:
    """Write a folder of Miniscope-DAQ: videos of so many frames, and the table of times."""
    import cv2

    folder.mkdir()
    for number, count in enumerate(frames):
        writer = cv2.VideoWriter(str(folder / f"{number}.avi"), cv2.VideoWriter_fourcc(*"FFV1"), 20.0, (32, 32))
        for frame in range(count):
            writer.write(np.full((32, 32, 3), frame, np.uint8))
        writer.release()
    rows = "".join(f"{number},{1000 * seconds:.3f},0\n" for number, seconds in enumerate(times))
    (folder / "timeStamps.csv").write_text(f"Frame Number,Time Stamp (ms),Buffer Index\n{rows}")
    settings = {"deviceName": "Miniscope", "deviceType": "Miniscope_V4_BNO", "frameRate": "20FPS", "gain": "High"}
    (folder / "metaData.json").write_text(json.dumps(settings))
