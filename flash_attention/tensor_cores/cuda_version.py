"""FlashAttention-2 on tensor cores: launch tuned.cu, or one of the steps that lead to it."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from flash_attention import arguments
from workbench.cuda import Kernel, load

HERE = Path(__file__).parent
STEPS = ("plain", "swizzled", "prefetch", "registers", "causal", "tuned")
SCALARS = {torch.float16: "__half", torch.bfloat16: "__nv_bfloat16"}
HEAD_DIMS = range(8, 257, 8)  # of tuned.cu
STEPS_HEAD_DIMS = (16, 32, 64, 128)  # of the others
STEPS_HEADS = 65_535  # batch * heads of those before causal.cu, whose grid has them in y
LOG2_E = 1.4426950408889634
L2 = 50 * 2**20  # bytes, of an H100: assumed where there is no GPU to ask


class Tiles(NamedTuple):
    """A block's shape: warps, rows of 16 a warp, keys a tile, whether Q stays in registers, blocks a multiprocessor."""

    warps: int = 4
    row_tiles: int = 2
    keys: int = 64
    q_in_registers: bool = False
    blocks: int = 2

    @property
    def queries(self) -> int:
        return 16 * self.warps * self.row_tiles


STEP_TILES = Tiles(row_tiles=1)  # of the steps before tuned.cu
# By head_dim, the fastest on an H100 first; the others for GPUs with less shared memory. `python -m workbench bench`
# measures the first.
TILES: dict[int, tuple[Tiles, ...]] = {
    64: (Tiles(q_in_registers=True),),
    128: (Tiles(),),
    256: (Tiles(8, 1, 64, blocks=1), Tiles(8, 1, 32, blocks=1), Tiles(4, 1, 32, blocks=1)),
}


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    causal: bool = False,
    scale: float | None = None,
    step: str = "tuned",
    source: Path | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(Q Kᵀ · scale) V and its log-sum-exp, by algorithm 1 of arXiv 2307.08691 on tensor cores.

    q: (B, H, Sq, D), k, v: (B, Hkv, Sk, D), float16 or bfloat16; strides may be any (a copy is made where rows aren't
    contiguous or don't start at a multiple of 16 bytes). D: a multiple of 8 up to 256. step: one of `STEPS`; those
    before "tuned" take D of 16, 32, 64 or 128. source: another file in the step's place. Returns o, as q, and
    lse (B, H, Sq), float32. Raises ValueError for what doesn't fit together. NaN and inf in v may reach a query that
    doesn't see their key, in a tile that the diagonal crosses: a fragment's product counts 0 * NaN.
    """
    if step not in STEPS:
        raise ValueError(f"step is {step!r}; it must be one of {', '.join(STEPS)}")
    head_dims = HEAD_DIMS if step == "tuned" else STEPS_HEAD_DIMS
    sizes, scale = arguments.check(q, k, v, scale, head_dims=head_dims, dtypes=tuple(SCALARS))
    if not scale > 0:  # the kernels look for the highest q · k, which must be the highest score
        q, scale = q * (0 if scale == 0 else -1), -scale or 1.0
    q, k, v = map(_aligned, (q, k, v))
    o = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    if lse.numel() == 0:
        return o, lse
    tiles = choose(sizes.head_dim, q.device) if step == "tuned" else STEP_TILES
    blocks, heads = -(-sizes.seqlen_q // tiles.queries), sizes.batch * sizes.heads
    ordered = step in ("causal", "tuned")  # the kernel itself decides which block does what
    if not ordered and heads > STEPS_HEADS:
        raise ValueError(f"q has {heads:,} heads in its batch; {step} takes at most {STEPS_HEADS:,}")
    lengths = (sizes.seqlen_q, sizes.seqlen_k, sizes.seqlen_k - sizes.seqlen_q if causal else sizes.seqlen_k)
    _kernel(source or HERE / f"{step}.cu", q.dtype, sizes.head_dim, tiles)(
        blocks * heads if ordered else (blocks, heads),
        32 * tiles.warps,
        (
            *(q, k, v, o, lse),
            *(np.int32(stride) for x in (q, k, v) for stride in x.stride()[:3]),
            *map(np.int32, (*lengths, sizes.heads, sizes.heads // sizes.heads_kv)),
            np.float32(scale * LOG2_E if step in STEPS[3:] else scale),
            *([np.int32(_together(sizes, q.device))] if ordered else []),
        ),
        shared_memory=shared_memory(step, sizes.head_dim, tiles),
    )
    return o, lse


def choose(head_dim: int, device: torch.device) -> Tiles:
    """The fastest tiles that fit into a block's shared memory on `device`."""
    limit = 227 * 1024
    if device.type == "cuda":
        limit = torch.cuda.get_device_properties(device).shared_memory_per_block_optin  # type: ignore[attr-defined]
    by_size = next(tiles for most, tiles in TILES.items() if head_dim <= most)
    return next(tiles for tiles in by_size if shared_memory("tuned", head_dim, tiles) <= limit)


def macros(dtype: torch.dtype, head_dim: int, tiles: Tiles) -> dict[str, object]:
    return {
        "SCALAR": SCALARS[dtype],
        "HEAD_DIM": head_dim,
        "WARPS": tiles.warps,
        "ROW_TILES": tiles.row_tiles,
        "BC": tiles.keys,
        "Q_IN_REGISTERS": int(tiles.q_in_registers),
        "BLOCKS": tiles.blocks,
    }


def shared_memory(step: str, head_dim: int, tiles: Tiles) -> int:
    """Bytes that a block's tiles take: of Q, of one or two K and V, and in the first steps of P."""
    row = -(-head_dim // 64) * 128
    stages = 1 if step in STEPS[:2] else 2
    p_row = 2 * tiles.keys if step in STEPS[:3] else 0
    return tiles.queries * (row + p_row) + 2 * stages * tiles.keys * row


def _together(sizes: arguments.Sizes, device: torch.device) -> int:
    """How many heads are worked on at a time: as many as have their K and V in two fifths of the L2 cache."""
    l2 = torch.cuda.get_device_properties(device).L2_cache_size if device.type == "cuda" else L2
    a_head = 2 * max(sizes.seqlen_k, 1) * sizes.head_dim * 2
    return max(1, min(sizes.batch * sizes.heads, int(0.4 * l2) // a_head))


def _aligned(x: torch.Tensor) -> torch.Tensor:
    """x itself if each row is contiguous and starts at a multiple of 16 bytes, and an int reaches all; else a copy."""
    strides = [stride for stride, size in zip(x.stride()[:3], x.shape[:3], strict=True) if size > 1]
    reach = sum(stride * (size - 1) for stride, size in zip(x.stride(), x.shape, strict=True))
    fits = x.stride(3) == 1 and x.data_ptr() % 16 == 0 and all(stride % 8 == 0 for stride in strides)
    return x if fits and reach < 2**31 else x.clone(memory_format=torch.contiguous_format)


@lru_cache(maxsize=256)
def _kernel(source: Path, dtype: torch.dtype, head_dim: int, tiles: Tiles) -> Kernel:
    return load(source, "flash_attention", macros(dtype, head_dim, tiles))
