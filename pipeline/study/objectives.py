"""What trials are judged by: the columns of objectives, and what a study may bound."""

from __future__ import annotations

__all__ = ["CHOOSING", "CONSTRAINED", "OBJECTIVES"]

# By its name in params.yaml: the column of an objective, and whether more of it is better.
OBJECTIVES: dict[str, tuple[str, bool]] = {
    "accuracy": ("validation_accuracy", True),
    "balanced_accuracy": ("validation_balanced_accuracy", True),
    "macro_f1": ("validation_macro_f1", True),
    "auroc": ("validation_auroc", True),
    "negative_log_likelihood": ("validation_loss", False),
    # On validation images turned as `sweep.objective_turns` says.
    "accuracy_turned": ("validation_accuracy_turned", True),
    "invariance_error": ("validation_invariance_error", False),
    "params": ("params", False),
    "flops": ("flops", False),
    "seconds": ("seconds", False),
}
# By which of them the best trial of a cell and the best epoch of a training may be chosen.
CHOOSING = tuple(OBJECTIVES)[:6]
# Columns that may have an upper bound.
CONSTRAINED = ("params", "flops", "seconds", "peak_memory_bytes")
