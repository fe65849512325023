"""NeuroConv's interface of TDT recordings, which neo can read only by the name of a block's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neuroconv.datainterfaces import TdtRecordingInterface as _NeuroConvInterface
from pydantic import DirectoryPath

from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._guards_files import guard_tdt


@interface(extra="ephys", guard=guard_tdt)
class TdtRecordingInterface(_NeuroConvInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """One store of a TDT block; it stands in the place of NeuroConv's.

    neo takes a folder for a tank, and finds blocks below it alone whose files carry the names of tank and block;
    NeuroConv has no way to name a block's file. Here the folder is the block's, as it is for TDT's events and
    photometry. Upstream: not reported as of 2026-11 (neo 0.14, NeuroConv 0.10.2).

    Parameters
    ----------
    folder_path : DirectoryPath
        The block's folder, with its ``.tsq``.
    gain : float
        Microvolts of one step of the samples.
    stream_name : str, optional
        The store: ``LFP1``.
    stream_id : str
        Its number, where it is not named: stores of samples in the order of the ``.Tbk``.
    es_key : str, optional
        Key of the series' metadata.
    metadata_key : str, optional
        Key of the interface's metadata.
    verbose : bool
        Not used.
    """

    def __init__(
        self,
        *,
        folder_path: DirectoryPath,
        gain: float,
        stream_name: str | None = None,
        stream_id: str = "0",
        es_key: str | None = None,
        metadata_key: str | None = None,
        verbose: bool = False,
    ) -> None:
        self._channel_names: Any = None
        super().__init__(
            folder_path=folder_path,
            gain=gain,
            stream_name=stream_name,
            stream_id=stream_id,
            es_key=es_key,
            metadata_key=metadata_key,
            verbose=verbose,
        )
        # NeuroConv cuts off the first letter of each name, which was a quotation mark in older versions of neo.
        self.recording_extractor.set_property(key="channel_name", values=self._channel_names)

    def _initialize_extractor(self, interface_kwargs: dict[str, Any]) -> Any:
        """Let neo read the block by the name of its index."""
        folder = Path(interface_kwargs["folder_path"])
        indices = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".tsq")
        location = indices[0] if indices else folder
        extractor = super()._initialize_extractor({**interface_kwargs, "folder_path": str(location)})
        self._channel_names = extractor.get_property("channel_name")
        return extractor
