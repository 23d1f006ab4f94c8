"""Membership inference on a run: who was in its training, as far as its models give it away."""
