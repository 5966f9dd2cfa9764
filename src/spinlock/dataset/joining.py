"""The end of a run: all receipts are there, the shards are joined, and the work is removed."""

from collections.abc import Callable, Sequence

from spinlock.dataset.feature_facts import generated_facts
from spinlock.dataset.provenance import file_attributes
from spinlock.dataset.quality import SamplingReport
from spinlock.dataset.resume import finish
from spinlock.execution.run_directory import RunDirectory
from spinlock.storage import FinalFile, Receipt, finalize


def join_shards(
    run: RunDirectory,
    sampling: SamplingReport,
    executor: str,
    workers: int,
    join: Callable[..., FinalFile] = finalize,
) -> tuple[FinalFile, Sequence[Receipt]]:
    """Join all shards of a run to its dataset and remove the work; return the dataset and its receipts.

    Raises
    ------
    StorageError
        Where a shard is missing or damaged, or the dataset cannot be written; the work then stays.
    """
    plan, receipts = run.plan, run.all_receipts()
    run.end_arrays()
    attributes = file_attributes(plan, sampling, receipts, executor, workers)
    shards = [receipt.shard_file(run.path) for receipt in receipts]
    final = join(run.output, plan.layout, shards, attributes, facts=generated_facts(plan, receipts))
    finish(run, final)
    return final, receipts
