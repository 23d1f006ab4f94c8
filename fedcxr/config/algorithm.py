"""Which federated algorithm, and its own parameters."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, model_validator

from fedcxr.config.flag import Flag
from fedcxr.errors import ConfigError, LimitError
from fedcxr.section import Section

if TYPE_CHECKING:
    from fedcxr.algorithms.protocol import Algorithm


class AlgorithmConfig(Section):
    """The algorithm; what other keys there are is said by the algorithm itself."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    name: Annotated[
        str,
        Flag(
            "fedavg, fedprox, fedavgm, fedadagrad, fedadam, fedyogi, scaffold or fedbn.",
            name="--algorithm",
        ),
    ] = Field(default="fedavg", max_length=200)
    """`fedavg`, `fedprox`, `fedavgm`, `fedadagrad`, `fedadam`, `fedyogi`, `scaffold` or `fedbn`."""

    @model_validator(mode="before")
    @classmethod
    def _with_its_parameters(cls, tree: Any) -> Any:  # noqa: ANN401  # before validation: anything
        """Add the defaults of the algorithm's own keys, and refuse those that it does not have."""
        if not isinstance(tree, dict):
            return tree
        name = tree.get("name", "fedavg")
        own = {key: value for key, value in tree.items() if key != "name"}
        if not isinstance(name, str):
            return tree
        try:
            section = _algorithm(name).parameters
            return {"name": name, **section.model_validate(own).model_dump()}
        except LimitError:
            raise
        except ConfigError as err:  # pydantic adds the key, and the other mistakes
            raise ValueError(str(err).removesuffix(".")) from err
        except ValidationError as err:
            raise ValueError(_explain(name, section, err)) from err

    @property
    def algorithm(self) -> "Algorithm":
        """The algorithm of this name."""
        return _algorithm(self.name)

    @property
    def parameters(self) -> Section:
        """The algorithm's own parameters."""
        return self.algorithm.parameters.model_validate(self.model_extra or {})


def _algorithm(name: str) -> "Algorithm":
    """Return an algorithm; numpy, which all of them need, is imported here and not for `--help`."""
    from fedcxr.algorithms.known_algorithms import algorithm_registry

    return algorithm_registry().get(name)


def _explain(name: str, section: type[Section], err: ValidationError) -> str:
    known = ", ".join(section.model_fields) or "none"
    lines = []
    for problem in err.errors():
        key, why = ".".join(map(str, problem["loc"])), problem["msg"]
        if problem["type"] == "extra_forbidden":
            why = f"{name} has no such key; its own are: {known}"
        lines.append(f"{key} = {problem['input']!r}: {why}")
    return "; ".join(lines)
