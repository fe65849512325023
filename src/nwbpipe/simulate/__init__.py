"""Simulate sessions with known truth, in raw formats that real readers open, and score results against it."""

from nwbpipe._old_names import find_old_names
from nwbpipe.simulate._behavior import BehaviorTruth
from nwbpipe.simulate._body import BodyTruth, simulate_body_video, write_dlc_project
from nwbpipe.simulate._dense_probe import DenseProbeSettings, DenseProbeTruth, simulate_dense_probe
from nwbpipe.simulate._dense_probe_files import write_spikeglx
from nwbpipe.simulate._ephys import EphysTruth
from nwbpipe.simulate._face import FaceTruth
from nwbpipe.simulate._imaging import ImagingTruth
from nwbpipe.simulate._labels import label_pose_project
from nwbpipe.simulate._photometry import PhotometryTruth, simulate_photometry
from nwbpipe.simulate._photometry_session import load_photometry_truth, simulate_photometry_session
from nwbpipe.simulate._pose import PoseTruth
from nwbpipe.simulate._session import SimulatedSession, simulate_session
from nwbpipe.simulate._two_photon import EASY, HARD, TwoPhotonSettings, TwoPhotonTruth, simulate_movie
from nwbpipe.simulate._two_photon_nwb import simulate_two_photon

__getattr__ = find_old_names(__name__, {"TwoPhoton": "nwbpipe.simulate.TwoPhotonSettings"})

__all__ = [
    "EASY",
    "HARD",
    "BehaviorTruth",
    "BodyTruth",
    "DenseProbeSettings",
    "DenseProbeTruth",
    "EphysTruth",
    "FaceTruth",
    "ImagingTruth",
    "PhotometryTruth",
    "PoseTruth",
    "SimulatedSession",
    "TwoPhotonSettings",
    "TwoPhotonTruth",
    "label_pose_project",
    "load_photometry_truth",
    "simulate_body_video",
    "simulate_dense_probe",
    "simulate_movie",
    "simulate_photometry",
    "simulate_photometry_session",
    "simulate_session",
    "simulate_two_photon",
    "write_dlc_project",
    "write_spikeglx",
]
