"""Orders: what a worker elsewhere is given, and what it answers; both are JSON, and nothing is pickled."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinlock.errors import SpinlockError, StorageError

if TYPE_CHECKING:
    from spinlock.execution.plan import Plan
    from spinlock.storage import Receipt

Answer = dict[str, Any]

OUTCOMES = frozenset({"receipt", "error", "storage_error", "out_of_memory"})
"""What an answer holds that is the last one about a shard; others are signs of life."""


class OtherPlanError(SpinlockError):
    """The configuration of an order gives another plan here than where the order was made."""


@dataclass(frozen=True)
class Order:
    """What a worker is given before its shards.

    Attributes
    ----------
    config
        The configuration, as it is stored.
    digest
        The plan's.
    directory
        The run directory, as an absolute path.
    device
        Name of the device to compute on.
    sharing
        Workers that share the device.
    """

    config: Mapping[str, Any]
    digest: str
    directory: str
    device: str
    sharing: int = 1

    @staticmethod
    def of(plan: "Plan", directory: Path, device: str, sharing: int = 1) -> "Order":
        """Return the order to work on a plan in a run directory."""
        config = plan.config.model_dump(mode="json")
        return Order(config, plan.digest, str(Path(directory).absolute()), device, sharing)

    def as_dict(self) -> dict[str, Any]:
        """Return the order as JSON holds it."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the order as one line of JSON."""
        return json.dumps(self.as_dict())

    def plan(self) -> "Plan":
        """Prepare this process to compute, and make the plan anew.

        Raises
        ------
        OtherPlanError
            Where its digest is not that of the order.
        """
        from spinlock.config import config_from_stored
        from spinlock.config.missing_parts import naming_missing_parts
        from spinlock.execution.devices import prepare_process
        from spinlock.execution.plan import make_plan

        prepare_process()
        with naming_missing_parts(self.config):
            plan = make_plan(config_from_stored(dict(self.config)))
        if plan.digest != self.digest:
            raise OtherPlanError(
                f"the plan made here has digest {plan.digest}, the driver's has {self.digest}: install "
                "the same version of spinlock, with the same plugins, on every machine"
            )
        return plan


def answer_of(work: "Callable[[], Receipt]") -> Answer | None:
    """Return the answer for one shard: its receipt, or what went wrong; None if it was given up to leave."""
    from spinlock.execution.in_flight import ShortOfMemoryError, one_line
    from spinlock.execution.memory import is_out_of_memory
    from spinlock.execution.shard import CancelledError

    try:
        return {"receipt": work().to_json()}
    except CancelledError:
        return None
    except StorageError as error:
        if is_out_of_memory(error):
            return {"out_of_memory": one_line(error), "error": str(error)}
        return {"storage_error": str(error)}
    except ShortOfMemoryError as error:
        return {"out_of_memory": error.reason, "error": f"ShortOfMemoryError: {error}"}
    except Exception as error:  # noqa: BLE001 (whatever it is, the driver is told)
        answer = {"error": f"{type(error).__name__}: {error}"}
        return answer | ({"out_of_memory": one_line(error)} if is_out_of_memory(error) else {})
