"""Going on: what earlier runs of a plan left that counts, and what is still to be made."""

import logging
from collections.abc import Mapping, Sequence

import torch

from spinlock.dataset.provenance import merged_environments, refuse_mixing
from spinlock.execution.run_directory import RunDirectory
from spinlock.storage import Receipt

logger = logging.getLogger("spinlock")


def work_left(
    run: RunDirectory, devices: Sequence[torch.device], *, allow_mixed: bool
) -> tuple[Mapping[int, Receipt], list[int]]:
    """Return the receipts that count, every shard read for it, and the shards that have none.

    Raises
    ------
    UsageError
        Where that would mix environments and ``allow_mixed`` is not given.
    """
    plan, scan = run.plan, run.receipts(deep=True)
    for path, reason in scan.rejected.items():
        logger.info("%s does not count (%s); its samples are made again", path.name, reason)
    missing = [shard for shard in range(plan.num_shards) if shard not in scan.valid]
    if not allow_mixed:
        refuse_mixing(merged_environments(scan.valid.values()), devices if missing else [])
    done = sum(receipt.hi - receipt.lo for receipt in scan.valid.values())
    if done:
        logger.info("going on: %d of %d samples were done before", done, plan.total_samples)
    return scan.valid, missing
