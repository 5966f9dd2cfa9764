"""Random networks as symmetric 0/1 matrices without loops, one for each sample."""

import torch
from jaxtyping import Float32
from torch import Tensor

Adjacency = Float32[Tensor, "b g g"]
Numbers = Float32[Tensor, "b g g"]

LINKS = 2
"""Links that a new node of a scale-free network brings."""


def scale_free(uniform: Float32[Tensor, "b g _"]) -> Adjacency:
    """Return networks that grow by preferential attachment, P(degree = k) ~ k^−3 for large ones.

    From a triangle on, each node links to two others, drawn with probability proportional to their degrees
    at that time. Uses two uniforms a node. Source: Barabási & Albert, Science 286 (1999) 509.
    """
    count, size = uniform.shape[:2]
    adjacency = torch.zeros(count, size, size, device=uniform.device)
    core = LINKS + 1
    adjacency[:, :core, :core] = 1.0 - torch.eye(core, device=uniform.device)
    degree = adjacency.sum(dim=-1)
    sample = torch.arange(count, device=uniform.device)
    for node in range(core, size):
        weight = degree[:, :node].clone()
        for link in range(LINKS):
            cumulative = weight.cumsum(dim=1)
            threshold = uniform[:, node, link, None] * cumulative[:, -1:]
            target = (cumulative <= threshold).sum(dim=1).clamp(max=node - 1)
            adjacency[sample, node, target] = adjacency[sample, target, node] = 1.0
            degree[sample, target] += 1.0
            weight[sample, target] = 0.0
        degree[:, node] = LINKS
    return adjacency


def erdos_renyi(uniform: Numbers, probability: Float32[Tensor, "#b"]) -> Adjacency:
    """Return networks in which every two nodes are linked with the same probability."""
    upper = (uniform < probability[:, None, None]).float().triu(diagonal=1)
    return upper + upper.transpose(1, 2)


def star(size: int, device: torch.device) -> Float32[Tensor, "1 g g"]:
    """Return the network in which node 0 is linked to all others and these to nothing else."""
    adjacency = torch.zeros(1, size, size, device=device)
    adjacency[:, 0, 1:] = adjacency[:, 1:, 0] = 1.0
    return adjacency


def regulation(adjacency: Adjacency, uniform: Numbers, *, symmetric: bool) -> Float32[Tensor, "b g g"]:
    """Return W = 1 + D^−½ (± A) D^−½: each gene activates itself; links activate or repress at random.

    D holds the degrees, so the eigenvalues of a symmetric W lie in [0, 2] (Chung 1997, Spectral Graph
    Theory, ch. 1, with signs). Without symmetry the two directions of a link have signs of their own.
    """
    sign = torch.where(uniform < 0.5, -1.0, 1.0)
    if symmetric:
        sign = sign.triu(diagonal=1)
        sign = sign + sign.transpose(1, 2)
    scale = adjacency.sum(dim=-1).clamp(min=1.0).rsqrt()
    identity = torch.eye(adjacency.shape[-1], device=adjacency.device)
    return identity + scale[:, :, None] * adjacency * sign * scale[:, None, :]


def most_linked(adjacency: Adjacency, count: int) -> Tensor:
    """Return the numbers of the nodes of highest degree, [B, count]; of equal ones the first."""
    return adjacency.sum(dim=-1).argsort(dim=-1, descending=True, stable=True)[:, :count]
