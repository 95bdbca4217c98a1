"""FlashAttention-2: launch flash_v2.cu."""

from pathlib import Path

import torch

from flash_attention import arguments
from flash_attention.tiles import (
    HEAD_DIMS,
    THREADS,
    Tiles,
    choose,
    kernel,
    rows_contiguous,
    scalars,
    shared_memory,
)

HERE = Path(__file__).parent


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    causal: bool = False,
    scale: float | None = None,
    tiles: Tiles | None = None,
    source: Path = HERE / "flash_v2.cu",
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(Q Kᵀ · scale) V and its log-sum-exp by algorithm 1 of arXiv 2307.08691.

    q: (B, H, Sq, D), k, v: (B, Hkv, Sk, D), float32, float16 or bfloat16, D a multiple of 8 up to 256; strides may be
    any (where the last one isn't 1, a copy is made). tiles: (Br, Bc), multiples of 16 up to 256; None takes the fastest
    that fit. Returns o, as q, and lse (B, H, Sq), float32. Raises ValueError for what doesn't fit together.
    """
    sizes, scale = arguments.check(q, k, v, scale, head_dims=HEAD_DIMS)
    q, k, v = map(rows_contiguous, (q, k, v))
    o = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    if lse.numel() > 0:
        rows, columns = choose(sizes.head_dim, q.device, tiles)
        grid = (-(-sizes.seqlen_q // rows), sizes.heads, sizes.batch)
        kernel(source, "flash_v2", q.dtype, sizes.head_dim, (rows, columns))(
            grid,
            THREADS,
            (q, k, v, o, lse, *scalars(sizes, scale, causal, q, k, v)),
            shared_memory=shared_memory((rows, columns), sizes.head_dim),
        )
    return o, lse
