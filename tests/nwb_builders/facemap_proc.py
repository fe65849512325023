"""A result of Facemap as facemap 1.0.8 writes it, made by hand with values that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

HEIGHT, WIDTH, BIN = 60, 80, 2


def make_proc(
    frames: int = 40,
    *,
    full: bool = True,
    motion: bool = True,
    movie: bool = False,
    motion_rois: int = 1,
    pupils: int = 1,
    values: bool = False,
    videos: tuple[str, ...] = ("/data/rig/a.avi",),
) -> dict[str, Any]:
    """The dictionary of ``<video>_proc.npy``, with the quirks of the real one (see `_facemap.py`)."""
    rng = np.random.default_rng(0)
    ly, lx = HEIGHT // BIN, WIDTH // BIN

    def shapes(on: bool) -> tuple[list[Any], list[Any], list[Any]]:
        masks: list[Any] = []
        reshaped: list[Any] = []
        projections: list[Any] = []
        if on:  # the full frame's entry is there whenever the SVD was on, empty without fullSVD
            masks.append(rng.random((ly * lx, 5), np.float32) if full else np.zeros((0, 1), np.float32))
            reshaped.append(masks[0].reshape(ly, lx, 5) if full else masks[0])
            projections.append(rng.random((frames, 5), np.float32) if full else np.zeros((0, 1), np.float32))
        for _ in range(motion_rois):  # the masks of ROIs are there even if it was off
            masks.append(rng.random((9 * 12, 4), np.float32))
            reshaped.append(masks[-1].reshape(9, 12, 4) if on else masks[-1])
            if on:
                projections.append(rng.random((frames, 4), np.float32))
        return masks, reshaped, projections

    mot, mov = shapes(motion), shapes(movie)
    energy = [rng.random(frames if full else 0).astype(np.float32)]
    energy += [rng.random(frames).astype(np.float32) for _ in range(motion_rois)]
    last = mot[2][-1].shape[1] if motion else 0
    rois: list[dict[str, Any]] = [
        {
            "rind": 0,
            "rtype": "pupil",
            "ivid": 0,
            "yrange": np.arange(12, 48),
            "xrange": np.arange(7, 43),
            "ellipse": np.ones((36, 36), bool),
            "saturation": 60.0,
        }
        for _ in range(pupils)
    ]
    rois += [
        {"rind": 1, "ivid": 0, "yrange": np.arange(38 + i, 58), "xrange": np.arange(48, 72), "saturation": 0}
        for i in range(motion_rois)
    ]
    rois.append({"rind": 2, "ivid": 0, "yrange": np.arange(5), "xrange": np.arange(5), "saturation": 60.0})
    rois.append({"rind": 3, "ivid": 0, "yrange": np.arange(5), "xrange": np.arange(5), "saturation": 0})
    return {
        "filenames": [[name] for name in videos],
        "save_path": "/data/rig",
        "Ly": [HEIGHT],
        "Lx": [WIDTH],
        "sbin": BIN,
        "fullSVD": full,
        "Lybin": np.array([ly], np.int32),
        "LYbin": np.int64(ly),
        "avgframe": [rng.random((ly, lx), np.float32)],
        "avgframe_reshape": rng.random((ly, lx), np.float32),
        "avgmotion_reshape": rng.random((ly, lx), np.float32),
        "motion": energy if motion else [np.zeros_like(e) for e in energy],
        "motSv": np.arange(last, 0, -1, dtype=np.float32) if values else np.zeros(500, np.float32),
        "movSv": np.zeros(500, np.float32),
        "motMask": mot[0],
        "movMask": mov[0],
        "motMask_reshape": mot[1],
        "movMask_reshape": mov[1],
        "motSVD": mot[2],
        "movSVD": mov[2],
        "pupil": [
            {
                "area": 100.0 + 10 * k + np.arange(frames),
                "com": np.stack([np.full(frames, 18.0), np.arange(frames) / 10], axis=1),  # (y, x) in the ROI
                "axdir": np.tile(np.eye(2), (frames, 1, 1)),
                "axlen": np.full((frames, 2), 36.0),
                "area_smooth": 101.0 + 10 * k + np.arange(frames),
                "com_smooth": np.stack([np.full(frames, 19.0), np.arange(frames) / 10], axis=1),
            }
            for k in range(pupils)
        ],
        "running": [np.stack([np.arange(frames), -np.arange(frames)], axis=1).astype(float)],  # (dy, dx)
        "blink": [np.arange(frames) * 2.0],
        "rois": rois,
        "sy": 0,
        "sx": 0,
    }


def write_proc(path: Path, **options: Any) -> dict[str, Any]:
    """Write it as facemap does."""
    proc = make_proc(**options)
    np.save(path, proc, allow_pickle=True)  # type: ignore[arg-type]
    return proc
