"""How the output of every layer of a network transforms when the image is turned or mirrored."""

from gsa_core.check.measure import check_equivariance
from gsa_core.check.report import LayerSymmetry, SymmetryReport

__all__ = ["LayerSymmetry", "SymmetryReport", "check_equivariance"]
