"""Raw sources of a chosen size, written a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import yaml

# The simulator's own writers of the two formats; it makes small sessions, the benchmarks large ones.
from nwbpipe.simulate._ephys import RATE_HZ, RUN, format_meta, make_probe
from nwbpipe.simulate._imaging import _write_scanimage

CHANNELS = 384
FRAME = (512, 512)
START = "2024-05-01T10:00:00"


def write_probe(folder: Path, size: int) -> Path:
    """Write a SpikeGLX recording of about `size` bytes (384 channels and sync); return its spec."""
    stem = folder / RUN / f"{RUN}_imec0" / f"{RUN}_t0.imec0.ap"
    stem.parent.mkdir(parents=True)
    binary = Path(f"{stem}.bin")
    samples = size // (2 * (CHANNELS + 1))
    second = int(RATE_HZ)
    rng = np.random.default_rng(0)
    # Noise of 10 steps, as a probe gives: what gzip makes of it decides the speed.
    block = np.rint(rng.normal(0, 10, (second, CHANNELS + 1))).astype("<i2")
    with binary.open("wb") as file:
        for start in range(0, samples, second):
            file.write(np.roll(block, start // second * 17, axis=0)[: samples - start].tobytes())
    Path(f"{stem}.meta").write_text(format_meta(binary, samples, make_probe(CHANNELS), START), encoding="ascii")
    args: dict[str, object] = {"folder_path": RUN, "stream_id": "imec0.ap"}
    return write_spec(folder, "SpikeGLXRecordingInterface", args)


def write_movie(folder: Path, size: int) -> Path:
    """Write a ScanImage BigTIFF of about `size` bytes (512 × 512, int16); return its spec."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = size // (2 * FRAME[0] * FRAME[1])
    rng = np.random.default_rng(0)
    block = rng.poisson(40, (64, *FRAME)).astype(np.int16)

    def movie() -> Iterator[np.ndarray]:
        for number in range(frames):
            yield np.roll(block[number % len(block)], number, axis=1)

    _write_scanimage(folder / "scan_00001.tif", movie(), FRAME, datetime.fromisoformat(START))
    return write_spec(folder, "ScanImageImagingInterface", {"file_path": "scan_00001.tif"})


def write_plain_movie(folder: Path, size: int) -> Path:
    """Write a multi-page TIFF of about `size` bytes (512 × 512, int16), its frames in one piece; return its spec."""
    import tifffile

    frames = size // (2 * FRAME[0] * FRAME[1])
    block = np.random.default_rng(0).poisson(40, (64, *FRAME)).astype(np.int16)
    movie = (np.roll(block[number % len(block)], number, axis=1) for number in range(frames))
    tifffile.imwrite(
        folder / "movie.tif", movie, shape=(frames, *FRAME), dtype=np.int16, photometric="minisblack", bigtiff=True
    )
    return write_spec(folder, "TiffImagingInterface", {"file_path": "movie.tif", "sampling_frequency": 30.0})


def write_spec(folder: Path, interface: str, args: dict[str, object]) -> Path:
    """Write a session.yaml of one source; return its path."""
    spec = folder / "session.yaml"
    content = {
        "nwbpipe": 1,
        "subject": {"subject_id": "bench", "species": "Mus musculus", "sex": "F", "age": "P90D"},
        "session": {
            "session_id": "bench",
            "session_start_time": f"{START}-04:00",
            "session_description": "A benchmark.",
            "experimenter": ["Doe, Jane"],
            "institution": "Nowhere",
            "lab": "Nobody's",
        },
        "sources": {"source": {"interface": interface, "args": args}},
    }
    spec.write_text(yaml.safe_dump(content, sort_keys=False))
    return spec
