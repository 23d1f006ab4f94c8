"""How messages are carried and on what the sites compute."""

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from fedcxr.config.flag import Flag
from fedcxr.section import Section

Dtype = Literal["fp32", "bf16"]
"""Of the arithmetic that trains."""


class EngineConfig(Section):
    """The machinery; none of it changes the result except precision and threads."""

    kind: Annotated[Literal["local", "ray"], Flag(name="--engine")] = "local"
    workers: Annotated[PositiveInt | None, Flag("Clients at once.")] = Field(default=None, le=1024)
    """Clients that train at once; none = what keeps every core busy. 1 = in this process."""
    threads_per_client: Annotated[
        PositiveInt | None, Flag("Default 1; more if sites are fewer than cores.")
    ] = Field(default=None, le=256)
    """Threads of one client's arithmetic; none = 1, or more where sites are fewer than cores.
    Another number changes the last bits."""
    server_threads: PositiveInt | None = Field(default=None, le=256)
    """Threads of the server's own evaluation; none = every core. Another number changes the last
    bits."""
    device: Annotated[str, Flag("auto, cpu, cuda, cuda:N.")] = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    precision: Annotated[Literal["auto", Dtype], Flag()] = "auto"
    """`auto` = the fastest pair of dtype and memory layout, by a probe kept per machine."""
    compile: Annotated[bool, Flag("torch.compile: minutes first, faster after.")] = False
    """Compile the network with `torch.compile` before training: minutes that only pay in long runs.
    Changes the last bits."""
    client_gpus: Annotated[tuple[NonNegativeInt, ...], Flag("GPU of each worker: 0,0,1,1.")] = ()
    """The GPU of each local worker, as in 0,0,1,1; empty = all workers on `device`."""
    ray_address: Annotated[str | None, Flag("A running Ray cluster.")] = None
    """A running Ray cluster; none = one started here."""
    cpus_per_client: Annotated[PositiveFloat | None, Flag("Cores that Ray reserves.")] = None
    """Ray: processor cores that a client reserves; none = its threads."""
    gpus_per_client: Annotated[
        NonNegativeFloat | None, Flag("Share of a GPU that Ray reserves.")
    ] = None
    """Ray: share of a GPU that a client reserves; none = an equal share, or 0 without GPUs."""

    @model_validator(mode="after")
    def _each_engine_has_its_own(self) -> Self:
        if self.kind == "ray" and self.client_gpus:
            raise ValueError("client_gpus is of the local engine; with Ray set gpus_per_client")
        return self
