"""Find the videos of session files, and take frames out of them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.errors import InputError, ToolMissingError
from nwbpipe.processors.pose._pose_training import name_video, require_count
from nwbpipe.processors.pose._poses import VIDEO, describe_video, require_ndx_pose
from nwbpipe.provenance import canonical_json, digest, identify_file
from nwbpipe.run import match_many, serves
from nwbpipe.session import SessionFile, SessionReader


@dataclass(frozen=True)
class SessionVideo:
    """A video of a session file, on this machine.

    Attributes
    ----------
    name : str
        Its name in a project of DeepLabCut: of subject, session and series.
    path : str
        HDF5 path of the `ImageSeries`.
    object_id : str
        Of the `ImageSeries`.
    n_frames : int
    item : mapping
        Where its frames are, as `iter_frames` takes it.
    starts : list of int or None
        The frame at which each of its files starts.
    """

    name: str
    path: str
    object_id: str
    n_frames: int
    item: Mapping[str, Any]
    starts: list[int] | None

    def hash_content(self) -> str:
        """Return the digest of its files, or of its frames in the NWB file: times may be aligned later."""
        files = self.item["external_files"]
        if files:
            return digest(canonical_json([identify_file(file).sha256 for file in files]))
        with h5py.File(self.item["file"], "r", locking=False) as file:
            data = file[self.item["data"]]
            content = hashlib.sha256(canonical_json([list(data.shape)]).encode())
            for start in range(0, len(data), 32):
                content.update(np.ascontiguousarray(data[start : start + 32]).tobytes())
        return content.hexdigest()


def require_pyav() -> None:
    """Refuse to go on without PyAV."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        msg = "frames of videos need the package PyAV"
        raise ToolMissingError(msg, found=str(error), hint="pip install 'nwbpipe[behavior]'") from error


@contextmanager
def open_videos(
    session: SessionFile, pattern: str | None = None, *, wanted: Collection[str] | None = None
) -> Iterator[list[SessionVideo]]:
    """Yield the videos of a session file: those that a name or pattern means, by default all of the acquisition.

    Of them, only those whose `SessionVideo.name` or object id is one that is `wanted`: others need not be usable.

    Raises
    ------
    InputError
        If there is none, or a video that is named can't be used.
    """
    require_pyav()
    require_ndx_pose()

    def read(reader: SessionReader) -> list[tuple[str, Any, dict[str, Any]]]:
        objects = [item for item in reader.objects if serves(item, VIDEO)]
        if pattern is not None:
            objects = match_many(pattern, VIDEO, objects)
        else:
            objects = [item for item in objects if item.path.startswith("/acquisition/")]
        if not objects:
            msg = "the session has no video" + (f" {pattern!r}" if pattern is not None else "")
            raise InputError(msg, where=str(session), expected="an ImageSeries", hint="convert its video first")
        nwbfile, described = reader.nwbfile, []
        for item in objects:
            series = nwbfile.objects[item.object_id]
            name = name_video(nwbfile, series.name)
            if wanted is not None and not {name, item.object_id} & set(wanted):
                continue
            names = [] if series.external_file is None else [str(name) for name in series.external_file[:]]
            facts = describe_video(series, item.path)
            described.append(
                (
                    item.path,
                    names,
                    {"name": name, "object_id": item.object_id, "n_frames": require_count(facts, item.path)}
                    | {"starts": facts["starting_frame"]},
                )
            )
        return described

    described = session.read(read, locked=True)
    with ExitStack() as stack:
        find = stack.enter_context(session.external_files())
        file = str(stack.enter_context(session.local_copy())) if not all(names for _, names, _ in described) else ""
        yield [
            SessionVideo(
                path=path,
                item={
                    "path": path,
                    "file": file,
                    "data": f"{path}/data",
                    "external_files": [str(find(name, path)) for name in names],
                },
                **facts,
            )
            for path, names, facts in described
        ]


@contextmanager
def explain_video(path: Path | str) -> Iterator[None]:
    """Turn what decoding complains of into an error of ours."""
    try:
        yield
    except ValueError as error:
        raise InputError("a video can't be used", where=str(path), found=str(error)) from error
