"""What the attention lessons check: calls that every version must get right, and how far from the oracle it may be."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from workbench.check.lesson import Case

LENGTHS = ((1, 1), (2, 2), (17, 17), (63, 63), (64, 64), (65, 65))


def case(
    seqlen_q: int,
    seqlen_k: int,
    *,
    batch: int = 1,
    heads: int = 1,
    heads_kv: int = 0,
    head_dim: int = 32,
    dtype: str = "float32",
    causal: bool = False,
    scale: float | None = None,
    kind: str = "",
    gpu_only: bool = False,
) -> Case:
    """Attention on random q, k and v with a mean; heads_kv 0: as many as `heads`.

    kind: "q * 40" (exp overflows), "q * 500" (in float64 too, in which NumPy submissions compute), "very negative" (exp
    of each score underflows), "transposed" (q, k and v are views of (batch, seqlen, heads, head_dim) memory), "NaN and
    inf" (one of each, in places of their own) or "" (none of these).
    """
    name = f"{seqlen_q} x {seqlen_k}, head_dim {head_dim}"
    if (batch, heads) != (1, 1):
        name += f", batch {batch}, heads {heads}" + (f"/{heads_kv}" if heads_kv else "")
    name += f", scale {scale}" if scale is not None else ""
    name += f", {dtype}" + ", causal" * causal + f", {kind}" * bool(kind)

    def make(generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        def normal(heads: int, seqlen: int, mean: float, spread: float = 1.0) -> np.ndarray:
            shape = (batch, seqlen, heads, head_dim)
            x = generator.standard_normal(shape, dtype=np.float32) * np.float32(spread) + np.float32(mean)
            x = x.transpose(0, 2, 1, 3)
            return x if kind == "transposed" else np.ascontiguousarray(x)

        far = kind == "very negative"
        q = normal(heads, seqlen_q, *((12.0, 0.1) if far else (0.25,)))
        k, v = (
            normal(heads_kv or heads, seqlen_k, *mean) for mean in ((-12.0, 0.1) if far else (0.25,), (0.5,))
        )
        if kind.startswith("q * "):
            q *= np.float32(kind.removeprefix("q * "))
        if kind == "NaN and inf":
            q[..., seqlen_q // 2, 0] = np.nan
            k[..., seqlen_k // 3, 1] = np.inf  # scores of +inf and -inf
            v[..., seqlen_k // 4, 2] = np.inf
            v[..., seqlen_k // 5, 3] = np.nan
        return q, k, v

    options = {"causal": causal} if scale is None else {"causal": causal, "scale": scale}
    return Case(name, make, dtype, options, gpu_only=gpu_only)


# What a lesson picks from, small cases first. Together the sampled ones catch every mistake of `attention_mistakes`.
SHORT = (
    case(1, 1),
    case(2, 2, causal=True),
    case(17, 17, dtype="float16", causal=True),
    case(0, 5),
    case(5, 0),
    case(20, 20, kind="NaN and inf"),
)
TELLING = (
    case(65, 65),
    case(70, 70, causal=True),
    case(63, 130),
    case(65, 190, causal=True),
    case(90, 50, causal=True),  # the first 40 queries see no key
    case(70, 130, kind="q * 40"),
    case(130, 130, kind="q * 40", causal=True),
    case(70, 100, kind="q * 500"),
    case(70, 100, kind="very negative"),
    case(33, 70, head_dim=24, scale=0.5),
    case(33, 70, head_dim=24, scale=-0.2, causal=True),
    case(40, 40, batch=2, heads=4, heads_kv=2, head_dim=24, causal=True),
    case(40, 40, heads=3, heads_kv=1, head_dim=24),
    case(40, 70, batch=2, heads=2, head_dim=24, kind="transposed", causal=True),
)
DTYPES = (
    case(108, 256, head_dim=64, dtype="float16"),
    case(113, 203, head_dim=64, dtype="bfloat16", causal=True),
    case(203, 113, head_dim=40, dtype="float16", causal=True),
    case(40, 70, heads=2, head_dim=64, dtype="bfloat16", kind="transposed"),
)
HEAD_DIMS = tuple(case(33, 47, head_dim=d, causal=True) for d in (72, 96, 128, 256))
LARGE = tuple(  # for a GPU
    case(
        seqlen_q, seqlen_k, heads=4, heads_kv=heads_kv, head_dim=d, dtype=dtype, causal=causal, gpu_only=True
    )
    for (seqlen_q, seqlen_k), heads_kv, d in (
        ((1023, 1024), 4, 64),
        ((1024, 1023), 2, 128),
        ((256, 108), 1, 80),
        ((203, 113), 4, 256),
        ((113, 203), 2, 111 // 8 * 8),
    )
    for dtype in ("float32", "float16", "bfloat16")
    for causal in (False, True)
)
CASES = (*SHORT, *TELLING, *DTYPES, *HEAD_DIMS, *LARGE)
LEFT_OUT = (
    "130 x 130, head_dim 32, float32, causal, q * 40",
    "40 x 40, head_dim 24, batch 1",
)  # others show the same
ON_A_CPU = (*SHORT, *(c for c in TELLING if not c.name.startswith(LEFT_OUT)), DTYPES[-1], HEAD_DIMS[-1])


def for_a_gpu(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Those of the cases that a CPU, where `ON_A_CPU` must do, has no time for."""
    return tuple(replace(c, gpu_only=True) for c in cases if c not in ON_A_CPU)


