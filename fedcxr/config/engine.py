"""How messages are carried and on what the sites compute."""

from typing import Literal

from pydantic import Field, PositiveInt

from fedcxr.config.section import Section


class EngineConfig(Section):
    """The machinery; none of it changes the result except precision and threads."""

    kind: Literal["local", "ray"] = "local"
    workers: PositiveInt | None = Field(default=None, le=1024)
    """Clients that train at once; none = cores ÷ `threads_per_client`. 1 = in this process."""
    threads_per_client: PositiveInt = Field(default=1, le=256)
    """Threads of one client's arithmetic; another number changes the last bits."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` = the fastest pair of dtype and memory layout, by a probe kept per machine."""
    ray_address: str | None = None
    """A running Ray cluster; none = one started here."""
