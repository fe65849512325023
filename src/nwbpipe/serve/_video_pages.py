"""The page on which the videos and movies of a session are looked at, with a pose over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from nwbpipe.errors import RequestError
from nwbpipe.report import PALETTE
from nwbpipe.serve._aside import AsideReader
from nwbpipe.serve._pages import Pages, find_session, read_count
from nwbpipe.serve._videos import BLOCK, MEDIA_TYPES
from nwbpipe.serve._view import ProjectView


class VideoPages:
    """Play a video, and tell the keypoints of its frames."""

    def __init__(self, view: ProjectView, pages: Pages, reader: AsideReader) -> None:
        self.view, self.pages, self.reader = view, pages, reader

    def show(self, request: Request) -> Response:
        """Show the page of one video."""
        session = find_session(self.view, request)
        listed = self.reader.call("list_videos", str(session.file))
        choices = [
            (f"{item['path']} {number}", item, number)
            for item in listed["videos"]
            for number in range(max(1, len(item["files"])))
        ]
        name = request.query_params.get("video", "")
        choice = next((choice for choice in choices if choice[0] == name), choices[0] if choices else None)
        poses = {item["path"]: item["keypoints"] for item in listed["poses"]}
        pose = request.query_params.get("pose", next(iter(poses), ""))
        facts: dict[str, Any] = {"frames": 0, "rate": 0.0}
        problem = ""
        if choice is not None and choice[1]["files"]:
            try:
                facts = self.reader.call("measure_video", str(session.file), choice[1]["path"], choice[2])
            except RequestError as error:
                problem = str(error)
        elif choice is not None:
            facts = {"frames": choice[1]["frames"], "rate": 0.0}
        return self.pages.draw(
            request, "videos.html", title=session.key, subject=session.subject_id, session=session.session_id,
            choices=choices, choice=choice, poses=list(poses), pose=pose if pose in poses else "", problem=problem,
            keypoints=poses.get(pose, []), facts=facts, block=BLOCK, palette=PALETTE,
        )  # fmt: skip

    def send_media(self, request: Request) -> Response:
        """Send ranges of a video file that lies below the project's roots."""
        session = find_session(self.view, request)
        path, number = self._read_choice(request)
        file = Path(self.reader.call("locate_video", str(session.file), path, number)).resolve()
        if not any(map(file.is_relative_to, self.view.open_project().spec.local_folders)):
            msg = "the video lies outside the project's folders"
            raise RequestError(msg, where=path, found=str(file), hint="add its folder to [stores] in nwbpipe.toml")
        if file.suffix.lower() not in MEDIA_TYPES or not file.is_file():
            raise HTTPException(404)
        return FileResponse(file, media_type=MEDIA_TYPES[file.suffix.lower()])

    def tell_keypoints(self, request: Request) -> Response:
        """Tell the keypoints of a block of frames."""
        session = find_session(self.view, request)
        path, number = self._read_choice(request)
        first = read_count(request.query_params.get("first", ""))
        pose = request.query_params.get("pose", "")
        return JSONResponse(self.reader.call("read_keypoints", str(session.file), path, number, pose, first))

    def tell_frame(self, request: Request) -> Response:
        """Tell one frame as a picture."""
        session = find_session(self.view, request)
        path, number = self._read_choice(request)
        frame = read_count(request.query_params.get("frame", ""))
        return JSONResponse({"picture": self.reader.call("read_frame", str(session.file), path, number, frame)})

    @staticmethod
    def _read_choice(request: Request) -> tuple[str, int]:
        path, _, number = request.query_params.get("video", "").rpartition(" ")
        return path, read_count(number)
