"""Sign descent (Bernstein et al. 2018, signSGD): a step of one size for every number."""

from collections.abc import Mapping

from torch import Tensor

from fedcxr.config.train import TrainConfig
from fedcxr.training.optimizers import Rule


def sign_step(
    parameters: list[Tensor],
    gradients: list[Tensor],
    kept: Mapping[str, list[Tensor]],
    config: TrainConfig,
    learning_rate: float,
) -> None:
    """Move each number by the learning rate, against the sign of its gradient."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.sub_(gradient.sign(), alpha=learning_rate)


sign_descent = Rule(sign_step)
