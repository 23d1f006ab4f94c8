"""How messages are carried and on what the sites compute."""

from typing import Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from fedcxr.section import Section


class EngineConfig(Section):
    """The machinery; none of it changes the result except precision and threads."""

    kind: Literal["local", "ray"] = "local"
    workers: PositiveInt | None = Field(default=None, le=1024)
    """Clients that train at once; none = what keeps every core busy. 1 = in this process."""
    threads_per_client: PositiveInt | None = Field(default=None, le=256)
    """Threads of one client's arithmetic; none = 1, or more where sites are fewer than cores.
    Another number changes the last bits."""
    server_threads: PositiveInt | None = Field(default=None, le=256)
    """Threads of the server's own evaluation; none = every core. Another number changes the last
    bits."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` = the fastest pair of dtype and memory layout, by a probe kept per machine."""
    compile: bool = False
    """Compile the network with `torch.compile` before training: minutes that only pay in long runs.
    Changes the last bits."""
    client_gpus: tuple[NonNegativeInt, ...] = ()
    """The GPU of each local worker, as in 0,0,1,1; empty = all workers on `device`."""
    ray_address: str | None = None
    """A running Ray cluster; none = one started here."""
    cpus_per_client: PositiveFloat | None = None
    """Ray: processor cores that a client reserves; none = its threads."""
    gpus_per_client: NonNegativeFloat | None = None
    """Ray: share of a GPU that a client reserves; none = an equal share, or 0 without GPUs."""

    @model_validator(mode="after")
    def _each_engine_has_its_own(self) -> Self:
        if self.kind == "ray" and self.client_gpus:
            raise ValueError("client_gpus is of the local engine; with Ray set gpus_per_client")
        return self
