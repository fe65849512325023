"""Run suite2p 1.1 on a movie of an NWB file (compute module: see `nwbpipe.processors`).

Orientation. NWB (and NeuroConv) store a movie as (frames, x, y[, planes]); suite2p works on (frames, y, x), a
plane at a time. Frames are transposed on their way in, and every result on its way out: images are (x, y), as the
frames of the stored series are; ``x`` is an index along the second axis of the series, ``y`` one along its third.

Memory. suite2p reads the frames that it asks for from the NWB file (`nwbpipe_kit.movies`), and writes the registered
ones to a memory-mapped file in the scratch folder (2 bytes per pixel). It holds a binned movie of up to
``detection.nbins`` frames as float32.

Stages. What is registered stays in the scratch folder until all is done, and so do finished planes: a run that was
killed goes on from there when the engine hands it the same folder.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import random
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import h5py
import numpy as np

from nwbpipe_kit.movies import GROUP_BYTES, Movie, intensity_scale
from nwbpipe_kit.plain import to_plain

from ._store import Arrays, join_planes, plane_arrays, store_arrays
from ._tool import choose_device, fit_blocks, suite2p_settings

Progress = Callable[[float, str], None]

STAGES = {
    "REGISTRATION": (0.05, "registration"),
    "ROI DETECTION": (0.55, "detection of ROIs"),
    "EXTRACTION": (0.75, "extraction of traces"),
    "SPIKE DECONVOLUTION": (0.9, "deconvolution"),
    "ROI CLASSIFICATION": (0.95, "classification"),
}
NAMES = ("reg", "det", "stat", "F", "Fneu", "F2", "Fneu2", "spks", "iscell", "redcell", "zcorr", "times")


class LogFollower(logging.Handler):
    """Turns suite2p's log into progress, and remembers how many ROIs it discarded."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.INFO)
        self.progress = progress
        self.removed, self.plane, self.planes = 0, 0, 1

    def begin_plane(self, plane: int, planes: int) -> None:
        """Begin a plane."""
        self.removed, self.plane, self.planes = 0, plane, planes

    def show_progress(self, fraction: float, label: str) -> None:
        """Show how far this plane is."""
        plane_label = " of plane %d" % self.plane if self.planes > 1 else ""
        self.progress((self.plane + min(fraction, 1.0)) / self.planes, label + plane_label)

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        print(text, flush=True)
        removed = re.match(r"Removing (\d+) ROIs with snr", text)
        if removed:
            self.removed = int(removed.group(1))
        if text.startswith("-----------"):
            for name, (fraction, label) in STAGES.items():
                if text.strip("- ").startswith(name):
                    self.show_progress(fraction, label)


def stopped_without_rois(error: Exception, folder: Path, follow: LogFollower) -> bool:
    """Tell whether suite2p stopped because no ROI was left."""
    if "no ROIs were found" in str(error) or "no ROIs passed preclassify" in str(error):
        return True
    if follow.removed and (folder / "stat.npy").exists():
        return len(np.load(folder / "stat.npy", allow_pickle=True)) == follow.removed
    return False


def compute(request: dict[str, Any], results: h5py.File, progress: Progress, detect: bool = True) -> dict[str, Any]:
    """Register the movie, find the cells, extract and deconvolve their activity, plane by plane.

    Without `detect`, only what the registration gives is left.
    """
    params, facts = request["params"], request["facts"]
    scratch = Path(request["scratch"])
    # suite2p reads and writes ~/.suite2p when it is imported: a user's settings must not change the result.
    os.environ["HOME"] = str(scratch)
    progress(0.0, "starting suite2p")
    import suite2p
    import torch

    threads = max(1, int(request["threads"]))
    torch.set_num_threads(threads)
    settings = suite2p_settings(suite2p, facts["settings"], params, float(facts["rate"]))
    settings["torch_device"] = choose_device(torch, params["device"])
    log, follow = logging.getLogger("suite2p"), LogFollower(progress)
    log.setLevel(logging.INFO)
    log.addHandler(follow)
    log.propagate = False
    planes: List[Arrays] = []
    seconds: Dict[str, float] = {}
    try:
        with ChannelMovies(request["inputs"], progress, threads) as sources:
            fit_blocks(settings["registration"], *sources.shape[1:])
            for plane in sources.planes:
                for seeded in (random.seed, np.random.seed, torch.manual_seed):
                    seeded(int(request["seed"]) % 2**32)
                follow.begin_plane(plane or 0, len(sources.planes))
                run = PlaneRun(suite2p, sources, plane, copy.deepcopy(settings), scratch, follow)
                planes.append(run.compute_arrays(bool(params["do_registration"]), detect))
                for name, value in run.seconds.items():
                    seconds[name] = seconds.get(name, 0.0) + value
            scale = sources.scale
    finally:
        log.removeHandler(follow)
    joined = join_planes(planes)
    if params.get("cell_threshold", 0.5) != 0.5 and len(joined["rois/index"]):  # 0.5 is suite2p's own
        joined["rois/iscell"] = joined["rois/iscell_probability"] > params["cell_threshold"]
    summary: Dict[str, Any] = store_arrays(results, joined, scale)
    summary.update(
        frames=sources.shape[0],
        planes=len(planes),
        device=settings["torch_device"],
        rate=settings["fs"],
        seconds=seconds,
        settings=to_plain(settings),
        tool_version=str(suite2p.version),
    )
    progress(1.0, "%d ROIs, %d of them cells" % (summary["rois"], summary["cells"]) if detect else "registered")
    return summary


