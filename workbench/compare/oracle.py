"""What is right: attention in PyTorch, in float64 where the inputs are, for whole heads or for some of them.

The checker's oracle works a query at a time in NumPy, which is too slow for long sequences. This one computes the same
(a test holds it against that) on the GPU. Where even that takes too long, whole heads are left out, never queries or
keys: the first, the last, and others drawn at random are judged with all their queries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from workbench.check.compare import Tolerance, tolerance
from workbench.compare.shapes import Shape
from workbench.timing.ceilings import full_precision

BUDGET = 4e12  # operations in float64: 0.2 s on an H100, some seconds where float64 is slow
SCORES = 2**25  # held at a time
GRADIENTS = 1.5  # gradients may be three times as far off as plain PyTorch's, outputs twice: FlashAttention's own rule


@dataclass(frozen=True)
class Inputs:
    """q, k, v (B, H or Hkv, S, D) and, for the backward pass, dO; always the same ones for a shape and a seed."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    do: torch.Tensor | None

    @property
    def all(self) -> tuple[torch.Tensor, ...]:
        return (self.q, self.k, self.v) + ((self.do,) if self.do is not None else ())


def inputs(shape: Shape, seed: int, device: str) -> Inputs:
    """Random numbers with a mean, so that no output is near zero by chance, rounded to the shape's dtype."""
    generator = torch.Generator(device).manual_seed(seed)

    def normal(heads: int, mean: float) -> torch.Tensor:
        size = (shape.batch, heads, shape.seqlen, shape.headdim)
        return (torch.randn(size, generator=generator, device=device) + mean).to(getattr(torch, shape.dtype))

    q, k, v = normal(shape.nheads, 0.25), normal(shape.nheads_kv, 0.25), normal(shape.nheads_kv, 0.5)
    return Inputs(q, k, v, normal(shape.nheads, 0.1) if shape.backward else None)


@dataclass(frozen=True)
class Expected:
    """What is right for some heads, named by their (batch, K/V head), and how far off from it an output may be.

    values, allowed: by output name; o, lse and dq are (P, G, S, ...) for P such heads with G query heads each, dk and
    dv (P, S, D). judged: which part of the output that is, in words.
    """

    pairs: torch.Tensor
    group: int
    values: dict[str, torch.Tensor]
    allowed: dict[str, Tolerance]
    judged: str

    def part(self, name: str, output: torch.Tensor) -> torch.Tensor:
        """The heads that are judged, of a whole output of that name."""
        heads = self.group if name in ("o", "lse", "dq") else 1
        found = output.unflatten(1, (-1, heads))[self.pairs[:, 0], self.pairs[:, 1]]
        return found if name in ("o", "lse", "dq") else found[:, 0]


def expected(shape: Shape, given: Inputs) -> Expected:
    """The oracle's answer, and the tolerances of `workbench.check.compare` for it."""
    pairs, judged = _chosen(shape, given.q.device)
    group = shape.nheads // shape.nheads_kv
    taken = [
        x.unflatten(1, (-1, group))[pairs[:, 0], pairs[:, 1]] for x in (given.q, given.do) if x is not None
    ]
    k, v = (x[pairs[:, 0], pairs[:, 1]] for x in (given.k, given.v))
    do = taken[1] if shape.backward else None
    values, largest = attention(taken[0], k, v, do, shape.causal, torch.float64)
    low = shape.dtype != "float32"
    plain = attention(taken[0], k, v, do, shape.causal, given.q.dtype)[0] if low else values
    # The rounded operations behind an element: those of the sum over keys, and of the scores that exp makes relative.
    accumulation = shape.seqlen + round(2 * (shape.headdim + 2) * max(largest, 1.0))
    allowed = {}
    for name, right in values.items():
        worst, most = float((plain[name].double() - right).abs().max()), float(right.abs().max())
        dtype = "float32" if name == "lse" else shape.dtype
        # The rule asks for the largest value and the largest distance, and for nothing else.
        plains = np.array([most + worst])
        found = tolerance(np.array([most]), plains.copy, dtype, accumulation)
        factor = GRADIENTS if name.startswith("d") else 1.0
        allowed[name] = Tolerance(factor * found.floor, found.slope)
    return Expected(pairs, group, values, allowed, judged)


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    do: torch.Tensor | None,
    causal: bool,
    dtype: torch.dtype,
) -> tuple[dict[str, torch.Tensor], float]:
    """Plain attention, every step in `dtype`, a part of the scores at a time.

    q, do: (P, G, S, D). k, v: (P, S, D). Returns o, lse and, given dO, dq, dk, dv by name, and the largest
    scale * Σ |q||k| of a score (in float64 alone; else 0).
    """
    pairs, group, seqlen, head_dim = q.shape
    scale = head_dim**-0.5
    rows = min(seqlen, max(1, SCORES // (group * seqlen)))
    together = max(1, SCORES // (group * rows * seqlen))
    exact = dtype == torch.float64
    out: dict[str, Any] = {"o": torch.empty(q.shape, dtype=dtype, device=q.device)}
    out["lse"] = torch.empty(q.shape[:3], dtype=dtype if exact else torch.float32, device=q.device)
    if do is not None:
        out |= {
            name: torch.zeros(x.shape, dtype=dtype, device=q.device)
            for name, x in zip(("dq", "dk", "dv"), (q, k, v), strict=True)
        }
    largest = 0.0
    column = torch.arange(seqlen, device=q.device)
    with full_precision():
        for first in range(0, pairs, together):
            p = slice(first, first + together)
            keys, values = k[p, None].to(dtype), v[p, None].to(dtype)
            for start in range(0, seqlen, rows):
                i = slice(start, start + rows)
                queries = q[p, :, i].to(dtype)
                s = queries @ keys.mT * scale
                if causal:
                    s.masked_fill_(column > column[i, None], -torch.inf)
                out["lse"][p, :, i] = torch.logsumexp(s if exact else s.float(), -1)
                weights = torch.softmax(s, -1)
                o = out["o"][p, :, i] = weights @ values
                if exact:
                    largest = max(largest, float((queries.abs() @ keys.abs().mT).max()) * scale)
                if do is not None:
                    into = do[p, :, i].to(dtype)
                    out["dv"][p] += (weights.mT @ into).sum(1)
                    ds = weights * (into @ values.mT - (into * o).sum(-1, keepdim=True))
                    out["dq"][p, :, i] = ds @ keys * scale
                    out["dk"][p] += (ds.mT @ queries).sum(1) * scale
    return out, largest


def _chosen(shape: Shape, device: torch.device) -> tuple[torch.Tensor, str]:
    """Which (batch, K/V head) pairs are judged, as a tensor (P, 2), and that in words."""
    pairs = shape.batch * shape.nheads_kv
    affordable = max(2, int(BUDGET * pairs // shape.operations))
    if affordable >= pairs:
        numbers: Sequence[int] = range(pairs)
        judged = "all heads"
    else:
        others = np.random.default_rng(shape.seqlen).permutation(np.arange(1, pairs - 1))[: affordable - 2]
        numbers = sorted({0, pairs - 1, *map(int, others)})
        judged = f"{len(numbers)} of {pairs} heads"
    chosen = torch.tensor([divmod(number, shape.nheads_kv) for number in numbers], device=device)
    return chosen, judged
