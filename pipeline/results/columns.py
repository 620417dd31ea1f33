"""What every column of a study's tables says, in one sentence; docs/columns.md lists them."""

from __future__ import annotations

__all__ = ["description"]

_EVERYWHERE = {
    # The cell.
    "study": "Name of the study, `study` of params.yaml.",
    "dataset": "Name of the data set.",
    "cell": "Name of the cell, made of its values of all axes.",
    "model": "Kind of network.",
    "group": "Symmetry of the network, such as C1, C4 or D4.",
    "positional": "Positional encoding.",
    "depth": "Attention blocks of the network.",
    "tokens": "What attention attends to: pixel, patch, stem or trunk.",
    "augment": "How training images are turned at every step.",
    "training_images": "Number of training images of the cell; null is all of them.",
    # The training.
    "trial": "Number of the trial within its cell, from 0; of a run, the trial it came from.",
    "seed": "Seed of the training.",
    "stage": "Stage that made the row: sweep or confirm.",
    "tuned_on": "Data set whose search gave the configuration.",
    "tuned_cell": "Cell whose search gave the configuration.",
    "split": "Number of the split of the images; 0 is the prepared one.",
    "status": "completed, stopped (early), failed, diverged or timeout.",
    "reason": "Why it is not completed; null where it is.",
    "log": "Output of the trial or run.",
    "epoch": "Number of the epoch, from 1.",
    "epochs": "Epochs that were trained.",
    "best_epoch": "Epoch with the best validation score, whose weights are kept.",
    "train_loss": "Mean cross entropy of the training images over the epoch.",
    "learning_rate": "Learning rate; in `epochs`, at the end of the epoch.",
    "validation_accuracy": "Accuracy on the validation images.",
    "validation_loss": "Mean cross entropy on the validation images.",
    "validation_balanced_accuracy": "Mean over classes of the accuracy on validation images.",
    "validation_macro_f1": "Mean over classes of F1 on validation images.",
    "validation_auroc": "Area under the ROC curve, one class against the rest, mean over classes.",
    "validation_invariance_error": "`invariance_error` on validation images.",
    "feasible": "Whether all constraints are met; null without constraints.",
    "pareto": "Whether no other trial of the cell is better in one objective and as good in all.",
    # Cost.
    "params": "Learned parameters of the network.",
    "flops": "FLOPs of the forward pass of one image.",
    "training_flops": "FLOPs of all training steps so far, without validation.",
    "training_seconds": "Seconds of all training steps so far, without validation.",
    "seconds": "Seconds of the whole trial, run or epoch.",
    "peak_memory_bytes": "Most memory of the training process, or of the GPU, in bytes.",
    "device": "Processor or GPU.",
    "step_seconds": "Measured seconds of a training step, where seconds are matched.",
    # The configuration.
    "form": "Which positions and group elements attend to which.",
    "window": "Side of the attention window in tokens; null is global attention.",
    "window_shape": "Which tokens a window has.",
    "encoding": "How positions are held: a table or a network of the coordinates.",
    "heads": "Attention heads of a block.",
    "patch_size": "Pixels to a token along each side.",
    "channels": "Channels of a group element.",
    "feedforward_ratio": "Width of the feed-forward network over that of the block.",
    "dropout": "Probability of dropping a channel in a block.",
    "attention_dropout": "Probability of dropping an attention weight.",
    "weight_decay": "Weight decay of AdamW.",
    "label_smoothing": "Part of the target that is spread over all classes.",
    "batch_size": "Training images of a step.",
    "batch_parts": "Parts into which a batch is split to save memory; their gradients are added.",
    "configuration": "All that decides the training, as JSON.",
    # Measures of a run on the test images.
    "tuned_validation_accuracy": "Validation accuracy of the trial it came from.",
    "test_accuracy": "Accuracy on the upright test images.",
    "test_accuracy_quarter_turned": "Accuracy on them under the three quarter turns.",
    "test_accuracy_turned": "Accuracy on them, each turned by its own random angle.",
    "invariance_error": "Change of the logits under quarter turns, over their spread.",
    "consistency": "Share of images whose prediction quarter turns do not change.",
    "invariance_error_mirror": "Change of the logits under mirrors, over their spread.",
    "consistency_mirror": "Share of images whose prediction mirrors do not change.",
    "invariance_error_turned": "Change of the logits under random turns, over their spread.",
    "consistency_turned": "Share of images whose prediction such turns do not change.",
    "calibration_error": "Expected calibration error of upright images, in 15 bins.",
    "calibration_error_turned": "Expected calibration error of images turned at random.",
    "lie_rotation": "Squared change of the logits per radian over their variance.",
    "lie_rotation_se": "Its standard error over images.",
    "lie_rotation_floor": "What resampling alone contributes to it.",
    "lie_translation": "Squared change of the logits per pixel of shift over their variance.",
    "lie_translation_se": "Its standard error over images.",
    "lie_translation_floor": "What resampling alone contributes to it.",
    "balanced_accuracy": "Mean over classes of the accuracy on upright test images.",
    "macro_f1": "Mean over classes of F1 on upright test images.",
    "auroc": "Area under the ROC curve on upright test images, mean over classes.",
    "negative_log_likelihood": "Mean cross entropy on upright test images.",
    "test_accuracy_tta_c4": "Accuracy of the mean probabilities over four quarter turns.",
    "test_accuracy_tta_d4": "Accuracy of the mean probabilities over the eight images of D4.",
    "test_accuracy_turned_tta_c4": "The same, starting from images turned at random.",
    "test_accuracy_turned_tta_d4": "The same over D4, starting from images turned at random.",
    "test_accuracy_quarter_turned_tta_c4": "The same, starting from quarter-turned images.",
    "asymmetry_share": "Share of the loss due to asymmetry under quarter turns, upright images.",
    "asymmetry_share_turned": "That share, of test images turned at random.",
    "train_images": "Training images that were used.",
    "test_images": "Test images.",
    "test_classes": "Classes that have test images.",
    "measured_images": "Test images of the measures that are not on all of them.",
    "weights": "File of the trained network.",
    # Details of a run.
    "angle_degrees": "Angle of the turn, in degrees.",
    "exact": "Whether no interpolation was needed.",
    "accuracy": "Accuracy on the images concerned.",
    "images": "Number of images.",
    "kind": "element (of D4) or shift.",
    "transformation": "Name of the transformation.",
    "bin": "Number of the bin of confidence.",
    "count": "Images in the bin, or with this label and prediction.",
    "confidence": "Mean confidence of the bin.",
    "label": "Number of the right class.",
    "predicted": "Number of the predicted class.",
    "condition": "How the test images were transformed, or what was averaged.",
    "first_image": "Place of the first image of the lists in `images`.",
    "prediction": "Predicted classes, a list.",
    "label_probability": "Probabilities of the right classes, a list.",
    "logits": "Logits, images by classes, a list; null unless kept.",
    "image": "Place of the image in the lists of `predictions`.",
    "test_image": "Number of the image in the test split.",
    "place": "Rank by the probability of the wrong predictions.",
    "label_name": "Name of the right class.",
    "predicted_name": "Name of the predicted class.",
    "probability": "Mean probability of the predicted class.",
    "wrong_runs": "Runs that classify the image wrongly.",
    "runs": "Runs that were looked at.",
    "height": "Height of the image in pixels.",
    "width": "Width of the image in pixels.",
    "pixels": "Channels x height x width values of 8 bits.",
    "layer": "Name of the layer.",
    "layer_index": "Place of the layer in the network.",
    "turn": "Quarter turns of the image.",
    "frame": "Number of the group element.",
    "row": "Row of the feature map or encoding.",
    "col": "Column of the feature map or encoding.",
    "value": "Value there.",
    "element": "Element of the group.",
    "error": "Relative error of equivariance in the L2 norm.",
    "expected_symmetric": "Whether theory says that the error is rounding.",
}
# Where a column of a table says something else.
_OF_TABLE = {
    ("angles", "consistency"): "Share of images whose prediction the turn does not change.",
    ("angles", "invariance_error"): "Change of the logits under the turn, over their spread.",
    (
        "moves",
        "consistency",
    ): "Share of images whose prediction it does not change.",
    ("moves", "invariance_error"): "Change of the logits under it, over their spread.",
    ("calibration", "images"): "upright or turned.",
    ("confusion", "images"): "upright or turned.",
    ("images", "group"): "What the image comes from, such as a font or a patient; null without.",
    ("mistakes", "group"): "What the image comes from, such as a font or a patient; null without.",
    ("mistakes", "channels"): "Channels of the image.",
    ("hierarchy", "seed"): "Seed of the random network.",
    ("hierarchy", "error"): "Relative change of the logits under the transformation.",
    ("epochs", "seconds"): "Seconds of the epoch, validation included.",
}


def description(table: str, column: str) -> str:
    """Return what a column of a table says.

    Raises
    ------
    KeyError
        The column has no description.

    Examples
    --------
    >>> description("runs", "flops")
    'FLOPs of the forward pass of one image.'
    """
    return _OF_TABLE.get((table, column)) or _EVERYWHERE[column]
