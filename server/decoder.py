"""From what a site sent to its parameters, whatever the codec, in memory for one site.

Under a codec a site sends what is to be added to the parameters that the round began with. They are
decoded into one vector that is used again for each reply: blocks of 28 MB from the heap, one a
reply, are kept and fragmented.
"""

import numpy as np
from flwr.app import RecordDict

from fedcxr.codecs import Codec, Floats, decode
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.wire import unpack_parameters, unpack_update
from server.check import check_encoded


class Decoder:
    """Reads the replies of a round, one at a time."""

    def __init__(self, codec: Codec, spec: ParameterSpec) -> None:
        self._codec = codec
        self._spec = spec
        self._given: Floats | None = None
        self._vector: Floats | None = None

    def begin(self, given: Parameters) -> None:
        """Take the parameters that the sites of this round are given."""
        self._given = given.vector

    def read(self, content: RecordDict) -> Parameters:
        """Return a site's parameters; under a codec they hold until the next are read.

        Raises:
            RunError: the arrays are not those of the codec. Values are for the caller to check.
        """
        if self._codec.name == "none":
            return unpack_parameters(content)
        assert self._given is not None, "begin() comes first"
        encoded = unpack_update(content, self._codec.name)
        check_encoded(encoded, self._codec, self._spec)
        if self._vector is None:
            self._vector = np.empty_like(self._given)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by name
            decode(encoded, self._spec, self._vector)
            self._vector += self._given
        return Parameters(self._vector, encoded.counters)
