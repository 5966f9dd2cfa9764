"""An option that holds a list of ranges, ``[[low, high], …]``."""

import typing
from dataclasses import dataclass, fields, replace
from typing import Any

from spinlock.errors import OptionError
from spinlock.registry import Option


@dataclass(frozen=True)
class PairsOption(Option):
    """A list of pairs of numbers, each ascending."""

    @classmethod
    def of(cls, option: Option) -> "PairsOption":
        """Return an option of numbers as one of pairs of such numbers."""
        return cls(**{part.name: getattr(option, part.name) for part in fields(option)})

    def allowed(self) -> str:
        """Return the allowed values in words."""
        words = f"a list of pairs [low, high], each end {self._allowed_item()}"
        return f"{words}; or null" if self.nullable else words

    def check(self, value: Any) -> Any:
        """Return the pairs as tuples, or raise `OptionError` with the allowed values."""
        if value is None and self.nullable:
            return None
        if not isinstance(value, list | tuple) or not value:
            raise self._refusal(value)
        one = replace(self, nullable=False, length=2)
        pairs = tuple(Option.check(one, pair) for pair in value)
        for low, high in pairs:
            if not low < high:
                raise OptionError(
                    f"{self.name} = {value!r}: in [{low:g}, {high:g}] the lower end is not below the upper"
                )
        return pairs


def holds_pairs(hint: Any) -> bool:
    """Return whether a type hint is a tuple of pairs, or null."""
    members = typing.get_args(hint) if typing.get_origin(hint) is not tuple else (hint,)
    outer = [member for member in members if typing.get_origin(member) is tuple]
    return any(typing.get_origin(typing.get_args(member)[0]) is tuple for member in outer)
