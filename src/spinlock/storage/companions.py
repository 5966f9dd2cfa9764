"""What stands beside a dataset: its card and its Croissant description, named after it."""

from pathlib import Path

from spinlock.storage.atomic import remove_temporaries

CARD = ".card.md"

CROISSANT = ".croissant.json"

SUFFIXES = (CARD, CROISSANT)
"""No dataset has a name that ends in one of them, so none stands where the companion of another does."""


def card_path(dataset: Path) -> Path:
    """Return where the card of a dataset stands: ``x.h5`` has ``x.h5.card.md``."""
    return dataset.with_name(f"{dataset.name}{CARD}")


def croissant_path(dataset: Path) -> Path:
    """Return where the description of a dataset stands: ``x.h5`` has ``x.h5.croissant.json``."""
    return dataset.with_name(f"{dataset.name}{CROISSANT}")


def remove_temporaries_of(dataset: Path) -> None:
    """Remove what killed writers of a dataset and of its companions left beside it.

    Call it only while no other process writes there.
    """
    for path in (dataset, card_path(dataset), croissant_path(dataset)):
        remove_temporaries(path.parent, path.name)
