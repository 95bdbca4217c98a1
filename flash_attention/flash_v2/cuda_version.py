"""FlashAttention-2: launch flash_v2.cu."""

from pathlib import Path

import torch

from flash_attention import arguments
from flash_attention.tiles import HEAD_DIMS, Tiles, choose, launch, rows_contiguous

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
        tiles = choose(sizes.head_dim, q.device, tiles)
        grid = (-(-sizes.seqlen_q // tiles[0]), sizes.heads, sizes.batch)
        launch(source, "flash_v2", grid, (q, k, v, o, lse), sizes, scale, causal, tiles)
    return o, lse
