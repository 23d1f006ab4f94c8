"""Training and prediction on one machine: loss, augmentation, precision, the loop."""
