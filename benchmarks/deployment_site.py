"""A site's client as `fedcxr client start` runs it, whose local training takes no step.

It adds noise instead: Flower sends and keeps equal pieces of a vector once, however many come.

    python -m benchmarks.deployment_site --kit DIR --data DIR

Everything else is the product's: the kit, the SuperNode, the resident trainer, the door out. One
part of `benchmarks/deployment.py`.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.clientapp import ClientApp

from fedcxr.engines.app_ref import AppRef

if TYPE_CHECKING:
    from torch import nn

    from fedcxr.training.pool import ImagePool

WAIT_S = 120.0


def noop_app(node_config: str) -> ClientApp:
    """Return the site's app, in a trainer in which no step is taken."""
    import torch  # the client itself is without

    from clients import train
    from fedcxr.deploy.resident_app import resident_app
    from fedcxr.training.loop import TrainResult

    def train_site(model: "nn.Module", pool: "ImagePool", **settings: object) -> TrainResult:
        torch.seed()  # or all processes would begin with the same noise
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=1e-6)
        return TrainResult(num_examples=pool.num_real, train_loss=0.0, num_steps=0, images_seen=0)

    setattr(train, "train_site", train_site)  # noqa: B010  # mypy: another module's
    return resident_app(node_config)


def main() -> None:
    """Take part until interrupted."""
    from fedcxr.deploy import resident
    from fedcxr.deploy.join import join
    from fedcxr.deploy.site_data import prepare_site
    from fedcxr.interrupts import end_on_signals

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kit", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    end_on_signals()
    resident.RESIDENT_APP = AppRef("benchmarks.deployment_site", "noop_app")
    prepare = partial(prepare_site, data=args.data)
    join(args.kit, prepare, lambda event: print(event, flush=True), wait_s=WAIT_S)


if __name__ == "__main__":
    main()
