"""TensorBoard's event files, a folder a run; needs the extra `fedcxr[tensorboard]`, no PyTorch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedcxr.trackers.protocol import RoundNumbers, RunEnd, RunStart


class TensorBoardTracker:
    """Writes scalars by round, and the settings as a table."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def on_start(self, start: RunStart) -> None:
        """Open the run's event file."""
        # TensorBoard's own writer: an extra, and only here
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(self._folder / start.run))
        if start.resumed_after is None:
            rows = [f"|{key}|{value}|" for key, value in start.settings.items()]
            self._add_text("settings", "\n".join(["|key|value|", "|-|-|", *rows]))

    def on_round(self, numbers: RoundNumbers) -> None:
        """Add the round's numbers."""
        self._add_scalars(numbers.metrics, numbers.round_num, numbers.time)

    def on_end(self, end: RunEnd) -> None:
        """Add the result at its round, and close the file."""
        self._add_scalars(end.metrics, end.best_round or 0, end.time)
        self._writer.close()

    def _add_scalars(self, metrics: Mapping[str, float], step: int, at: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in metrics.items()]
        self._writer.add_event(Event(wall_time=at, step=step, summary=Summary(value=values)))
        self._writer.flush()

    def _add_text(self, tag: str, text: str) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

        plugin = SummaryMetadata.PluginData(plugin_name="text")
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype="DT_STRING", string_val=[text.encode()], tensor_shape=shape)
        metadata = SummaryMetadata(plugin_data=plugin)
        value = Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
        self._writer.add_event(Event(wall_time=0.0, step=0, summary=Summary(value=[value])))
