"""Damage: one thing that is wrong with a file, named by array and row."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Damage:
    """One fault.

    Attributes
    ----------
    array
        Path of the array or group; empty where the file as a whole is meant.
    row
        The sample it belongs to; None where it belongs to no single one.
    what
        What is wrong, in words.
    """

    array: str
    row: int | None
    what: str

    def __str__(self) -> str:
        """Return the fault in one line."""
        place = self.array or "the file:"
        return f"{place} {self.what}" if self.row is None else f"{place}, row {self.row}: {self.what}"
