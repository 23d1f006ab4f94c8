"""`fedcxr augment-study`."""

from typing import Annotated, Any

import typer

from fedcxr.cli import options as o
from fedcxr.cli.compare import ExtraArms, run
from fedcxr.cli.flags import COMPARE_FLAGS, config_from_flags, takes_flags

STUDY = {
    "compare.arms": ["federated"],
    "compare.augmentations": ["none", "copies", "classical", "vae"],
    "vae.enabled": True,
}
"""What makes a comparison this study, where file and flags say nothing else."""
TASKS = {
    "lung-lesion": (
        "lung_lesion",
        {
            "compare.models": ["alexnet", "densenet121"],
            # at each of five sites: 1,000 of each class in all, as in the earlier study
            "vae.samples_per_label": 200,
            "vae.classes": "both",
        },
    ),
}
"""By task, the preset that its study starts from, its networks, and what its sites add."""


def augment_study(
    preset: Annotated[
        str | None, typer.Option(help="As of compare; default quickstart, or that of --task.")
    ] = None,
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    arm: ExtraArms = None,
    quiet: o.Quiet = False,
    **flags: Any,  # noqa: ANN401  # each flag's own type is its key's
) -> None:
    """Ask whether samples of each site's own VAE help more than copies of real images do.

    A comparison of training on real images alone, with copies of them, with classical views of them
    and with samples of a VAE, as many of each, in as many steps. `--arms federated,centralized`
    asks it at one place as well, `--models alexnet,densenet121` of several networks. `--task
    lung-lesion` asks it of one finding, as an earlier study did. Ctrl-C keeps what was reached; go
    on with `fedcxr resume FOLDER`.
    """
    base, of_task = TASKS.get(flags["task"], ("quickstart", {}))
    resolved = config_from_flags(
        flags,
        preset=preset or base,
        file=config,
        settings=settings or [],
        verb={**STUDY, **of_task},
    )
    run(resolved, arm, quiet)


takes_flags(augment_study, COMPARE_FLAGS)
