"""A site's samples judged: told from real images, recognised by their finding, copied.

Two small networks are trained for that and thrown away. One learns the findings from all real
images of the site, training and validation alike: its features must know both equally well, or the
one would look nearer than the other. It also tells whether a sample shows the finding it was made
for. The other learns to tell samples from real training images, and is tested on validation
patients and on samples it has not seen (a classifier two-sample test: Lopez-Paz and Oquab 2017,
"Revisiting classifier two-sample tests", §3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from fedcxr.config.train import AugmentConfig, TrainConfig
from fedcxr.metrics.auroc import macro, score_labels
from fedcxr.metrics.copying import CopyTest, copy_test, patient_distances
from fedcxr.metrics.kernel_distance import kernel_distance
from fedcxr.models.judge import Judge, build_judge
from fedcxr.seeding import derive_rng, derive_seed
from fedcxr.training.loop import train_site
from fedcxr.training.pool import ImagePool, ImageSource
from fedcxr.training.precision import Precision
from fedcxr.training.predict import predict
from fedcxr.training.samples import SamplePlan
from fedcxr.training.transforms import Normalization, normalize

FEWEST = 20
"""Validation images, and samples, that a comparison needs."""
_STEPS = 400
"""That a judge is trained for, about."""
_BATCH = 32
_AT_ONCE = 256
"""Images read and judged at once."""
_LEARNING_RATE = 1e-3
_PIXELS_PX = 32
"""Side at which pixels are compared; finer ones are averaged."""
_PRECISION = Precision("fp32", channels_last=False, why="a judge is small")
_PLAIN = AugmentConfig(min_crop_area=1.0, max_aspect=1.0, flip=0.0, max_rotation_deg=0.0)
_NORMALIZATION = Normalization("preset", 0.449, 0.226)

Images = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RealImages:
    """A site's own images, which samples are compared with."""

    images: Images
    """(M, H, H), usually a memory map, of which parts are read one after another."""
    rows: NDArray[np.int64]
    """(N,) positions in `images`."""
    target: NDArray[np.float32]
    """(N, L) in {0, 1, nan}."""
    patient: NDArray[np.int64]
    """(N,) a number for each patient."""

    def part(self, start: int, size: int) -> Images:
        """Return a copy of up to `size` images from `start` on."""
        return np.asarray(self.images[self.rows[start : start + size]])


def as_real(samples: Images, target: NDArray[np.float32]) -> RealImages:
    """Return samples in the form of real images, each of a patient of its own."""
    every = np.arange(len(samples))
    return RealImages(samples, every, target, every)


@dataclass(frozen=True, slots=True)
class SampleQuality:
    """What was found; nan where there is too little to compare."""

    two_sample_accuracy: float
    """Share of unseen images that a classifier tells right; ½ = samples pass for real ones."""
    two_sample_p: float
    """Of that share, or more, by guessing."""
    feature_distance: float
    """Samples to validation images, in the judge's features (`kernel_distance`)."""
    feature_distance_real: float
    """Training to validation images, likewise."""
    recognised: float
    """Macro AUROC of the findings asked for, by a classifier trained on real images."""
    pixel: CopyTest | None
    feature: CopyTest | None

    @property
    def copies(self) -> NDArray[np.bool_] | None:
        """(S,) samples nearer to a training image than chance explains, in either space."""
        if self.pixel is None or self.feature is None:
            return None
        return self.pixel.copies | self.feature.copies

    @property
    def is_copying(self) -> bool:
        """Whether the samples as a whole copy, in either space."""
        return any(test is not None and test.is_copying for test in (self.pixel, self.feature))


def judge_samples(
    samples: Images,
    plan: SamplePlan,
    train: RealImages,
    val: RealImages,
    labels: Sequence[str],
    *,
    device: str,
    seed: int,
) -> SampleQuality:
    """Return what is found about samples.

    Args:
        samples: (S, H, H).
        plan: what they were made for.
        train: what the VAE was trained on.
        val: other patients' images.
        labels: (L,) names.
        device: `cpu`, `cuda` or `cuda:N`.
        seed: of judges and permutations.
    """
    judge = _trained_judge(_labelled(train, val), device, derive_seed(seed, "findings"))
    probs = _predict(judge, samples, device)
    recognised, _ = macro(score_labels(_known(plan.target), probs, labels))
    nothing = float("nan")
    shown = nothing if recognised is None else recognised
    if min(len(val.rows), len(samples)) < FEWEST:
        return SampleQuality(nothing, nothing, nothing, nothing, shown, None, None)
    accuracy, p_value = _two_sample_test(samples, train, val, device, seed)
    sets = (as_real(samples, plan.target), train, val)
    made, trained, held = (_features(judge, each, device) for each in sets)
    return SampleQuality(
        accuracy,
        p_value,
        kernel_distance(made, held),
        kernel_distance(trained, held),
        shown,
        _copies([_coarse(each) for each in sets], train, val, seed),
        _copies([made, trained, held], train, val, seed),
    )


