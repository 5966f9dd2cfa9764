"""Log records and warnings of a run, on their way to who reads them."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reporting_to(*handlers: logging.Handler, level: int = logging.INFO) -> Iterator[None]:
    """Give the package's log records from ``level`` on, and every warning, to handlers during the body."""
    logger = logging.getLogger("spinlock")
    before = logger.level
    logger.setLevel(level)
    for handler in handlers:
        logger.addHandler(handler)
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_args, **_kwargs: logger.warning("warning: %s", message)
        try:
            yield
        finally:
            for handler in handlers:
                logger.removeHandler(handler)
            logger.setLevel(before)
