"""S3: what a commit and an opening send, receive and take.

A real server (SeaweedFS) on this machine, through a proxy that counts; with 30 ms added to each request where that is
said. A result of 50 MB is appended to objects of growing size: by nwbpipe's transaction, and as it has been done so
far, by download, append, upload. And a session file (movie, 3 × 300 traces, 10 series, trials) as nwbpipe and as
NeuroConv write it is opened with pynwb, and one trace is read. A raw file there is converted: what of it is received.
"""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np

from benchmarks._proxy import Traffic, start_counting_server
from benchmarks._report import note, spread, table
from benchmarks._sources import write_plain_movie, write_probe
from benchmarks.commit import write

GB = 10**9
RESULT = 50_000_000
BUCKET = "nwbpipe-bench"
LATENCY_S = 0.03
UNCACHED = "h5py + fsspec, no cache"


def run(folder: Path, *, quick: bool) -> None:
    with start_counting_server() as traffic:
        client = open_bucket()
        _commit(folder, client, traffic, [GB // 50] if quick else [GB // 10, GB, 4 * GB], 1 if quick else 5)
        _opening(folder, client, traffic, quick=quick)
        _converting(folder, client, traffic, GB // 50 if quick else GB)


def open_bucket() -> Any:
    from nwbpipe.stores.s3 import connect

    client = connect()
    for _ in range(60):  # it answers before it can store
        try:
            client.create_bucket(Bucket=BUCKET)
            return client
        except Exception:
            time.sleep(0.5)
    raise SystemExit("the server makes no bucket")


def _commit(folder: Path, client: Any, traffic: Traffic, sizes: list[int], repeats: int) -> None:
    import nwbpipe.files

    data = np.random.default_rng(0).normal(size=RESULT // 8)

    def transaction(key: str, name: str) -> None:
        with nwbpipe.files.transaction(f"s3://{BUCKET}/{key}") as file:
            file[name] = data

    def whole(key: str, name: str) -> None:
        local = folder / "copy.h5"
        client.download_file(BUCKET, key, str(local))
        with h5py.File(local, "r+") as file:
            file[name] = data
        client.upload_file(str(local), BUCKET, key)
        local.unlink()

    ways: dict[str, Callable[[str, str], None]] = {"nwbpipe": transaction, "download, append, upload": whole}
    rows, seconds_taken = [], {}
    for size in sizes:
        path = write(folder / "source.h5", size)
        key = f"{size}.h5"
        client.upload_file(str(path), BUCKET, key)
        path.unlink()
        transaction(key, "warm")
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        moved: dict[str, tuple[int, int, int]] = {}
        for number in range(repeats if size <= GB else 2):  # the server gives no space back meanwhile
            for way, append in ways.items():
                traffic.reset()
                started = time.perf_counter()
                append(key, f"result_{number}_{way}")
                seconds[way].append(time.perf_counter() - started)
                moved[way] = (traffic.up, traffic.down, traffic.requests)
        for way, (up, down, requests) in moved.items():
            seconds_taken[size, way] = median(seconds[way])
            rows.append(
                [
                    f"{size / GB:g} GB",
                    way,
                    spread(seconds[way]),
                    f"{up / 1e6:.0f}",
                    f"{down / 1e6:.0f}",
                    str(requests),
                ]
            )
        client.delete_object(Bucket=BUCKET, Key=key)
    table(["object", f"appending {RESULT // 10**6} MB", "seconds", "MB up", "MB down", "requests"], rows)
    last = max(sizes)
    ratio = seconds_taken[last, "download, append, upload"] / seconds_taken[last, "nwbpipe"]
    note(
        f"\nAt {last / GB:g} GB the whole way takes {ratio:.1f} times as long. "
        "What the server copies by itself it copies on this machine's disk.\n"
    )


def _opening(folder: Path, client: Any, traffic: Traffic, *, quick: bool) -> None:
    size, rows = GB // 50 if quick else GB // 2, []
    if quick:
        note(f"{UNCACHED!r} is left out of the small sizes: it takes thousands of requests.\n")
    for writer in ("nwbpipe", "neuroconv"):
        path = _session(folder / writer, writer, size)
        client.upload_file(str(path), BUCKET, f"{writer}.nwb")
        megabytes = path.stat().st_size / 1e6
        path.unlink()
        for reader, opened in _readers(client, f"{writer}.nwb").items():
            if quick and reader == UNCACHED:
                continue
            counts, seconds = [], []
            for latency in (0.0,) if reader == UNCACHED else (0.0, LATENCY_S):
                traffic.latency_s = latency
                traffic.reset()
                with _collect_between():
                    started = time.perf_counter()
                    with opened() as nwbfile:
                        series = nwbfile.processing["ophys"]["Fluorescence"]["traces_1"]
                        assert series.data[:, 7].shape == (2000,)
                    seconds.append(time.perf_counter() - started)
                counts.append((traffic.requests, traffic.down))
            traffic.latency_s = 0.0
            rows.append(
                [
                    f"{writer} ({megabytes:.0f} MB)",
                    reader,
                    str(counts[0][0]),
                    f"{counts[0][1] / 1e6:.1f}",
                    f"{seconds[0]:.2f}",
                    f"{seconds[1]:.2f}" if len(seconds) > 1 else "",
                ]
            )
    table(["written by", "read by", "requests", "MB", "seconds", "with 30 ms a request"], rows)


def _converting(folder: Path, client: Any, traffic: Traffic, size: int) -> None:
    """Convert a raw file of the server into a file of this disk."""
    import nwbpipe

    rows = []
    for label, write_raw in {"TIFF movie": write_plain_movie, "SpikeGLX, 384 channels": write_probe}.items():
        source = folder / write_raw.__name__
        source.mkdir()
        write_raw(source, size)
        paths = [path for path in source.rglob("*") if path.is_file()]
        raw_bytes = sum(path.stat().st_size for path in paths)
        for path in paths:
            client.upload_file(str(path), BUCKET, f"{source.name}/{path.relative_to(source).as_posix()}")
        shutil.rmtree(source)
        traffic.reset()
        started = time.perf_counter()
        with _collect_between():
            nwbpipe.convert(f"s3://{BUCKET}/{source.name}/session.yaml", folder / "out.nwb", progress=False)
        seconds = time.perf_counter() - started
        (folder / "out.nwb").unlink()
        received = [f"{traffic.down / 1e6:.1f}", f"{traffic.down / raw_bytes:.3f}", str(traffic.requests)]
        rows.append([label, f"{raw_bytes / 1e6:.1f}", *received, f"{seconds:.1f}"])
    print()
    table(["a raw file in S3, converted", "MB", "MB received", "times", "requests", "seconds"], rows)


@contextmanager
def _collect_between() -> Iterator[None]:
    """Collect garbage before a reading, and none within it.

    Collected by a thread of the proxy or of fsspec, an object of h5py waits for h5py's lock, which the reading holds
    until it is answered: it once stood still until the request's time was over.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _readers(client: Any, key: str) -> dict[str, Callable[[], Any]]:
    """Ways to open an object as an NWBFile."""
    import fsspec
    from pynwb import NWBHDF5IO

    import nwbpipe

    url = client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": key})

    @contextmanager
    def open_nwb(raw: Any) -> Iterator[Any]:
        with h5py.File(raw, "r") as file, NWBHDF5IO(file=file, mode="r") as io:
            yield io.read()

    def through_fsspec(**options: Any) -> Callable[[], Any]:
        return lambda: open_nwb(fsspec.filesystem("http", skip_instance_cache=True).open(url, **options))

    size = client.head_object(Bucket=BUCKET, Key=key)["ContentLength"]
    ways: dict[str, Callable[[], Any]] = {
        "nwbpipe.read": lambda: nwbpipe.read(f"s3://{BUCKET}/{key}"),
        "h5py + fsspec, as it comes": through_fsspec(size=size),
        "h5py + fsspec, blocks of 1 MiB": through_fsspec(size=size, cache_type="blockcache", block_size=2**20),
        UNCACHED: through_fsspec(size=size, cache_type="none", block_size=2**20),
    }
    try:
        import remfile

        ways["h5py + remfile"] = lambda: open_nwb(remfile.File(url))
    except ImportError:
        note("remfile is not installed: left out")
    return ways


def _session(folder: Path, writer: str, size: int) -> Path:
    """Write a movie as nwbpipe or NeuroConv does, and append what a session has beside it in the same way."""
    from pynwb import NWBHDF5IO

    import nwbpipe

    folder.mkdir()
    spec, path = write_plain_movie(folder, size), folder / "out.nwb"
    if writer == "nwbpipe":
        nwbpipe.convert(spec, path, progress=False)
        with nwbpipe.transaction(path) as nwbfile:
            _fill(nwbfile)
    else:
        from neuroconv.datainterfaces import TiffImagingInterface

        interface = TiffImagingInterface(file_path=folder / "movie.tif", sampling_frequency=30.0)
        metadata = interface.get_metadata()
        metadata["NWBFile"]["session_start_time"] = "2024-05-01T10:00:00-04:00"
        interface.run_conversion(nwbfile_path=path, metadata=metadata)
        with NWBHDF5IO(path, "a") as io:
            nwbfile = io.read()
            _fill(nwbfile)
            io.write(nwbfile)
    (folder / "movie.tif").unlink()
    return path


def _fill(nwbfile: Any) -> None:
    from pynwb import TimeSeries
    from pynwb.ophys import Fluorescence, ImageSegmentation, RoiResponseSeries

    rng = np.random.default_rng(0)
    module = nwbfile.create_processing_module("ophys", "traces")
    plane = next(iter(nwbfile.imaging_planes.values()))
    segmentation = ImageSegmentation()
    module.add(segmentation)
    rois = segmentation.create_plane_segmentation("regions", plane, name="PlaneSegmentation")
    for number in range(300):
        rois.add_roi(pixel_mask=[(number, y, 1.0) for y in range(30)])
    fluorescence = Fluorescence()
    module.add(fluorescence)
    for number in range(3):
        region = rois.create_roi_table_region("all", region=list(range(300)))
        data = rng.normal(size=(2000, 300)).astype(np.float32)
        fluorescence.add_roi_response_series(
            RoiResponseSeries(name=f"traces_{number}", data=data, rois=region, unit="a.u.", rate=30.0)
        )
    for number in range(10):
        nwbfile.add_acquisition(
            TimeSeries(name=f"series_{number}", description="d", data=rng.normal(size=10_000), unit="V", rate=100.0)
        )
    for number in range(300):
        nwbfile.add_trial(start_time=float(number), stop_time=number + 0.5)
