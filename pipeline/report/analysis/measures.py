"""The measures of the report: columns of the runs, with their labels and kinds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One numeric column of the runs."""

    column: str
    label: str
    kind: str  # fraction | loss | error | cost


UPRIGHT = Measure("test_accuracy", "Test accuracy, upright", "fraction")
QUARTER = Measure("test_accuracy_quarter_turned", "Test accuracy, quarter-turned", "fraction")
ANY_ANGLE = Measure("test_accuracy_turned", "Test accuracy, any angle", "fraction")
BALANCED = Measure("balanced_accuracy", "Balanced accuracy, upright", "fraction")
MACRO_F1 = Measure("macro_f1", "Macro F1, upright", "fraction")
AUROC = Measure("auroc", "Area under the ROC curve, upright", "fraction")
LIKELIHOOD = Measure("negative_log_likelihood", "Negative log-likelihood, upright", "loss")
# Averages of the probabilities over the orbit of an image, at test time.
TTA_C4 = Measure("test_accuracy_tta_c4", "Test accuracy averaged over C4, upright", "fraction")
TTA_D4 = Measure("test_accuracy_tta_d4", "Test accuracy averaged over D4, upright", "fraction")
QUARTER_TTA_C4 = Measure("test_accuracy_quarter_turned_tta_c4",
                         "Test accuracy averaged over C4, quarter-turned", "fraction")  # fmt: skip
ANY_ANGLE_TTA_C4 = Measure("test_accuracy_turned_tta_c4",
                           "Test accuracy averaged over C4, any angle", "fraction")  # fmt: skip
ANY_ANGLE_TTA_D4 = Measure("test_accuracy_turned_tta_d4",
                           "Test accuracy averaged over D4, any angle", "fraction")  # fmt: skip
VALIDATION = Measure("validation_accuracy", "Validation accuracy", "fraction")
TUNED = Measure("tuned_validation_accuracy", "Validation accuracy of the winning trial", "fraction")
CONSISTENCY = Measure("consistency", "Consistency, quarter turns", "fraction")
CONSISTENCY_MIRROR = Measure("consistency_mirror", "Consistency, mirrors", "fraction")
CONSISTENCY_TURNED = Measure("consistency_turned", "Consistency, any angle", "fraction")
ERROR = Measure("invariance_error", "Invariance error, quarter turns", "error")
ERROR_MIRROR = Measure("invariance_error_mirror", "Invariance error, mirrors", "error")
ERROR_TURNED = Measure("invariance_error_turned", "Invariance error, any angle", "error")
CALIBRATION = Measure("calibration_error", "Calibration error, upright", "fraction")
CALIBRATION_TURNED = Measure("calibration_error_turned", "Calibration error, any angle", "fraction")
ASYMMETRY = Measure("asymmetry_share", "Share of the loss due to asymmetry", "fraction")
ASYMMETRY_TURNED = Measure(
    "asymmetry_share_turned", "Share of the loss due to asymmetry, any angle", "fraction"
)
LIE_ROTATION = Measure("lie_rotation", "Lie derivative, rotation", "error")
LIE_TRANSLATION = Measure("lie_translation", "Lie derivative, translation", "error")
PARAMS = Measure("params", "Parameters", "cost")
TRAINING_FLOPS = Measure("training_flops", "FLOPs of training", "cost")
FLOPS = Measure("flops", "FLOPs an image", "cost")
TRAINING_SECONDS = Measure("training_seconds", "Training seconds", "cost")
SECONDS = Measure("seconds", "Seconds of training and validation", "cost")
MEMORY = Measure("peak_memory_bytes", "Peak memory, bytes", "cost")

# Short names of the three test accuracies.
TEST = {UPRIGHT: "upright", QUARTER: "quarter-turned", ANY_ANGLE: "any angle"}
SHORT = {measure.column: name for measure, name in TEST.items()}
# What verdicts are given on: balanced accuracy, too.
JUDGED = {**SHORT, BALANCED.column: "upright, balanced accuracy"}

FRACTIONS = (
    UPRIGHT, QUARTER, ANY_ANGLE, VALIDATION, TUNED, CONSISTENCY, CONSISTENCY_MIRROR,
    CONSISTENCY_TURNED, CALIBRATION, CALIBRATION_TURNED, ASYMMETRY, ASYMMETRY_TURNED,
)  # fmt: skip
ERRORS = (ERROR, ERROR_MIRROR, ERROR_TURNED, LIE_ROTATION, LIE_TRANSLATION)
COSTS = (PARAMS, FLOPS, TRAINING_FLOPS, TRAINING_SECONDS, SECONDS, MEMORY)
AVERAGED = (TTA_C4, TTA_D4, QUARTER_TTA_C4, ANY_ANGLE_TTA_C4, ANY_ANGLE_TTA_D4)
CLASSIFIER = (BALANCED, MACRO_F1, AUROC, LIKELIHOOD)
ALL = (*FRACTIONS, *AVERAGED, *CLASSIFIER, *ERRORS, *COSTS)
