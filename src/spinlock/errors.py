"""The errors Spinlock raises on purpose, each with the exit code the command line gives it."""


class SpinlockError(Exception):
    """Something failed or was found invalid; the message says what, where and what to do (exit 1)."""

    exit_code = 1


class UsageError(SpinlockError):
    """The request itself is wrong: a configuration, an option or a name (exit 2)."""

    exit_code = 2


class ConfigError(UsageError):
    """One or more faults of a configuration, all of them listed in the message."""


class OptionError(UsageError, ValueError):
    """A value that an option of a catalogue entry does not accept."""


class UnknownNameError(UsageError, KeyError):
    """A name that no catalogue entry has; the message holds the near miss."""

    def __str__(self) -> str:
        """Return the message itself, not the quoted form of ``KeyError``."""
        return str(self.args[0])


class StorageError(SpinlockError):
    """A dataset file cannot be written, or what was read is damaged or incomplete."""


class InterruptedRunError(SpinlockError):
    """The user stopped the run; what was committed stays and the next run goes on (exit 130)."""

    exit_code = 130
