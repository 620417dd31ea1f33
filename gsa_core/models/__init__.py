"""Whole networks: `build_model`, the kinds it knows, and files that they are saved in."""
