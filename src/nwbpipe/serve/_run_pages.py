"""The forms that run and stop."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from nwbpipe.errors import RequestError
from nwbpipe.serve._pages import Pages, make_session_path
from nwbpipe.serve._processes import RunProcesses, stop_runner
from nwbpipe.serve._view import ProjectView

MOST_KEYS = 300  # sessions that are named one by one on a command line


class RunPages:
    """Start `nwbpipe run`, and stop it."""

    def __init__(self, view: ProjectView, pages: Pages, processes: RunProcesses) -> None:
        self.view, self.pages, self.processes = view, pages, processes

    def run(self, request: Request, form: dict[str, str]) -> Response:
        """Run what is missing or stale: all, of the sessions that are shown, or of one; or what failed, again."""
        project = self.view.open_project()
        project.require_trust()
        snapshot = self.view.ask()
        # Browsers send each line break as CR LF.
        keys = form.get("keys", "").replace("\r\n", "\n").split("\n") if form.get("keys") else []
        condition = form.get("where", "")
        step, retry = form.get("step", ""), form.get("retry") == "yes"
        if unknown := [key for key in keys if key not in snapshot.by_key]:
            msg = "the project has no such session"
            raise RequestError(msg, found=", ".join(unknown[:5]), hint="load the page again")
        if step and step != "convert" and step not in project.spec.steps:
            raise RequestError("the project has no such step", found=step, expected=", ".join(project.spec.steps))
        if len(keys) > MOST_KEYS:
            msg = "too many sessions to name one by one"
            hint = "choose them by a condition, or run all"
            raise RequestError(msg, expected=f"at most {MOST_KEYS}", found=str(len(keys)), hint=hint)
        options = [f"--project={self.view.path}"]
        options += [f"--profile={self.view.profile}"] if self.view.profile else []
        # A key may hold signs of a pattern: in brackets they mean themselves.
        options += [f"--session={_as_pattern(key)}" for key in keys]
        options += [f"--where={condition}"] if condition else []
        options += [f"--step={step}"] if step else []
        options += ["--retry-failed"] if retry else []
        subject = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "") if keys else condition
        title = " ".join([subject or "all sessions", *([step] if step else []), *(["again"] if retry else [])])
        self.processes.start(options, title)
        return self._lead_back(request, form)

    def stop(self, request: Request, form: dict[str, str]) -> Response:
        """Stop a run that was started from here, or the runner of this machine that computes a step of a session."""
        number = form.get("number", "")
        if number.isdecimal():
            self.processes.stop(int(number))
        else:
            names = (form.get("session", ""), form.get("step", ""))
            for content in self.view.list_running():
                if (content["session"], content["step"]) == names:
                    runner = content["runner"]
                    own = self.processes.find(runner["pid"]) if runner["is_here"] else None
                    if own is None:
                        stop_runner(runner)
                    else:
                        self.processes.stop(own.number)
                    break
        return self._lead_back(request, form)

    def _lead_back(self, request: Request, form: dict[str, str]) -> Response:
        """Lead to the page of the form: that of a session of ours, or that of all."""
        key = form.get("from", "")
        base = request.scope.get("root_path", "")
        if key in self.view.snapshot.by_key:
            return RedirectResponse(f"{base}{make_session_path(key)}", 303)
        return RedirectResponse(f"{base}/", 303)


def _as_pattern(key: str) -> str:
    return "".join(f"[{letter}]" if letter in "[*?" else letter for letter in key)