def _copies(
    spaces: Sequence[NDArray[np.float32]], train: RealImages, val: RealImages, seed: int
) -> CopyTest:
    """Return the test in a space: vectors of samples, training and validation images."""
    made, trained, held = spaces
    patient = np.unique(np.concatenate([train.patient, val.patient]), return_inverse=True)[1]
    is_train = np.zeros(patient.max() + 1, dtype=bool)
    is_train[patient[: len(trained)]] = True
    distance = patient_distances(made, np.concatenate([trained, held]), patient)
    return copy_test(distance, is_train, derive_rng(seed, "permutations"))


def _two_sample_test(
    samples: Images, train: RealImages, val: RealImages, device: str, seed: int
) -> tuple[float, float]:
    """Return accuracy and p value; as many images of either kind in training, and in the test."""
    from scipy.stats import binomtest  # half a second, and only for sites with a VAE

    rng = derive_rng(seed, "two-sample")
    half = rng.permutation(len(samples))
    learned, tested = half[: len(half) // 2], half[len(half) // 2 :]
    size = min(len(learned), len(train.rows))
    shown = (train.images, rng.permutation(train.rows)[:size]), (samples, learned[:size])
    sources = [
        ImageSource(images, rows, np.full((size, 1), number, np.float32))
        for number, (images, rows) in enumerate(shown)
    ]
    judge = _trained_judge(ImagePool(tuple(sources)), device, derive_seed(seed, "made-or-real"))
    size = min(len(tested), len(val.rows))
    asked = (val.images, rng.permutation(val.rows)[:size]), (samples, tested[:size])
    right = sum(
        int(((_predict(judge, images, device, rows)[:, 0] > 0.5) == bool(number)).sum())
        for number, (images, rows) in enumerate(asked)
    )
    found = binomtest(right, 2 * size, 0.5, alternative="greater")
    return right / (2 * size), float(found.pvalue)


def _trained_judge(pool: ImagePool, device: str, seed: int) -> Judge:
    epochs = max(1, round(_STEPS * _BATCH / len(pool)))
    judge = build_judge(pool.target.shape[1], seed)
    train_site(
        judge,
        pool,
        config=TrainConfig(local_epochs=epochs, batch_size=_BATCH, augment=_PLAIN),
        learning_rate=_LEARNING_RATE,
        normalization=_NORMALIZATION,
        precision=_PRECISION,
        device=device,
        seed=seed,
    )
    return judge


def _labelled(*parts: RealImages) -> ImagePool:
    return ImagePool(tuple(ImageSource(p.images, p.rows, _known(p.target)) for p in parts))


def _known(target: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return targets with all that is neither 0 nor 1 as not known."""
    return np.where((target == 0) | (target == 1), target, np.nan).astype(np.float32)


def _predict(
    judge: nn.Module, images: Images, device: str, rows: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    return predict(
        judge,
        images,
        np.arange(len(images)) if rows is None else rows,
        batch_size=_AT_ONCE,
        normalization=_NORMALIZATION,
        precision=_PRECISION,
        device=device,
    )


def _features(judge: Judge, real: RealImages, device: str) -> NDArray[np.float32]:
    """Return (N, D) features of images."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(real.rows), _AT_ONCE):
            stored = torch.from_numpy(real.part(start, _AT_ONCE)).to(device)
            parts.append(judge.features(normalize(stored, _NORMALIZATION)).cpu())
    found: NDArray[np.float32] = torch.cat(parts).numpy()
    return found


def _coarse(real: RealImages) -> NDArray[np.float32]:
    """Return (N, D) pixels in [0, 1] at `_PIXELS_PX`, or at the images' size if smaller."""
    side, parts = min(_PIXELS_PX, real.images.shape[1]), []
    for start in range(0, len(real.rows), _AT_ONCE):
        stored = torch.from_numpy(real.part(start, _AT_ONCE)).unsqueeze(1).to(torch.float32)
        parts.append(F.adaptive_avg_pool2d(stored / 255, side).flatten(1))
    found: NDArray[np.float32] = torch.cat(parts).numpy()
    return found
