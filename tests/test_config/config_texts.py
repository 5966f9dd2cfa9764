"""A small configuration as text and as values, and ways to change it."""

import copy
from typing import Any

import yaml

from spinlock.config.load import validated
from spinlock.config.model import Config
from spinlock.config.yaml_source import Source

TEXT = """\
version: "1.0"
metadata:
  name: small
parameter_space:
  architecture:
    num_layers: {type: integer, bounds: [1, 2]}
    base_channels: {type: choice, choices: [2, 4]}
    gain:
      type: continuous
      bounds: [0.8, 1.8]
      log_scale: true
    activation:
      type: choice
      choices: [gelu, tanh]
  stochastic:
    noise_scale: {type: continuous, bounds: [0.01, 0.1]}
  operator:
    grid_size: {type: choice, choices: [16, 32]}
  rollout:
    update_policy: {type: choice, choices: [autoregressive, convex]}
    alpha: {type: continuous, bounds: [0.1, 0.9]}
sampling:
  total_samples: 4
  batch_size: 1000
  sobol:
    seed: 42
    scramble: true
simulation:
  device: cpu
  num_realizations: 2
  num_timesteps: 3
  num_channels: 1
  input_generation:
    method: sampled
    ic_type_weights:
      localized: 1
      structured: 2
      mine: 1
    mine: {type: gaussian_random_field, length_scale: 0.2}
dataset:
  output_path: small.h5
  storage:
    compression: zstd
    trajectories: {every: 2}
"""

VALUES: dict[str, Any] = yaml.safe_load(TEXT)


def edited(*changes: tuple[str, str]) -> str:
    """Return the text with each old passage, which stands there once, replaced by the new one."""
    text = TEXT
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def line_of(text: str, passage: str) -> int:
    """Return the number of the last line that holds the passage."""
    return text[: text.rindex(passage)].count("\n") + 1


def put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key, making the sections on its way."""
    *path, last = key.split(".")
    for part in path:
        values = values.setdefault(part, {})
    values[last] = value


def changed(changes: dict[str, Any], values: dict[str, Any] = VALUES) -> dict[str, Any]:
    """Return the values with dotted keys set."""
    result = copy.deepcopy(values)
    for key, value in changes.items():
        put(result, key, copy.deepcopy(value))
    return result


def config_of(changes: dict[str, Any] | None = None, values: dict[str, Any] = VALUES) -> Config:
    """Return the validated configuration of the values with dotted keys set."""
    return validated(Source("values", changed(changes or {}, values)))
