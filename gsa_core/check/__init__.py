"""How the output of every layer of a network transforms when the image is turned or mirrored."""

from gsa_core.check.measure import LayerSymmetry, SymmetryReport, check_equivariance

__all__ = ["LayerSymmetry", "SymmetryReport", "check_equivariance"]
