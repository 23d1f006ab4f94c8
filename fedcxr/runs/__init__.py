"""The run folder: everything a run leaves behind, as files."""

from fedcxr.runs.folder import RunFolder

__all__ = ["RunFolder"]
