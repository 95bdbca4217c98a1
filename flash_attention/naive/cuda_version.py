"""Naive attention: launch scores.cu, lesson 7's online.cu, and weighted_sum.cu, with S and P in memory between them."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from flash_attention import arguments
from flash_attention.softmax.cuda_version import softmax_online
from workbench.cuda import Kernel, load

HERE = Path(__file__).parent
TILE = 32
SCALARS = {torch.float32: "float", torch.float16: "__half", torch.bfloat16: "__nv_bfloat16"}
GRID = 65_535  # blocks along y and z: CUDA C++ Programming Guide, compute capabilities


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    causal: bool = False,
    scale: float | None = None,
    scores: Path = HERE / "scores.cu",
    weighted_sum: Path = HERE / "weighted_sum.cu",
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(Q Kᵀ · scale) V and its log-sum-exp, in three kernels.

    q: (B, H, Sq, D), k, v: (B, Hkv, Sk, D), float32, float16 or bfloat16; those that aren't contiguous are copied.
    Returns o, as q, and lse (B, H, Sq), float32. S and P take 8 * B * H * Sq * Sk bytes: they are float32 in any case,
    as scores rounded to 16 bits would make lse wrong. Raises ValueError for what doesn't fit together or a grid.
    """
    sizes, scale = arguments.check(q, k, v, scale)
    heads, rows = sizes.batch * sizes.heads, sizes.seqlen_q
    if heads > GRID or _tiles(rows) > GRID:
        raise ValueError(
            f"q has shape {tuple(q.shape)}; batch * heads may be {GRID:,} and seqlen_q {GRID * TILE:,} at most"
        )
    q, k, v = (x.contiguous() for x in (q, k, v))
    s = torch.empty(heads * rows, sizes.seqlen_k, dtype=torch.float32, device=q.device)
    o = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    group = np.int32(sizes.heads // max(sizes.heads_kv, 1))
    lengths = (np.int32(rows), np.int32(sizes.seqlen_k), np.int32(sizes.head_dim))
    if s.numel() > 0:
        _kernel(scores, "scores", q.dtype)(
            (_tiles(sizes.seqlen_k), _tiles(rows), heads),
            (TILE, TILE),
            (q, k, s, *lengths, group, np.float32(scale), np.int32(causal)),
        )
    p, lse = softmax_online(s)
    if o.numel() > 0:
        _kernel(weighted_sum, "weighted_sum", q.dtype)(
            (_tiles(sizes.head_dim), _tiles(rows), heads),
            (TILE, TILE),
            (p, v, o, *lengths, group, np.int32(causal)),
        )
    return o, lse.view(q.shape[:3])


def bytes_asked(sizes: arguments.Sizes, element_size: int) -> int:
    """What the threads of the three kernels read and write, in bytes: O(Sq * Sk), and the tiles of Q, K and V again and
    again. Caches serve a part of it. element_size: of q, k, v and o; S and P have 4 bytes an element."""
    sq, sk, d = sizes.seqlen_q, sizes.seqlen_k, sizes.head_dim
    scores = element_size * d * (sq * _tiles(sk) + sk * _tiles(sq)) + 4 * sq * sk
    softmax = (2 + 1) * 4 * sq * sk + 4 * sq
    weighted_sum = 4 * sq * sk * _tiles(d) + element_size * d * (sk * _tiles(sq) + sq)
    return sizes.batch * sizes.heads * (scores + softmax + weighted_sum)


def macros(dtype: torch.dtype) -> dict[str, object]:
    return {"SCALAR": SCALARS[dtype], "TILE": TILE}


def _tiles(length: int) -> int:
    return -(-length // TILE)


@lru_cache
def _kernel(source: Path, name: str, dtype: torch.dtype) -> Kernel:
    return load(source, name, macros(dtype))
