"""Run in a kernel of NWB Widgets' own Python: show a session file; imports nothing of nwbpipe.

nwbwidgets 0.11.3, its last release, is of 2023. What stops it with today's pynwb, hdmf and matplotlib is corrected
here, and what it can't draw is shown as text instead of leaving "Rendering..." for good.
"""

from __future__ import annotations

import html
import re
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

_COLORS = [
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
]
_ICEPHYS = (
    "SweepSequences", "IntracellularRecordings", "SimultaneousRecordings", "SequentialRecordings", "Repetitions",
    "ExperimentalConditions",
)  # fmt: skip
_KNOWN_TABLES = ("DynamicTable", "TimeIntervals", "Units", "PlaneSegmentation")
_MOST_ROWS = 2000
_LINK = re.compile(r"<a href=http://dx\.doi\.org/.*?>(.*)</a>", re.DOTALL)  # as nwbwidgets writes publications


def load() -> Callable[[Any], Any]:
    """Import nwbwidgets with the corrections, and return its function from an NWB file to a widget."""
    warnings.simplefilter("ignore")
    # The extension ndx-icephys-meta is part of pynwb since 2.1, and its own classes refuse to load beside that.
    module, inner = types.ModuleType("ndx_icephys_meta"), types.ModuleType("ndx_icephys_meta.icephys")
    for name in _ICEPHYS:
        setattr(inner, name, type(name, (), {}))
        setattr(module, name, getattr(inner, name))
    module.icephys = inner  # type: ignore[attr-defined]
    sys.modules.update({module.__name__: module, inner.__name__: inner})
    # matplotlib 3.11 gives its colours as tuples, which plotly refuses.
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams["axes.prop_cycle"] = cycler(color=_COLORS)
    replace_html()
    import pynwb
    from nwbwidgets import base, ophys, view

    spec = view.default_neurodata_vis_spec
    electrodes = getattr(pynwb.ecephys, "ElectrodesTable", None)
    if electrodes is not None:
        spec[electrodes] = show_table
    spec[pynwb.ophys.PlaneSegmentation] = _show_segmentation(ophys.route_plane_segmentation)
    ophys.route_plane_segmentation = spec[pynwb.ophys.PlaneSegmentation]
    spec[pynwb.TimeSeries] = _show_more_dimensions(spec[pynwb.TimeSeries])
    draw, tabs, lazy_tab = base.nwb2widget, base.lazy_tabs, base.LazyTab.__init__

    def nwb2widget(node: Any, *args: Any, **options: Any) -> Any:
        return guard(draw)(node, *args, **options)

    def lazy_tabs(functions: dict[str, Any], node: Any, *args: Any, **options: Any) -> Any:
        return tabs({label: guard(function) for label, function in functions.items()}, node, *args, **options)

    def init_tab(self: Any, functions: dict[str, Any], data: Any) -> None:
        lazy_tab(self, {label: guard(function) for label, function in functions.items()}, data)

    base.LazyTab.__init__ = init_tab
    for name, loaded in list(sys.modules.items()):
        if name.startswith("nwbwidgets"):
            for key, value in list(vars(loaded).items()):
                if value is draw or value is tabs:
                    setattr(loaded, key, nwb2widget if value is draw else lazy_tabs)
    return lambda node: nwb2widget(node, spec)


def replace_html() -> None:
    """Let what nwbwidgets shows as HTML be text: it puts texts of the file into it as they are.

    A script among them could do whatever the page can: run code in the kernel.
    """
    import ipywidgets
    from ipywidgets.widgets.widget_string import HTML

    class PlainText(HTML):  # type: ignore[misc]  # a class of another package
        def __init__(self, value: str = "", **options: Any) -> None:
            super().__init__(_clean(_LINK.sub(r"\1", str(value)).replace("\n", " ")), **options)

    for module in (ipywidgets, ipywidgets.widgets):
        module.HTML = PlainText


