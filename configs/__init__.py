"""Presets, each runnable by name: `fedcxr simulate --preset chexpert`."""
