"""Execution: the plan, one shard, and the executors that run all of them."""

from spinlock.execution.plan import Draw, Plan, make_plan

__all__ = ["Draw", "Plan", "make_plan"]
