"""Interfaces of NeuroConv, imported as they are asked for."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from nwbpipe.converters.interfaces import interface_class
movie = interface_class("TiffImagingInterface")
assert "neuroconv.datainterfaces.ophys.sima.simadatainterface" not in sys.modules
import neuroconv.datainterfaces as package
assert package is sys.modules["neuroconv"].datainterfaces
from neuroconv.datainterfaces import SimaSegmentationInterface, TiffImagingInterface
assert TiffImagingInterface is movie
assert "neuroconv.datainterfaces.ecephys.edf.edfdatainterface" not in sys.modules
import neuroconv.datainterfaces.text.csv.csvtimeintervalsinterface
try:
    package.AnInterfaceOfNoFormat
except AttributeError as error:
    assert "no attribute 'AnInterfaceOfNoFormat'" in str(error)
else:
    raise AssertionError
assert movie in package.interface_list and SimaSegmentationInterface in package.interface_list
assert len(package.interface_list) > 90 and package.interfaces_by_category["imaging"]["Tiff"] is movie
from nwbpipe.converters.interfaces._neuroconv import neuroconv_interface, neuroconv_interfaces
assert all(neuroconv_interface(name) is cls for name, cls in neuroconv_interfaces().items())
"""


def test_upstream_imports_all_interfaces_for_one() -> None:
    code = (
        "import sys; from neuroconv.datainterfaces.ophys.tiff.tiffdatainterface import TiffImagingInterface; "
        "sys.exit('neuroconv.datainterfaces.ophys.sima.simadatainterface' not in sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_an_interface_is_imported_alone_and_the_package_is_as_ever() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
