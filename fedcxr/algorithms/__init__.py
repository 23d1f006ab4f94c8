"""Federated algorithms, one file and one value each; `registry.py` finds them by name."""
