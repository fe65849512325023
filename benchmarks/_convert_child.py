"""One conversion, in a process of its own: ``python -m benchmarks._convert_child nwbpipe|neuroconv SPEC OUT``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path


def with_nwbpipe(spec: Path, output: Path) -> None:
    import nwbpipe

    nwbpipe.convert(spec, output, progress=False)


def with_neuroconv(spec: Path, output: Path, *, zstd: bool = False) -> None:
    """NeuroConv's own way for the same source, with its defaults; or with Blosc's zstd, as `nwbpipe` stores it."""
    from datetime import datetime

    import yaml
    from neuroconv import datainterfaces

    content = yaml.safe_load(spec.read_text())
    (source,) = content["sources"].values()
    arguments = {
        name: str(spec.parent / value) if name.endswith("_path") else value for name, value in source["args"].items()
    }
    interface = getattr(datainterfaces, source["interface"])(**arguments)
    metadata = interface.get_metadata()
    metadata["NWBFile"]["session_start_time"] = datetime.fromisoformat(content["session"]["session_start_time"])
    if not zstd:
        interface.run_conversion(nwbfile_path=str(output), metadata=metadata, overwrite=True)
        return
    configuration = interface.get_default_backend_configuration(
        nwbfile=interface.create_nwbfile(metadata=metadata), backend="hdf5"
    )
    for dataset in configuration.dataset_configurations.values():
        if max(dataset.full_shape) < 1000:
            continue  # the plugin crashes on the small columns of texts
        dataset.compression_method, dataset.compression_options = "Blosc", {"cname": "zstd", "clevel": 3}
    interface.run_conversion(
        nwbfile_path=str(output), metadata=metadata, backend_configuration=configuration, overwrite=True
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    way, spec, output = sys.argv[1:]
    {"nwbpipe": with_nwbpipe, "neuroconv": with_neuroconv}[way](Path(spec), Path(output))
