"""The errors Spinlock raises on purpose, each with the exit code the command line gives it."""

from collections.abc import Iterator
from contextlib import contextmanager


class SpinlockError(Exception):
    """Something failed or was found invalid; the message says what, where and what to do (exit 1)."""

    exit_code = 1


class UsageError(SpinlockError):
    """The request itself is wrong: a configuration, an option or a name (exit 2)."""

    exit_code = 2


class ConfigError(UsageError):
    """One or more faults of a configuration, all of them listed in the message."""


class MissingPartError(ConfigError):
    """A stored configuration names a part that is registered nowhere here: its plugin is not installed."""


class OptionError(UsageError, ValueError):
    """A value that an option of a catalogue entry does not accept."""


class UnknownNameError(UsageError, KeyError):
    """A name that no catalogue entry has; the message holds the near miss."""

    def __str__(self) -> str:
        """Return the message itself, not the quoted form of ``KeyError``."""
        return str(self.args[0])


class StorageError(SpinlockError):
    """A dataset file cannot be written, or what was read is damaged or incomplete."""


class UnavailableError(StorageError):
    """What stands at a path cannot be read now, sound or not: nothing, in use, or forbidden."""


class UnsoundError(StorageError):
    """What stands at a path is no sound dataset.

    Attributes
    ----------
    reason
        Why, in a clause.
    is_foreign
        Whether Spinlock, or this version of it, may not have made it at all.
    """

    reason: str = ""
    is_foreign: bool = False


class ForeignError(StorageError):
    """What is read is no dataset that this version of Spinlock makes; ``instead`` says what to do then."""

    def __init__(self, message: str, instead: str) -> None:
        super().__init__(message)
        self.instead = instead


class InterruptedRunError(SpinlockError):
    """The user stopped the run; what was committed stays and the next run goes on (exit 130)."""

    exit_code = 130


@contextmanager
def needing(package: str, what: str) -> Iterator[None]:
    """Turn a failed import of an optional package, which has an extra of its name, into a `UsageError`."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise missing_package(package, what, package) from None


def missing_package(package: str, what: str, extra: str, instead: str = "") -> UsageError:
    """Return the error for what needs a package that an extra of Spinlock installs."""
    other = f"; or {instead}" if instead else ""
    return UsageError(f'{what} needs the package {package}: run pip install "spinlock[{extra}]"{other}')
