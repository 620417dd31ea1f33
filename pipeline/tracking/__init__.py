"""Trials and runs as other tools store them: MLflow, trackio, W&B, TensorBoard, Optuna, CSV."""
