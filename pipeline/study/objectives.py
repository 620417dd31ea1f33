"""What trials are judged by: the columns of objectives, and what a study may bound."""

from __future__ import annotations

__all__ = ["CONSTRAINED", "OBJECTIVES"]

# By its name in params.yaml: the column of an objective, and whether more of it is better.
OBJECTIVES: dict[str, tuple[str, bool]] = {
    "accuracy": ("validation_accuracy", True),
    "invariance_error": ("validation_invariance_error", False),
    "params": ("params", False),
    "flops": ("flops", False),
    "seconds": ("seconds", False),
}
# Columns that may have an upper bound.
CONSTRAINED = ("params", "flops", "seconds", "peak_memory_bytes")
