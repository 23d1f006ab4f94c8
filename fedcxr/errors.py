"""Every error that fedcxr raises on purpose, as one tree.

```
FedCxrError                     6
├── ConfigError                 2   a file, key, flag or value of the configuration
│   └── LimitError              2   more than a site's owner allows
├── DataError                   3   what the user's data set holds
│   ├── RecordError             3   a row of a table
│   ├── ImageError              3   an image file
│   └── LeakError               3   a patient in two places
├── ArtefactError               4   a file that fedcxr wrote: checkpoint, cache, plan, run folder
├── NetworkError                5   a connection, a certificate, a key
├── StorageError                6   a disk that is full or may not be written; also an OSError
└── RunError                    6   the run itself
    ├── QuorumError             6   too few sites answered in time
    ├── DivergedError           6   a site's training left the finite numbers
    └── StoppedError          130   stopped by the user
```
The number is the exit code of the command line. A message says what, where and how to mend it.
"""


class FedCxrError(Exception):
    """Anything that fedcxr refuses or cannot finish; catch this to catch them all."""

    exit_code = 6


class ConfigError(FedCxrError):
    """The configuration is wrong."""

    exit_code = 2


class LimitError(ConfigError):
    """A run asks a site for more than its owner allows."""


class DataError(FedCxrError):
    """The data set is wrong."""

    exit_code = 3


class RecordError(DataError):
    """A row of a table cannot be read as a record."""


class ImageError(DataError):
    """An image file cannot be read as a radiograph."""


class LeakError(DataError):
    """A patient is in two sites or splits."""


class ArtefactError(FedCxrError):
    """A file that fedcxr wrote is missing, damaged or of another run."""

    exit_code = 4


class NetworkError(FedCxrError):
    """A connection, certificate or key was refused."""

    exit_code = 5


class StorageError(FedCxrError, OSError):
    """A file cannot be written; with the `errno` and `filename` of an OSError."""

    def __str__(self) -> str:
        return str(self.args[0])


class RunError(FedCxrError):
    """The run cannot go on."""


class QuorumError(RunError):
    """Too few sites answered before the deadline."""


class DivergedError(RunError):
    """A site's training left the finite numbers."""


class StoppedError(RunError):
    """The user stopped the run, and the server was told from another thread."""

    exit_code = 130


def some(items: list[str], limit: int = 10) -> str:
    """Return the first items, comma-separated, and how many more there are.

    >>> some(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    shown = ", ".join(items[:limit])
    rest = len(items) - limit
    return f"{shown} and {rest} more" if rest > 0 else shown
