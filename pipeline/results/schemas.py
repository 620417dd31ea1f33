"""The schemas of a study's tables: columns, types and the key that makes a row unique."""

from __future__ import annotations

import pyarrow as pa

# Raise it whenever a column is added or removed, or changes its type or meaning, and say in
# `older_versions` what earlier tables have there.
SCHEMA_VERSION = 7

STATUSES = ("completed", "stopped", "failed", "diverged", "timeout")

# Parquet calls what a list holds "element".
_TYPES = {
    "int": pa.int64(), "float": pa.float64(), "text": pa.string(), "bool": pa.bool_(),
    "bytes": pa.binary(),
    "counts": pa.list_(pa.field("element", pa.uint16())),
    "halves": pa.list_(pa.field("element", pa.float16())),
}  # fmt: skip

_CELL = (
    "text: study dataset cell model group positional; int: depth; "
    "text: tokens augment; int: training_images"  # null: all
)
_OUTCOME = (
    "text: status reason; float: validation_accuracy validation_loss "
    "validation_balanced_accuracy validation_macro_f1 validation_auroc "
    "validation_accuracy_turned; int: best_epoch epochs "
    "params flops training_flops; float: training_seconds training_images_per_second seconds; "
    "int: peak_memory_bytes; text: precision execution device"
)
_CONFIGURATION = (
    "text: form; int: window heads; text: window_shape encoding; int: patch_size channels; "
    "float: feedforward_ratio dropout attention_dropout learning_rate weight_decay "
    "label_smoothing step_seconds; int: batch_size batch_parts; text: configuration"
)
_MEASURES = (
    "float: tuned_validation_accuracy test_accuracy test_accuracy_quarter_turned "
    "test_accuracy_turned invariance_error consistency invariance_error_mirror "
    "consistency_mirror invariance_error_turned consistency_turned calibration_error "
    "calibration_error_turned lie_rotation lie_rotation_se lie_rotation_floor lie_translation "
    "lie_translation_se lie_translation_floor balanced_accuracy macro_f1 auroc "
    "negative_log_likelihood test_accuracy_tta_c4 test_accuracy_tta_d4 "
    "test_accuracy_turned_tta_c4 test_accuracy_turned_tta_d4 test_accuracy_quarter_turned_tta_c4 "
    "asymmetry_share asymmetry_share_turned invariance_error_untied "
    "invariance_error_mirror_untied; int: train_images test_images test_classes "
    "measured_images tied_images; text: weights"
)


def _schema(table: str, key: str, *columns: str) -> pa.Schema:
    """Build a schema from a text such as ``"text: status reason; int: epochs"``."""
    fields = []
    for group in "; ".join(columns).split("; "):
        kind, names = group.split(": ")
        fields += [pa.field(name, _TYPES[kind]) for name in names.split()]
    return pa.schema(fields, metadata={"table": table, "key": key})


