"""The version of fedcxr, for whatever writes it down; `pyproject.toml` has the same."""

__version__ = "0.1.0"
