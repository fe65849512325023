"""Reports: one HTML page for a session file, and a page for a project with a link to each of its sessions."""

from nwbpipe.errors import ToolMissingError

try:
    import jinja2  # noqa: F401
    import PIL  # noqa: F401

    from nwbpipe.report._envelope import Envelope, read_envelope
    from nwbpipe.report._keep import ReportKeeper
    from nwbpipe.report._page import load_environment
    from nwbpipe.report._picture import encode_picture
    from nwbpipe.report._plot import PALETTE, Plot, find_limits
    from nwbpipe.report._project import ProjectPages, write_project_report
    from nwbpipe.report._session import compute_state, draw_parts, write_report
except ImportError as error:
    msg = "the packages for reports are not installed"
    raise ToolMissingError(msg, found=str(error), hint="pip install 'nwbpipe[report]'") from error

__all__ = [
    "PALETTE",
    "Envelope",
    "Plot",
    "ProjectPages",
    "ReportKeeper",
    "compute_state",
    "draw_parts",
    "encode_picture",
    "find_limits",
    "load_environment",
    "read_envelope",
    "write_project_report",
    "write_report",
]
