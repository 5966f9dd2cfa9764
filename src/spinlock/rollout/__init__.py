"""Rollouts: an operator applied again and again to an ensemble of noisy realizations."""

from spinlock.rollout.ensemble import Rollout, roll_out
from spinlock.rollout.policies import UpdatePolicy, policies

__all__ = ["Rollout", "UpdatePolicy", "policies", "roll_out"]
