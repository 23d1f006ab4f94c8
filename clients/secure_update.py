"""From a training to what leaves the site of it under secure aggregation: words, under masks.

The server cannot look at one site's update, so what it would hold it to is held to here.
"""

from dataclasses import dataclass

import numpy as np

from clients.secure_stages import SecureSite
from clients.train import Trained, sent_parameters
from fedcxr.chain import UPDATE, clip_factor
from fedcxr.codecs import Floats
from fedcxr.config.task import SecureTask, SiteTask
from fedcxr.errors import RunError
from fedcxr.schema import COUNTERS, MASKED, WireSchema
from fedcxr.secagg.messages import StageReply
from fedcxr.secagg.quantise import Layout, Numbers, Quantiser, Words, to_words
from fedcxr.secagg.sensitivity import is_within, length_before_rounding
from fedcxr.seeding import derive_rng
from fedcxr.update_rules import check_made
from fedcxr.vectors import Vectors


@dataclass(frozen=True, slots=True)
class Masked:
    """What leaves a site of a training."""

    vectors: dict[str, Words]
    said: StageReply
    """That the update was checked, signed."""


def masked(
    secure: SecureSite,
    task: SiteTask,
    schema: WireSchema,
    given: Vectors,
    made: Vectors,
    result: Trained,
) -> Masked:
    """Return a training's numbers as words under the site's masks, and its word on them.

    Args:
        secure: the site in its session.
        task: the run's.
        schema: the run's.
        given: the vectors of the order.
        made: what the training made, after the chain.
        result: the training.

    Raises:
        RunError: the update does not pass a check; nothing of it leaves.
    """
    if task.secure is None:
        raise ValueError("the task is not of secure aggregation")
    before = schema.shared.take(sent_parameters(given))
    check_made(made, schema, before)
    update, lengths = within_usual(made[UPDATE], schema.size, task.secure, secure.usual_lengths())
    # Which way a number is rounded protects nothing, so it may be known: resumed runs repeat it.
    rng = derive_rng(task.seed, "round", secure.site_id, secure.setup.round_num)
    quantiser, layout = task.secure.quantiser, schema.layout
    if schema.protects == "client":
        words = bounded_words(quantiser, layout, update, task.privacy.clip, rng)
    else:
        moved = made[COUNTERS] - before.counters
        # Neither loss nor number of images is noised: where patients are, every site weighs 1.
        loss, weight = result.train_loss, result.num_examples
        loss, weight = (0.0, 1) if schema.is_private else (loss, weight)
        words = to_words(quantiser, layout, Numbers(update, moved, loss, weight), rng)
    sent = {MASKED: secure.mask(words)}
    return Masked(sent, secure.signed(task.secure.checks(schema.protects), lengths))


def within_usual(
    update: Floats, size: int, task: SecureTask, usual: tuple[float, float] | None
) -> tuple[Floats, tuple[float, float]]:
    """Return an update that is no longer than the run allows, and its lengths.

    Args:
        update: (trained + buffers,)
        size: T, the trained numbers.
        task: the run's.
        usual: lengths of the site's own updates before; none = there were none.

    Raises:
        RunError: it is longer, and the run does not have it shortened.
    """
    parts = update[:size], update[size:]
    lengths = [float(np.linalg.norm(part.astype(np.float64))) for part in parts]
    if usual is None or task.norm_factor is None:
        return update, (lengths[0], lengths[1])
    limits = [task.norm_factor * length for length in usual]
    if task.norm_policy == "refuse" and (lengths[0] > limits[0] or lengths[1] > limits[1]):
        raise RunError(
            f"the update has the lengths {lengths[0]:.3g} (trained) and {lengths[1]:.3g} (buffers),"
            f" and by the site's own rounds before {limits[0]:.3g} and {limits[1]:.3g} are allowed "
            "(server.norm_factor)"
        )
    rows = zip(parts, lengths, limits, strict=True)
    cut = [part * np.float32(most / n) if n > most else part for part, n, most in rows]
    kept = [min(pair) for pair in zip(lengths, limits, strict=True)]
    return np.concatenate(cut), (kept[0], kept[1])


def bounded_words(
    quantiser: Quantiser, layout: Layout, update: Floats, longest: float, rng: np.random.Generator
) -> Words:
    """Return an update as words that stand for no longer one than C, of a site that weighs 1.

    Nothing else is in them: buffers, counters and loss are 0, and what was clipped is not counted.

    Args:
        quantiser: of the round.
        layout: of the model's shared part.
        update: (trained + buffers,)
        longest: C.
        rng: rounds up or down.

    Raises:
        RunError: it is not finite, or longer than C once it is rounded.
        ConfigError: rounding may take more than half of C.
    """
    most = length_before_rounding(quantiser, layout.trained, longest)
    trained, shortened = update[: layout.trained], np.zeros_like(update)
    shortened[: layout.trained] = trained * np.float32(clip_factor(trained, most))
    nothing = np.zeros(layout.counters, np.int64)
    words = to_words(quantiser, layout, Numbers(shortened, nothing, 0.0, 1), rng)
    words[-2] = 0
    if not is_within(quantiser, words[: layout.trained], longest):
        raise RunError("the rounded update is longer than privacy.clip")
    return words
