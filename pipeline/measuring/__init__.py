"""What is measured of a network: symmetry, calibration, confusion, features."""
