"""A trained network ready for use: its probabilities, and where it looks.

    predictor = Predictor.open("runs/20260101-120000-quickstart")
    predictor.table(["a.png", "b.dcm"])  # a row an image, a column a label
    predictor.explain("a.png", "Edema")  # (H, W) heat in [0, 1]

Loading a run and scoring images stand here once, for the server, the command line and Python.
Always float32, whatever the training's precision. Not for training.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import NDArray

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import read_config
from fedcxr.config.train import TrainConfig
from fedcxr.cores import cores
from fedcxr.data.images.decode import decode, resized
from fedcxr.data.images.png_depth import FULL_BITS
from fedcxr.data.labels import synonym_of
from fedcxr.data.policies import output_names, policy_of
from fedcxr.errors import ArtefactError, ConfigError, ImageError
from fedcxr.explain.heat import HeatMaps
from fedcxr.explain.methods import METHODS, heat_maps
from fedcxr.explain.needs import need_in_words
from fedcxr.models.architectures import build_model, random_model
from fedcxr.models.base import CxrModel
from fedcxr.parameters import Parameters, ParameterSpec, extract, load_into, spec_of
from fedcxr.runs.checkpoint_files import checkpoint_file
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.saved_model import read_weights
from fedcxr.seeding import derive_seed
from fedcxr.training.device import resolve_device
from fedcxr.training.precision import Precision, arrange
from fedcxr.training.predict import predict, recalibrate_batch_norm
from fedcxr.training.transforms import Normalization, normalize

if TYPE_CHECKING:
    import pandas as pd

Images = NDArray[np.uint8] | Sequence[str | Path] | str | Path
"""(N, H, W) of 8-bit grey, 255 = white, or files: JPEG, PNG or DICOM."""

_BATCH = 64
"""Images in memory at once, at the least, whose size is not the model's yet."""


