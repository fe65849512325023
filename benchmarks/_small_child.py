"""What a small session takes by hand: NeuroConv alone, and pynwb's validator with nwbinspector."""

from __future__ import annotations

import sys
from datetime import UTC, datetime


def convert(movie: str, path: str) -> None:
    from neuroconv.datainterfaces import TiffImagingInterface

    interface = TiffImagingInterface(file_path=movie, sampling_frequency=30.0)
    metadata = interface.get_metadata()
    metadata["NWBFile"]["session_start_time"] = datetime(2024, 5, 1, 10, tzinfo=UTC)
    metadata["Subject"] = {"subject_id": "bench", "species": "Mus musculus", "sex": "F", "age": "P90D"}
    interface.run_conversion(nwbfile_path=path, metadata=metadata)


def check(path: str) -> None:
    import pynwb
    from nwbinspector import inspect_nwbfile

    assert not pynwb.validate(path=path)
    list(inspect_nwbfile(nwbfile_path=path))


if __name__ == "__main__":
    {"convert": convert, "check": check}[sys.argv[1]](*sys.argv[2:])
