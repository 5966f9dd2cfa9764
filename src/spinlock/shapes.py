"""Axis types: the shapes that every layer shares, checked at run time when the tests switch beartype on.

Axes are named as in the documentation: ``b`` samples of a batch, ``n`` samples, ``m`` realizations,
``t`` frames, ``c`` channels, ``h`` × ``w`` grid.
"""

from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

State = Float[Tensor, "1 c h w"]
"""One realization's state: what an operator maps to the next one."""

States = Float[Tensor, "m c h w"]
"""The states of an ensemble at one time."""

Fields = Float32[Tensor, "b c h w"]
"""A batch of initial conditions."""

Frames = Float32[Tensor, "t c h w"]
"""The frames of one realization."""

PerSample = Float[Tensor, "b"] | Int64[Tensor, "b"] | float | int
"""An option that may differ from sample to sample: a column of values (the default is one plain number)."""

Mask = Bool[Tensor, "..."]
"""Where something holds."""
