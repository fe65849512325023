"""The dashboard: a web application over a project, which keeps nothing of its own."""

from nwbpipe.errors import ToolMissingError

try:
    import jinja2  # noqa: F401
    import ruamel.yaml  # noqa: F401
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401

    from nwbpipe.serve._app import create_app
    from nwbpipe.serve._inspect import inspect_with_neurosift, make_report, open_address
    from nwbpipe.serve._security import Keys, is_loopback
    from nwbpipe.serve._server import serve
    from nwbpipe.serve._view import ProjectView
    from nwbpipe.serve._widgets import has_widgets, inspect_with_widgets
except ImportError as error:
    msg = "the packages for the dashboard are not installed"
    raise ToolMissingError(msg, found=str(error), hint="pip install 'nwbpipe[web]'") from error

__all__ = [
    "Keys",
    "ProjectView",
    "create_app",
    "has_widgets",
    "inspect_with_neurosift",
    "inspect_with_widgets",
    "is_loopback",
    "make_report",
    "open_address",
    "serve",
]
