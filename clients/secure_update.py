"""From a training to what leaves the site of it under secure aggregation: words, under masks.

The server cannot look at one site's update, so what it would hold it to is held to here.
"""

import numpy as np

from clients.secure_stages import SecureSite
from clients.train import Trained, sent_parameters
from fedcxr.chain import UPDATE, clip_factor
from fedcxr.codecs import Floats
from fedcxr.config.task import SiteTask
from fedcxr.errors import RunError
from fedcxr.schema import COUNTERS, MASKED, WireSchema
from fedcxr.secagg.quantise import Layout, Numbers, Quantiser, Words, to_words
from fedcxr.secagg.sensitivity import is_within, length_before_rounding
from fedcxr.seeding import derive_rng
from fedcxr.vectors import Vectors


def masked(
    secure: SecureSite,
    task: SiteTask,
    schema: WireSchema,
    given: Vectors,
    made: Vectors,
    result: Trained,
) -> dict[str, Words]:
    """Return what leaves the site of a training: its numbers as words, under its masks.

    Args:
        secure: the site in its session.
        task: the run's.
        schema: the run's.
        given: the vectors of the order.
        made: what the training made, after the chain.
        result: the training.
    """
    if task.secure is None:
        raise ValueError("the task is not of secure aggregation")
    # Which way a number is rounded protects nothing, so it may be known: resumed runs repeat it.
    rng = derive_rng(task.seed, "round", secure.site_id, secure.setup.round_num)
    quantiser, layout = task.secure.quantiser, schema.layout
    if schema.protects == "client":
        words = bounded_words(quantiser, layout, made[UPDATE], task.privacy.clip, rng)
        return {MASKED: secure.mask(words)}
    moved = made[COUNTERS] - schema.shared.take(sent_parameters(given)).counters
    numbers = Numbers(made[UPDATE], moved, result.train_loss, result.num_examples)
    if schema.is_private:  # neither is noised: every site weighs the same, and no loss leaves
        numbers = Numbers(made[UPDATE], moved, 0.0, 1)
    return {MASKED: secure.mask(to_words(quantiser, layout, numbers, rng))}


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
