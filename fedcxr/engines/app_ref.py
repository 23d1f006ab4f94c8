"""A ClientApp by name, so that another process can make its own."""

import importlib
import json
from dataclasses import asdict, dataclass

from flwr.clientapp import ClientApp


@dataclass(frozen=True, slots=True)
class AppRef:
    """A function that returns a ClientApp, and the texts it is called with."""

    module: str
    function: str
    args: tuple[str, ...] = ()

    def load(self) -> ClientApp:
        """Import the function and return what it makes."""
        app = getattr(importlib.import_module(self.module), self.function)(*self.args)
        if not isinstance(app, ClientApp):
            raise TypeError(f"{self.module}.{self.function} does not return a ClientApp")
        return app

    def to_text(self) -> str:
        """Return the reference as JSON, for a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "AppRef":
        """Return the reference that `to_text` wrote."""
        tree = json.loads(text)
        return cls(tree["module"], tree["function"], tuple(tree["args"]))