class ChannelMovies:
    """The movie, and that of the second channel where there is one, open for reading."""

    def __init__(self, inputs: Dict[str, Any], progress: Progress, threads: int) -> None:
        self.threads = threads
        self.files: List[h5py.File] = []
        self.data = [self._open(inputs[name]) for name in ("movie", "second_channel") if name in inputs]
        first = self.data[0]
        if first.ndim not in (3, 4) or any(dataset.shape != first.shape for dataset in self.data):
            self.__exit__()
            raise ValueError(
                "expected movies (frames, x, y[, planes]) of one shape, found %s" % [d.shape for d in self.data]
            )
        self.planes: List[Optional[int]] = list(range(first.shape[3])) if first.ndim == 4 else [None]
        frames, nx, ny = first.shape[:3]
        self.shape = (frames, ny, nx)
        self.scales = [intensity_scale(dataset, progress, threads) for dataset in self.data]
        self.scale = self.scales[0]

    def _open(self, source: Dict[str, Any]) -> h5py.Dataset:
        self.files.append(h5py.File(source["file"], "r", locking=False, rdcc_nbytes=GROUP_BYTES))
        return self.files[-1][source["data"]]

    def __enter__(self) -> "ChannelMovies":
        return self

    def __exit__(self, *_: Any) -> None:
        for file in self.files:
            file.close()

    def movies(self, plane: Optional[int], on_read: Optional[Callable[[int], None]]) -> List[Movie]:
        """Return the movie of a plane, for each channel."""
        first = True
        channel_movies = []
        for data, scale in zip(self.data, self.scales):
            channel_movies.append(Movie(data, scale, on_read if first else None, plane, self.threads))
            first = False
        return channel_movies


