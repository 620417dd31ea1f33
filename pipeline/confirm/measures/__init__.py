"""What is measured of a confirmed network: symmetry, calibration, confusion, features."""
