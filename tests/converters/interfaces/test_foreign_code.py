"""Raw files of strangers run nothing: each format that can carry code, honest and hostile."""

from __future__ import annotations

import inspect
import os
import pickle
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pynwb import NWBFile

from nwbpipe.converters._record import _paths_of_source
from nwbpipe.converters._source import Source, find_paths
from nwbpipe.converters.interfaces import CODE_CARRIERS, interface_class, interface_names
from nwbpipe.converters.spec._model import SourceSpec
from nwbpipe.converters.spec._paths import find_spec_paths
from nwbpipe.errors import NwbpipeError, UntrustedError
from nwbpipe.machine import trust
from tests.converters import raw

MARK = "RAN"
SOURCE = Path(__file__).parents[3]


class Evil:
    """What a stranger puts into a pickle."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {MARK}",)


def make_spec(interface: str, args: dict[str, Any]) -> SourceSpec:
    return SourceSpec.model_construct(
        interface=interface, args=args, options={}, video=None, clock=None, description=None, probe=None
    )


def convert(folder: Path, interface: str, **args: Any) -> NWBFile:
    """Read a source as `convert` does, up to the file in memory."""
    source = Source("s", make_spec(interface, args), "s", find_spec_paths(folder / "session.yaml", []))
    nwbfile = NWBFile("d", "i", datetime(2024, 5, 1, tzinfo=UTC))
    source.open()
    source.add_to(nwbfile, source.read_metadata())
    return nwbfile


def write_phy(folder: Path, more: str = "") -> dict[str, Any]:
    folder.mkdir()
    np.save(folder / "spike_times.npy", np.arange(10) * 300)
    for name in ("clusters", "templates"):
        np.save(folder / f"spike_{name}.npy", np.zeros(10, int))
    settings = "dat_path = 'x.dat'\nn_channels_dat = 4\ndtype = 'int16'\noffset = 0\nsample_rate = 30000.\n"
    (folder / "params.py").write_text(f"{more}\n{settings}hp_filtered = False\n")
    return {"folder_path": folder}


def write_suite2p(folder: Path, **values: Any) -> dict[str, Any]:
    plane = folder / "plane0"
    plane.mkdir(parents=True)
    arrays: dict[str, Any] = dict.fromkeys(("F", "Fneu", "spks"), np.random.default_rng(0).random((2, 30)))
    rois = [{"ypix": np.array([k]), "xpix": np.array([k]), "lam": np.array([1.0])} for k in range(2)]
    ops = {"fs": 30.0, "Ly": 8, "Lx": 8, "nframes": 30, "nchannels": 1, "meanImg": np.ones((8, 8))}
    ops |= {"yrange": [0, 8], "xrange": [0, 8]}
    arrays |= {"iscell": np.ones((2, 2)), "stat": np.array(rois, dtype=object), "ops": np.array(ops)}
    for name, value in (arrays | values).items():
        np.save(plane / f"{name}.npy", value, allow_pickle=True)
    return {"folder_path": folder}


def write_deeplabcut(file: Path, format_: str = "table") -> dict[str, Any]:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    columns = pd.MultiIndex.from_product(
        [["S"], ["a"], ["x", "y", "likelihood"]], names=["scorer", "bodyparts", "coords"]
    )
    table = pd.DataFrame(np.random.default_rng(0).random((20, 3)), columns=columns)
    if file.suffix == ".h5":
        table.to_hdf(file, key="df_with_missing", format=format_)
    else:
        table.to_csv(file)
    return {"file_path": file, "sampling_frequency": 30.0}


def object_array(value: Any) -> np.ndarray:
    array = np.empty((), dtype=object)
    array[()] = value
    return array


# Honest files ------------------------------------------------------------------------------------------------


def test_honest_files_are_read(tmp_path: Path) -> None:
    phy = convert(tmp_path, "PhySortingInterface", **write_phy(tmp_path / "phy"))
    assert len(phy.units) == 1
    suite2p = convert(tmp_path, "Suite2pSegmentationInterface", **write_suite2p(tmp_path / "suite2p"))
    assert len(suite2p.processing["ophys"]["ImageSegmentation"].plane_segmentations) == 1
    for number, format_ in enumerate(("table", "fixed")):
        args = write_deeplabcut(tmp_path / f"vidDLC_{number}.h5", format_)
        (tmp_path / f"vidDLC_{number}_meta.pickle").write_bytes(
            pickle.dumps({"data": {"DLC-model-config file": {"partaffinityfield_graph": []}}})
        )
        assert "behavior" in convert(tmp_path, "DeepLabCutInterface", **args).processing


# Hostile files -----------------------------------------------------------------------------------------------


def phy_code(folder: Path) -> tuple[str, dict[str, Any]]:
    return "PhySortingInterface", write_phy(folder / "phy", f"import os; os.system('touch {MARK}')")


def kilosort_code(folder: Path) -> tuple[str, dict[str, Any]]:
    return "KiloSortSortingInterface", write_phy(folder / "ks", f"a = open('{MARK}', 'w')")


def suite2p_ops(folder: Path) -> tuple[str, dict[str, Any]]:
    return "Suite2pSegmentationInterface", write_suite2p(folder / "s2p", ops=object_array(Evil()))


def suite2p_stat(folder: Path) -> tuple[str, dict[str, Any]]:
    return "Suite2pSegmentationInterface", write_suite2p(
        folder / "s2p", stat=np.array([Evil(), Evil()], dtype=object)
    )


class Forged:
    """An array of Python objects at addresses that the file chooses."""

    def __reduce__(self) -> Any:
        return np.ndarray, ((1,), np.dtype("O"), b"AAAAAAAA")


def suite2p_memory(folder: Path) -> tuple[str, dict[str, Any]]:
    return "Suite2pSegmentationInterface", write_suite2p(folder / "s2p", ops=object_array({"fs": Forged()}))


def deeplabcut_meta(folder: Path) -> tuple[str, dict[str, Any]]:
    args = write_deeplabcut(folder / "vidDLC_1.csv")
    (folder / "vidDLC_1_meta.pickle").write_bytes(pickle.dumps(Evil()))
    return "DeepLabCutInterface", args


def deeplabcut_attribute(folder: Path) -> tuple[str, dict[str, Any]]:
    h5py, args = pytest.importorskip("h5py"), write_deeplabcut(folder / "vidDLC_1.h5")
    with h5py.File(args["file_path"], "r+") as file:
        file["df_with_missing"].attrs["info"] = np.bytes_(pickle.dumps(Evil(), 0))
    return "DeepLabCutInterface", args


def deeplabcut_root(folder: Path) -> tuple[str, dict[str, Any]]:
    """The attribute FILTERS of old files takes another way through PyTables."""
    h5py, args = pytest.importorskip("h5py"), write_deeplabcut(folder / "vidDLC_1.h5")
    with h5py.File(args["file_path"], "r+") as file:
        file.attrs["PYTABLES_FORMAT_VERSION"] = np.bytes_(b"1.6")
        file.attrs["FILTERS"] = np.bytes_(pickle.dumps(Evil(), 0))
    return "DeepLabCutInterface", args


def deeplabcut_objects(folder: Path) -> tuple[str, dict[str, Any]]:
    """pandas keeps arrays of objects as pickles in a VLArray."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    file = folder / "vidDLC_1.h5"
    with pytest.warns(pd.errors.PerformanceWarning):
        pd.DataFrame({("S", "a", "x"): [Evil()]}).to_hdf(file, key="df_with_missing", format="fixed")
    return "DeepLabCutInterface", {"file_path": file, "sampling_frequency": 30.0}