def guard(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that shows, in the place of a widget that fails, the object as text."""

    def show(node: Any, *args: Any, **options: Any) -> Any:
        try:
            widget = function(node, *args, **options)
        except Exception as error:
            return show_text(node, f"NWB Widgets can't draw this ({type(error).__name__}: {error})")
        return show_text(node, "NWB Widgets draws nothing of this") if widget is None else widget

    return show


def show_text(node: Any, reason: str) -> Any:
    """Return a widget with the fields of an object as text: nothing of a file is HTML."""
    from ipywidgets.widgets.widget_string import HTML

    rows = "".join(
        f"<tr><th style='text-align:left;vertical-align:top;padding-right:1em'>{_clean(name)}</th>"
        f"<td>{_clean(_describe(value))}</td></tr>"
        for name, value in getattr(node, "fields", {"": node}).items()
    )
    return HTML(f"<p><i>{_clean(reason[:400])}.</i></p><table>{rows}</table>")


def _describe(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{getattr(value, 'dtype', '')} of shape {shape}"
    return str(getattr(value, "name", None) or value)[:400]


def _clean(text: Any) -> str:
    return html.escape("".join(c if c.isprintable() else "\ufffd" for c in str(text)))


def _show_more_dimensions(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that draws time series of one or two dimensions, and shows others as text."""

    def show(node: Any, *args: Any, **options: Any) -> Any:
        shape = getattr(node.data, "shape", None)
        if shape is not None and len(shape) > 2:
            return show_text(node, f"NWB Widgets draws no series of shape {tuple(shape)}")
        return draw(node, *args, **options)

    return show


def _show_segmentation(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that draws pixel masks, too, which nwbwidgets leaves out."""

    def show(segmentation: Any, *args: Any, **options: Any) -> Any:
        if "pixel_mask" not in segmentation:
            return draw(segmentation, *args, **options)
        from nwbwidgets.base import lazy_tabs

        return lazy_tabs({"masks": show_masks, "table": show_table}, segmentation)

    return show


def show_masks(segmentation: Any) -> Any:
    """Draw the ROIs of a segmentation that has pixel masks, one colour each, x to the right and y downwards."""
    import numpy as np
    import plotly.graph_objects as go

    masks = [np.asarray(mask) for mask in segmentation["pixel_mask"][:]]
    width, height = (1 + max((int(mask[axis].max()) for mask in masks if len(mask)), default=0) for axis in "xy")
    for images in segmentation.reference_images or ():
        shape: tuple[int, ...] = getattr(getattr(images, "data", None), "shape", ())
        if len(shape) == 3:  # frames, x, y
            width, height = max(width, shape[1]), max(height, shape[2])
    picture = np.full((height, width), np.nan)
    for number, mask in enumerate(masks):
        picture[mask["y"], mask["x"]] = number
    figure = go.FigureWidget(go.Heatmap(z=picture, colorscale="Rainbow", hovertemplate="ROI %{z}<extra></extra>"))
    figure.update_yaxes(autorange="reversed", scaleanchor="x", title="y (pixels)")
    figure.update_xaxes(title="x (pixels)")
    figure.update_layout(title=f"{len(masks)} ROIs", width=700, height=600)
    return figure


def show_table(table: Any, *_: Any, **__: Any) -> Any:
    """Show the rows of a table, without columns that hold many values a row."""
    from nwbwidgets.base import render_dataframe

    names = [name for name in table.colnames if name not in ("pixel_mask", "image_mask", "voxel_mask")]
    frame = table.to_dataframe(exclude={*table.colnames} - {*names}) if len(table) <= _MOST_ROWS else None
    if frame is None:
        return show_text(table, f"the table has {len(table)} rows")
    return render_dataframe(types.SimpleNamespace(to_dataframe=lambda: frame))


def open_file(request: dict[str, Any]) -> Any:
    """Open the session file for reading, without HDF5's lock, through the process that serves it if it is remote."""
    import h5py
    import nwbpipe_worker
    from pynwb import NWBHDF5IO

    nwbpipe_worker.open_between_commits()
    if request["access"]:
        nwbpipe_worker.read_through_parent(request["access"])
        file = h5py.File(request["path"], "r")
    else:
        file = h5py.File(request["path"], "r", locking=False)
    return NWBHDF5IO(file=file, mode="r", load_namespaces=True).read()


def show(request: dict[str, Any]) -> Any:
    """Return the widget of the session file, or what went wrong as text."""
    try:
        draw = load()
        nwbfile = open_file(request)
        from hdmf.common import DynamicTable

        for item in nwbfile.objects.values():  # nwbwidgets knows these types of tables alone
            if isinstance(item, DynamicTable) and getattr(item, "neurodata_type", None) not in _KNOWN_TABLES:
                item.__class__ = type(type(item).__name__, (type(item),), {"neurodata_type": "DynamicTable"})
        return draw(nwbfile)
    except Exception as error:
        return show_text(request["path"], f"the file can't be shown: {type(error).__name__}: {error}")