class Predictor:
    """A network with all that scoring needs: labels, normalisation, device."""

    def __init__(
        self,
        config: ExperimentConfig,
        labels: Sequence[str],
        *,
        precision: Precision,
        device: str,
        threads: int,
        png_bits: int = FULL_BITS,
        trained: bool = False,
    ) -> None:
        """Build the model; `open` takes one that was trained.

        Args:
            config: the run's.
            labels: that are trained and scored.
            precision: the run's; of it the memory layout counts here.
            device: resolved.
            threads: of scoring; they change the last bits.
            png_bits: by which 16-bit PNG files are scaled; of a run without such files all 16.
            trained: a checkpoint follows, so the weights that the run began with are not read.
        """
        self.labels = tuple(labels)
        self.config = config
        self.precision = precision
        self.device = device
        self.threads = threads
        self.png_bits = png_bits
        policy = policy_of(config.data, rounds=config.server.rounds)
        self.outputs = output_names(policy, labels)
        seed = derive_seed(config.seed, "initial weights")
        is_grouped = config.server.batch_norm == "group"
        if trained:
            self.model: CxrModel = random_model(
                config.model, len(self.outputs), seed, group_norm=is_grouped
            )
        else:
            names = {name: synonym_of(name) for name in self.outputs}
            self.model = build_model(
                config.model, len(self.outputs), seed, outputs=names, group_norm=is_grouped
            )
        arrange(self.model, precision, device)
        self.spec: ParameterSpec = spec_of(self.model)
        self.set_normalization(config.train)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Return the model of a finished run, of its best round, or of one checkpoint.

        Args:
            path: a run folder, or a file in its `checkpoints/`.

        Raises:
            ArtefactError: not a run, not finished, or the checkpoint is damaged or of another run.
        """
        path = Path(path)
        folder = path.parent.parent if path.is_file() else path
        if path.is_file() and not (folder / "manifest.json").is_file():
            raise ArtefactError(
                f"{path}: not in the checkpoints/ folder of a run, whose files say how the weights "
                "are used. Give the run's folder, or a file where the run put it."
            )
        run = RunFolder.open(folder)
        manifest, config = run.read_json("manifest.json"), read_config(folder / "config.yaml")
        if path.is_file():
            file = path
        else:
            best_round = run.read_json("summary.json")["best_round"]
            file = checkpoint_file(folder / "checkpoints", best_round)
        moments = {key: manifest["normalization"][key] for key in ("mean", "std")}
        config = config.model_copy(update={"train": config.train.model_copy(update=moments)})
        stored = manifest["precision"]
        predictor = cls(
            config,
            manifest["labels"],
            precision=Precision(stored["dtype"], stored["channels_last"], stored["why"]),
            device=resolve_device(config.engine.device),
            threads=cores(),
            png_bits=manifest["data"]["png_bits"] or FULL_BITS,
            trained=True,
        )
        predictor.load(read_weights(file, predictor.spec, manifest["config_digest"]))
        return predictor

    @property
    def size_px(self) -> int:
        """Side of the square images that the model takes."""
        return self.config.model.image_size

    def probs(self, images: Images) -> NDArray[np.float32]:
        """Return (N, L) probabilities of images of any size, in batches.

        Raises:
            ImageError: not 8-bit grey images, or a file that cannot be read.
        """
        parts = [
            self.probs_at(pixels, np.arange(len(pixels))) for pixels in self._in_batches(images)
        ]
        return np.concatenate([np.zeros((0, len(self.labels)), np.float32), *parts])

    def probs_at(self, images: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (N, L) probabilities of the images at `rows` of a memory map of the model's size.

        (0, 0) where there are none.
        """
        torch.set_num_threads(self.threads)
        return predict(
            self.model,
            images,
            rows,
            batch_size=self._batch_size,
            normalization=self.normalization,
            precision=self.precision,
            device=self.device,
            num_labels=len(self.labels),
        )

    def table(self, files: Sequence[str | Path]) -> "pd.DataFrame":
        """Return the probabilities as a table: a row a file by its name, a column a label.

        Raises:
            ImageError: a file cannot be read.
        """
        import pandas as pd  # a third of a second, and only this method needs it

        index = pd.Index([str(file) for file in files], name="image")
        return pd.DataFrame(self.probs(files), index=index, columns=list(self.labels))

    def explain(
        self, image: NDArray[np.uint8] | str | Path, label: str, method: str = "gradcam"
    ) -> NDArray[np.float32]:
        """Return where the model looks for a label in one image.

        Args:
            image: (H, W) of 8-bit grey, or a file.
            label: one of `labels`.
            method: `gradcam`, or `cam` for networks with a pooled head: its map is the last one,
                which below 224 px is coarser than the one that Grad-CAM takes.

        Returns:
            (size_px, size_px) in [0, 1]: 1 at its peak, or all 0 where nothing speaks for it.

        Raises:
            ConfigError: an unknown label or method, or one that does not fit the network.
            ImageError: not an 8-bit grey image, or a file that cannot be read.
        """
        if label not in self.labels:
            raise ConfigError(f"label {label!r}: the model has {', '.join(self.labels)}.")
        given = image[np.newaxis] if isinstance(image, np.ndarray) else image
        pixels = next(self._in_batches(given))
        heat: NDArray[np.float32] = self.heat_maps(pixels, [self.labels.index(label)], method).heat[
            0
        ]
        return heat

    def heat_maps(
        self, pixels: NDArray[np.uint8], columns: Sequence[int], method: str = "gradcam"
    ) -> HeatMaps:
        """Return where the model looks in each image for its label.

        Args:
            pixels: (N, size_px, size_px); all are put on the device at once.
            columns: (N,) positions in `labels`.
            method: by which; see `explain`.

        Raises:
            ConfigError: an unknown method, or one that does not fit the network.
        """
        chosen = METHODS.get(method)
        lacking = chosen.lacks(self.model)
        if lacking is not None:
            raise ConfigError(
                f"{method}: this method needs {need_in_words(lacking)}; "
                f"{self.config.model.name} is none. Use gradcam."
            )
        self.model.eval()
        images = torch.from_numpy(np.ascontiguousarray(pixels))
        inputs = normalize(images.to(self.device), self.normalization)
        labels = torch.tensor(list(columns), device=self.device)
        return heat_maps(chosen, self.model, inputs, labels)

    def load(self, parameters: Parameters) -> None:
        """Overwrite the model."""
        load_into(self.model, self.spec, parameters)

    def parameters(self) -> Parameters:
        """Return a copy of the model's parameters."""
        return extract(self.model, self.spec)

    def set_normalization(self, train: TrainConfig) -> None:
        """Use the normalisation of `train`; pooled moments are known only once the sites answer."""
        self.normalization = Normalization(train.normalization, train.mean, train.std)

    def recalibrate(self, images: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        """Estimate the batch-norm statistics anew, from images that nothing is tested on."""
        torch.set_num_threads(self.threads)
        recalibrate_batch_norm(
            self.model,
            images,
            rows,
            batch_size=self._batch_size,
            normalization=self.normalization,
            precision=self.precision,
            device=self.device,
        )

    @property
    def _batch_size(self) -> int:
        return max(self.config.train.batch_size, _BATCH)

    def _in_batches(self, images: Images) -> Iterator[NDArray[np.uint8]]:
        """Yield the images at the model's size, (B, size_px, size_px)."""
        if isinstance(images, str | Path):
            images = [images]
        if isinstance(images, np.ndarray) and (images.ndim != 3 or images.dtype != np.uint8):
            raise ImageError(
                f"an array of {images.dtype} {images.shape}: expected (N, H, W) of uint8, 8-bit "
                "grey with 255 = white. Convert it, or give the files."
            )
        for start in range(0, len(images), self._batch_size):
            yield np.stack([self._square(one) for one in images[start : start + self._batch_size]])

    def _square(self, image: NDArray[np.uint8] | str | Path) -> NDArray[np.uint8]:
        if isinstance(image, np.ndarray):
            return resized(image, self.size_px)
        try:
            return decode(Path(image), self.size_px, png_bits=self.png_bits)
        except ImageError as err:
            raise ImageError(f"{image}: {err}") from err