HOSTILE: list[Callable[[Path], tuple[str, dict[str, Any]]]] = [
    phy_code, kilosort_code, suite2p_ops, suite2p_stat, suite2p_memory, deeplabcut_meta, deeplabcut_attribute,
    deeplabcut_root, deeplabcut_objects,
]  # fmt: skip


@pytest.mark.parametrize("prepare", HOSTILE)
def test_hostile_files_run_nothing(prepare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    interface, args = prepare(tmp_path)
    with pytest.raises(NwbpipeError) as caught:
        convert(tmp_path, interface, **args)
    assert not (tmp_path / MARK).exists()
    assert "nothing of it was run" in str(caught.value), caught.value
    assert interface in CODE_CARRIERS


@pytest.mark.parametrize("prepare", HOSTILE)
def test_listing_the_files_of_a_source_runs_nothing(
    prepare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan does so for each session, before any conversion."""
    monkeypatch.chdir(tmp_path)
    interface, args = prepare(tmp_path)
    paths = find_spec_paths(tmp_path / "session.yaml", [])
    listed = _paths_of_source(make_spec(interface, args), paths)
    assert set(find_paths(args)) <= set(listed)
    assert not (tmp_path / MARK).exists()


def test_trusted_files_may_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    interface, args = phy_code(tmp_path)
    trust(tmp_path / "phy")
    convert(tmp_path, interface, **args)
    assert (tmp_path / MARK).exists()


REFUSED = sorted(name for name, carrier in CODE_CARRIERS.items() if carrier.is_refused)


@pytest.mark.parametrize("interface", REFUSED)
def test_a_reader_that_needs_code_is_refused(interface: str, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"")
    with pytest.raises(UntrustedError, match="nwbpipe trust FOLDER"):
        convert(tmp_path, interface, file_path=tmp_path / "raw")


# The list ----------------------------------------------------------------------------------------------------

_SIGNS = ("pickle", "read_hdf", "read_python", "urlopen", "exec(", "eval(", "subprocess", "plugin")


def test_every_interface_that_may_run_code_is_on_the_list() -> None:
    """An interface of NeuroConv whose source shows such a sign is on the list."""
    assert set(CODE_CARRIERS) <= set(interface_names())
    for name in interface_names():
        module = inspect.getmodule(interface_class(name))
        if module is None or not module.__name__.startswith("neuroconv."):
            continue
        signs = [sign for sign in _SIGNS if sign in inspect.getsource(interface_class(name))]
        if signs and name not in CODE_CARRIERS:
            assert name in _HARMLESS, f"{name} shows {signs}: add it to CODE_CARRIERS, or say here why it is harmless"


_HARMLESS = {
    "OpenEphysBinaryRecordingInterface": "Neuropix-PXI is a plugin of Open Ephys, which a comment names",
}


# What readers do -----------------------------------------------------------------------------------------------

_FORBIDDEN = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
    "pickle.find_class",
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_events: list[tuple[str, Any]] | None = None


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    if _events is not None and (
        event in _FORBIDDEN or event in ("open", "exec", "os.remove", "os.rename", "os.mkdir")
    ):
        _events.append((event, arguments))


@pytest.fixture(scope="module")
def audit() -> Callable[[Callable[[], Any]], list[tuple[str, Any]]]:
    """Return a function that calls another one, and returns the events that Python audits meanwhile."""
    sys.addaudithook(_record)

    def call(function: Callable[[], Any]) -> list[tuple[str, Any]]:
        global _events
        _events = recorded = []
        try:
            function()
        finally:
            _events = None
        return recorded

    return call


def _sources(folder: Path) -> dict[str, dict[str, Any]]:
    """Raw files of each kind that is quickly written, by interface."""
    raw.write_movie(folder / "movie.tif")
    raw.write_video(folder / "body.avi")
    raw.write_trials(folder / "trials.csv")
    raw.write_events(folder / "events.csv")
    raw.write_firings(folder / "firings.mda")
    raw.write_photometry(folder / "photometry.csv")
    return {
        "TiffImagingInterface": {"file_path": folder / "movie.tif", "sampling_frequency": 25.0},
        "InternalVideoInterface": {"file_path": folder / "body.avi"},
        "CsvTimeIntervalsInterface": {"file_path": folder / "trials.csv"},
        "CSVEventsInterface": {
            "file_path": folder / "events.csv", "timestamps_column": "t", "event_type_column": "kind"
        },
        "MdaSortingInterface": {"file_path": folder / "firings.mda", "sampling_frequency": 1000},
        "PhySortingInterface": write_phy(folder / "phy"),
        "KiloSortSortingInterface": write_phy(folder / "kilosort"),
        "Suite2pSegmentationInterface": write_suite2p(folder / "suite2p"),
        "DeepLabCutInterface": write_deeplabcut(folder / "vidDLC_1.h5"),
    }  # fmt: skip


def test_readers_run_nothing_write_nothing_and_read_only_their_files(audit: Any, tmp_path: Path) -> None:
    """A second time: by then the readers' packages are imported, and what is opened is raw data."""
    folder = tmp_path / "raw"
    folder.mkdir()
    sources = _sources(folder)
    for interface, args in sources.items():
        convert(folder, interface, **args)
        allowed = (
            str(folder),
            os.environ["XDG_CONFIG_HOME"],
            sys.prefix,
            sys.base_prefix,
            "/proc/",
            "/sys/",
            "/dev/null",
            "/dev/urandom",
        )
        for event, arguments in audit(lambda interface=interface, args=args: convert(folder, interface, **args)):
            assert event not in _FORBIDDEN, (interface, event, arguments)
            if event == "exec":
                caller = arguments[0].co_filename
                assert not caller.startswith(str(folder)), (interface, caller)
                continue
            path, mode, flags = (*arguments, None, 0)[:3]
            if not isinstance(path, str | bytes | os.PathLike):
                continue
            text = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
            if event != "open" or (flags or 0) & _WRITES or any(letter in str(mode or "") for letter in "wax+"):
                assert not text.startswith(str(folder)), (interface, event, arguments)
            assert text.startswith((*allowed, str(SOURCE))), (interface, event, arguments)
