"""A small face video with a known pupil and a known moving pad, without loss (FFV1 in AVI)."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

WIDTH, HEIGHT = 120, 88
EYE = {"x": [16, 67], "y": [12, 49]}
PAD = {"x": [70, 110], "y": [50, 80]}
SATURATION = 110.0


@dataclass(frozen=True)
class SimulatedFace:
    files: list[Path]
    frames: int
    area: np.ndarray  # (frames,) in pixels^2
    center: tuple[float, float]  # x, y
    shift: np.ndarray  # (frames,) of the pad along x, against the frame before


def simulate_face(folder: Path, frames: list[int], seed=0, rate=30) -> SimulatedFace:
    import av

    rng = np.random.default_rng(seed)
    total = sum(frames)

    def smooth(width):
        values = np.convolve(rng.normal(size=total + width - 1), np.ones(width) / width, "valid")
        return (values - values.min()) / np.ptp(values)

    radius = 6 + 6 * smooth(25)
    moves = np.where(rng.random(total) < 0.4, rng.integers(-3, 4, total), 0)
    moves[0] = 0
    position = np.cumsum(moves)
    position -= np.round(np.linspace(position[0], position[-1], total)).astype(int)  # it stays in its texture
    shift = np.diff(position, prepend=position[0])
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    fur = 120 + 25 * np.sin(x / 5.0) * np.cos(y / 7.0)
    noise = rng.normal(size=(30 + 8, 400 + 8))
    texture = 128 + 60 * sum(noise[i : i + 30, j : j + 400] for i in range(0, 8, 2) for j in range(0, 8, 2)) / 4
    center = (41.0, 30.0)
    files = [folder / f"face_{number}.avi" for number in range(len(frames))]
    frame = 0
    for path, count in zip(files, frames, strict=True):
        with av.open(str(path), "w") as video:
            stream = video.add_stream("ffv1", rate=rate)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray"
            stream.time_base = Fraction(1, rate)
            for _ in range(count):
                image = fur.copy()
                image[((x - center[0]) / 24) ** 2 + ((y - center[1]) / 17) ** 2 <= 1] = 200
                image[np.hypot(x - center[0], y - center[1]) <= radius[frame]] = 20
                start = 180 - position[frame]
                image[50:80, 70:110] = texture[:, start : start + 40]
                image += rng.normal(0, 2, image.shape)
                gray = np.clip(image, 0, 255).astype(np.uint8)
                for packet in stream.encode(av.VideoFrame.from_ndarray(gray, format="gray")):
                    video.mux(packet)
                frame += 1
            for packet in stream.encode():
                video.mux(packet)
    return SimulatedFace(files, total, np.pi * radius**2, center, shift)