# One row a sampled configuration of a cell. `feasible` is null without constraints; `pareto` is
# whether no other trial of the cell is better in one of the study's objectives and as good in all.
TRIALS = _schema(
    "trials",
    "study dataset cell trial",
    _CELL,
    "int: trial seed",
    _OUTCOME,
    "float: validation_invariance_error; bool: feasible pareto",
    _CONFIGURATION,
)
# One row an epoch of a trial (stage "sweep") or of a run (stage "confirm"); FLOPs and seconds of
# training are those of all epochs so far, without validation.
EPOCHS = _schema(
    "epochs",
    "study dataset cell stage trial seed epoch",
    _CELL,
    "text: stage; int: trial seed epoch; float: train_loss validation_loss validation_accuracy "
    "validation_balanced_accuracy validation_macro_f1 validation_auroc "
    "validation_accuracy_turned learning_rate training_seconds seconds asymmetry_share; "
    "int: training_flops",
)
# One row a trial (stage "sweep") or run (stage "confirm") that ran: its output.
LOGS = _schema(
    "logs",
    "study dataset cell stage trial seed",
    _CELL,
    "text: stage; int: trial seed; text: log",
)
# One row a seed of a cell's best configuration; `trial` is the trial it came from, of the search
# of the cell `tuned_cell` on the data set `tuned_on`. `split` is 0 for the prepared split into
# training, validation and test images; other seeds are used on others.
RUNS = _schema(
    "runs",
    "study dataset cell seed",
    _CELL,
    "int: trial split seed; text: tuned_on tuned_cell",
    _OUTCOME,
    _CONFIGURATION,
    _MEASURES,
)
# One row a run and angle of a full turn; `exact` where no interpolation was needed.
ANGLES = _schema(
    "angles",
    "study dataset cell seed angle_degrees",
    _CELL,
    "int: seed; float: angle_degrees; bool: exact; float: accuracy consistency invariance_error; "
    "int: images",
)
# One row a run and other transformation: the elements of D4 but the identity, and shifts in pixels.
MOVES = _schema(
    "moves",
    "study dataset cell seed kind transformation",
    _CELL,
    "int: seed; text: kind transformation; float: accuracy consistency invariance_error; "
    "int: images",
)
# One row a run and bin of confidence that holds an image: the means of confidence and accuracy.
CALIBRATION = _schema(
    "calibration",
    "study dataset cell seed images bin",
    _CELL,
    "int: seed; text: images; int: bin count; float: confidence accuracy",
)
# One row a run and pair of label and prediction that occurs, on upright and on turned images.
CONFUSION = _schema(
    "confusion",
    "study dataset cell seed images label predicted",
    _CELL,
    "int: seed; text: images; int: label predicted count",
)
# One row a run and condition: what the network predicts, and the probability of the label. Lists
# have one item an image, in the order of IMAGES from `first_image` on; a condition that was
# measured on fewer images has the first of them. Conditions: the test images upright, under each
# quarter turn, and turned by random angles ("turned"); and means of probabilities over the orbits
# of C4 and D4 ("tta", test-time augmentation: 4 and 8 times the FLOPs). `logits` (row-major, images
# by classes) are null unless kept, and for the means.
PREDICTIONS = _schema(
    "predictions",
    "study dataset cell split seed condition",
    _CELL,
    "int: split seed; text: condition; int: first_image; counts: prediction; "
    "halves: label_probability logits",
)
# One row a test image in the order of PREDICTIONS, a fixed random one, so that the first n are a
# sample; `test_image` is its number in the test split, of later splits that among all images of
# train, validation and test. `group` is the source's group of images that belong together (a
# patient, a font), or null; where rows have a cell it is the symmetry group of the network.
IMAGES = _schema(
    "images",
    "study dataset split image",
    "text: study dataset; int: split image test_image label; text: group",
)
# One row an upright test image that runs classify wrongly, at most 24 a data set: `place` orders
# them by the probability of the wrong predictions, averaged over all `runs`; `wrong_runs` of these
# are wrong, and `predicted` is what most of that probability is for, with its mean `probability`.
# `pixels` has channels x height x width values of 8 bits.
MISTAKES = _schema(
    "mistakes",
    "study dataset place",
    "text: study dataset; int: place image test_image label predicted; "
    "text: label_name predicted_name group; float: probability; int: wrong_runs runs "
    "channels height width; bytes: pixels",
)
# One row a value of a feature map of one image at four turns, for one run of a cell.
FEATURES = _schema(
    "features",
    "study dataset cell seed layer_index layer turn frame row col",
    _CELL,
    "int: seed; text: layer; int: layer_index turn frame row col; float: value",
)
# One row a value of a positional encoding as every frame sees it, for one run of a cell.
ENCODINGS = _schema(
    "encodings",
    "study dataset cell seed layer frame row col",
    _CELL,
    "int: seed; text: layer; int: frame row col; float: value",
)
# One row a run, layer and group element; `error` is relative, in the L2 norm.
LAYERS = _schema(
    "layers",
    "study dataset cell seed layer_index layer element",
    _CELL,
    "int: seed; text: layer; int: layer_index; text: element; float: error",
)
# One row a random network and transformation: what an architecture is symmetric under, untrained.
HIERARCHY = _schema(
    "hierarchy",
    "study group positional tokens transformation seed",
    "text: study group positional tokens; int: seed; text: transformation; float: error; "
    "bool: expected_symmetric",
)


def table_name(schema: pa.Schema) -> str:
    """Return the name of a declared table.

    Examples
    --------
    >>> table_name(TRIALS)
    'trials'
    """
    return schema.metadata[b"table"].decode()


def key_columns(schema: pa.Schema) -> list[str]:
    """Return the columns that order a declared table and make each of its rows unique.

    Examples
    --------
    >>> key_columns(RUNS)
    ['study', 'dataset', 'cell', 'seed']
    """
    return schema.metadata[b"key"].decode().split()
