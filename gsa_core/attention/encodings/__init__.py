"""Positional encodings: absolute, relative, rotary, and that of the published networks."""