class PlaneRun:
    """suite2p on one plane: registration, then all else, each kept in a folder of its own."""

    def __init__(
        self,
        suite2p: Any,
        sources: ChannelMovies,
        plane: Optional[int],
        settings: Dict[str, Any],
        scratch: Path,
        follow: LogFollower,
    ) -> None:
        import torch

        self.suite2p, self.settings, self.follow = suite2p, settings, follow
        name = "plane%d" % (plane or 0)
        self.kept = scratch / "stages" / name  # what is finished moves there
        self.folder = self.kept if self.kept.is_dir() else scratch / "suite2p" / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sources = sources
        frames = sources.shape[0]
        self.movies = sources.movies(
            plane, lambda stop: follow.show_progress(0.05 + 0.5 * stop / frames, "registration")
        )
        self.device = torch.device(settings["torch_device"])
        self.seconds: Dict[str, float] = {}

    def compute_arrays(self, register: bool, detect: bool) -> Arrays:
        """Return the plane's arrays; one that an earlier try had finished is not computed again."""
        finished_file = self.kept / "done.npz"
        if finished_file.is_file():
            with np.load(finished_file, allow_pickle=False) as stored:
                return {name.replace("|", "/"): stored[name] for name in stored.files}
        files = self.register() if register else self.skip_registration()
        try:
            outputs = self.find_cells(files) if detect else self.read_registration()
        finally:
            for file in files:
                if not isinstance(file, Movie):
                    file.close()
        block_size, ny, nx = self.settings["registration"]["block_size"], *self.sources.shape[1:]
        blocks = (
            self.suite2p.registration.nonrigid.make_blocks(ny, nx, block_size) if "yoff1" in outputs["reg"] else None
        )
        arrays = plane_arrays(outputs, self.sources.shape, self.sources.scales, blocks)
        if "images/mean" not in arrays:  # nothing was registered, and nothing was found
            arrays["images/mean"] = self.compute_mean()
        partial = self.folder / "partial.npz"
        np.savez(partial, **{name.replace("/", "|"): values for name, values in arrays.items()})  # type: ignore[arg-type]
        self.kept.mkdir(parents=True, exist_ok=True)
        partial.replace(self.kept / "done.npz")
        for binary in self.folder.glob("data*.bin"):
            binary.unlink()
        return arrays

    def register(self) -> List[Any]:
        """Register the channels into binary files, unless they are there; return these."""
        frames, ny, nx = self.sources.shape
        binaries = [self.folder / name for name in ("data.bin", "data_chan2.bin")[: len(self.movies)]]
        marker = self.folder / "registered.json"
        if not marker.is_file():
            for binary in binaries:
                binary.unlink(missing_ok=True)
            files = [self.suite2p.io.BinaryFile(ny, nx, str(b), n_frames=frames, write=True) for b in binaries]
            settings = copy.deepcopy(self.settings)
            settings["run"]["do_detection"] = False
            second = {"f_reg_chan2": files[1], "f_raw_chan2": self.movies[1]} if len(files) > 1 else {}
            outputs = self.suite2p.pipeline(
                str(self.folder), files[0], f_raw=self.movies[0], settings=settings, device=self.device, **second
            )
            for file in files:
                file.file.flush()
                file.close()
            self.seconds.update(to_plain(outputs[-1]))
            self.exclude_constant(outputs[0])
            marker.write_text(json.dumps({"seconds": self.seconds}))
            self.kept.parent.mkdir(exist_ok=True)
            self.folder = self.folder.rename(self.kept)
        else:
            print("the movie had been registered before: going on from there")
        return [self.suite2p.io.BinaryFile(ny, nx, str(self.kept / binary.name)) for binary in binaries]

    def skip_registration(self) -> List[Any]:
        """Look for constant frames; the movie itself is read by detection and extraction."""
        _, ny, nx = self.sources.shape
        for start in self.movies[0].blocks():
            self.movies[0][start : start + self.movies[0].blocks().step]
        reg = {"yrange": [0, ny], "xrange": [0, nx], "badframes": np.zeros(self.sources.shape[0], bool)}
        self.exclude_constant(reg)
        return list(self.movies)

    def exclude_constant(self, reg: Dict[str, Any]) -> None:
        """Keep frames without an image (a closed shutter) out of detection."""
        constant = self.movies[0].constant
        if constant.all():
            raise ValueError("every frame of the movie is constant: it shows nothing")
        if constant.any():
            print("%d frames are constant, and are excluded from detection" % constant.sum())
            reg["badframes"] = np.asarray(reg["badframes"], bool) | constant
        np.save(self.folder / "reg_outputs.npy", reg)  # type: ignore[arg-type]  # where suite2p reads it again

    def find_cells(self, files: List[Any]) -> Dict[str, Any]:
        """Detect, extract, deconvolve and classify; where suite2p finds nothing the result is empty."""
        second = {"f_reg_chan2": files[1]} if len(files) > 1 else {}
        try:
            values = self.suite2p.pipeline(
                str(self.folder),
                files[0],
                run_registration=False,
                settings=self.settings,
                device=self.device,
                **second,
            )
        except Exception as error:
            if not stopped_without_rois(error, self.folder, self.follow):
                raise
            print("suite2p found no ROI:", error)
            # Like stat.npy above, they were written by suite2p itself a moment ago, in our own scratch folder.
            reg = np.load(self.folder / "reg_outputs.npy", allow_pickle=True).item()
            detected = self.folder / "detect_outputs.npy"
            values = (reg, np.load(detected, allow_pickle=True).item() if detected.exists() else {}) + (None,) * 10
        self.seconds.update(to_plain(values[-1] or {}))
        return dict(zip(NAMES, values))

    def read_registration(self) -> Dict[str, Any]:
        """Return what the registration left, as a run that found no cells would."""
        # It was written by `exclude_constant` a moment ago, in our own scratch folder.
        reg = np.load(self.folder / "reg_outputs.npy", allow_pickle=True).item()
        return {"reg": reg, "det": {}, "stat": None, "F": None}

    def compute_mean(self) -> np.ndarray:
        """Return the mean image (x, y) of the movie as it is."""
        movie = self.movies[0]
        total = np.zeros(movie.shape[1:])
        for start in movie.blocks():
            total += movie[start : start + movie.blocks().step].sum(axis=0, dtype=np.float64)
        mean: np.ndarray = (total / movie.shape[0] * self.sources.scale).T.astype(np.float32)
        return mean
