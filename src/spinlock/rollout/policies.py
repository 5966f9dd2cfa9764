"""Update policies: how the next state is made from the state x and the operator's output y."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from jaxtyping import Float
from torch import Tensor

from spinlock.registry import Entry, Option, Real, Registry, When, options_of, summary_of

policies: Registry[Entry] = Registry("update policy", "spinlock.rollout")
"""Every update policy, by name."""


def update_policy(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Register an update policy: a function ``(x, y, *, options) -> x'``."""
    policies.add(Entry(function.__name__, function, options_of(function), summary_of(function)))
    return function


@update_policy
def autoregressive(x: Float[Tensor, "1 c h w"], y: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h w"]:  # noqa: ARG001
    """Take the output as the next state: x' = y."""
    return y


@update_policy
def residual(
    x: Float[Tensor, "1 c h w"],
    y: Float[Tensor, "1 c h w"],
    *,
    dt: Annotated[float, Real(1e-6, 10.0, suggested=(0.001, 0.5))] = 0.1,
) -> Float[Tensor, "1 c h w"]:
    """Take an explicit Euler step of ẋ = O(x): x' = x + dt·y."""
    return x.add(y, alpha=dt)


@update_policy
def convex(
    x: Float[Tensor, "1 c h w"],
    y: Float[Tensor, "1 c h w"],
    *,
    alpha: Annotated[float, Real(0.0, 1.0, suggested=(0.1, 0.9))] = 0.5,
) -> Float[Tensor, "1 c h w"]:
    """Relax towards the output with memory α: x' = α·x + (1 − α)·y."""
    return (x * alpha).add_(y, alpha=1.0 - alpha)


def policy_options() -> dict[str, Option]:
    """Return the options of a rollout: the policy itself, and the constants of all policies."""
    options = {"update_policy": Option("update_policy", "choice", "autoregressive", choices=tuple(policies))}
    for policy in policies.entries():
        for option in policy.options.values():
            options[option.name] = replace(option, when=When("update_policy", (policy.name,)))
    return options


@dataclass(frozen=True)
class UpdatePolicy:
    """An update policy, by name and with its constants; call it with (x, y), states [1, C, H, W]."""

    name: str
    constants: Mapping[str, float]

    @classmethod
    def of(cls, name: str, values: Mapping[str, Any]) -> "UpdatePolicy":
        """Return the policy of that name with its own constants among ``values``, or their defaults."""
        own = {key: values[key] for key in policies[name].options if key in values}
        return cls(name, policies[name].check_options(own))

    def __call__(self, x: Float[Tensor, "1 c h w"], y: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h w"]:
        """Return the next state x'."""
        return policies[self.name].function(x, y, **self.constants)
