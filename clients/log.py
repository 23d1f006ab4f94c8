"""The site's own log: the only place where the full text of an error goes."""

import logging
from pathlib import Path

LOGGER = "clients"


def keep_log(file: Path) -> None:
    """Write this process's client log to `file`, and only there.

    In a simulation the server's terminal is not the sites' place to speak; it gets their codes.
    """
    logger = logging.getLogger(LOGGER)
    for old in logger.handlers[:]:
        logger.removeHandler(old)
        old.close()
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(file, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
