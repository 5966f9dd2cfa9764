"""What a run tells while it works."""

from typing import Protocol


class Progress(Protocol):
    """Somebody who watches a run; called from several threads."""

    def begin(self, total: int, done: int) -> None:
        """Tell how many things there are and how many were done before."""

    def advance(self) -> None:
        """Tell that one more is done."""

    def stage(self, what: str) -> None:
        """Tell what the run is doing."""


class Silent:
    """Nobody watches."""

    def begin(self, total: int, done: int) -> None:
        """Say nothing."""

    def advance(self) -> None:
        """Say nothing."""

    def stage(self, what: str) -> None:
        """Say nothing."""
