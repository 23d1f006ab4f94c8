"""Experiment trackers: what the server tells of a run to TensorBoard, MLflow, W&B or your own."""