def plain(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool = False, scale: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Plain PyTorch: each step rounded to the inputs' dtype. What 16-bit numbers cost is measured with it."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    s = (q @ k.transpose(2, 3)) * (q.shape[3] ** -0.5 if scale is None else scale)
    if causal:
        seen = torch.ones(s.shape[2:], dtype=torch.bool, device=s.device).tril(s.shape[3] - s.shape[2])
        s = s.masked_fill(~seen, -torch.inf)
    lse = torch.logsumexp(s.float(), 3)
    p = torch.softmax(s, 3).masked_fill(lse[..., None] == -torch.inf, 0.0)
    return p @ v, lse.masked_fill(p.isnan().any(3), torch.nan)  # a score of inf: inf - inf


def accumulation(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, *, causal: bool = False, scale: float | None = None
) -> int:
    """Rounded operations behind an output element, in units of its size.

    A sum over Sk keys of products with p. A score, a sum over D, errs by up to (D + 2) u * scale * Σ|q_d||k_d|, and exp
    makes of that the relative error of p, in the output and in the sum that divides it.
    """
    if not (q.size and k.size):
        return 1
    scale = q.shape[3] ** -0.5 if scale is None else scale
    finite_q, finite_k = (np.nan_to_num(np.abs(x), nan=0.0, posinf=0.0) for x in (q, k))
    group = q.shape[1] // k.shape[1]
    largest = (finite_q @ np.repeat(finite_k, group, axis=1).swapaxes(2, 3)).max() * abs(scale)
    return k.shape[2] + round(2 * (q.shape[3] + 2) * max(largest, 1.0))


def traffic(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> int:
    """Bytes that must move: q, k and v read once, o and lse written once."""
    inputs = sum(x.numel() * x.element_size() for x in (q, k, v))
    return inputs + q.numel() * q.element_size() + 4 * q.shape[0] * q.shape[1] * q.shape[2]


def operations(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool = False, **options: Any
) -> int:
    """Floating-point operations of the two matrix products: 4 D for each query and key that it sees."""
    batch, heads, seqlen_q, head_dim = q.shape
    seqlen_k = k.shape[2]
    limits = np.arange(seqlen_q) + seqlen_k - seqlen_q + 1
    pairs = int(np.clip(limits, 0, seqlen_k).sum()) if causal else seqlen_q * seqlen_k
    return 4 * batch * heads * head_dim * pairs
