"""What the readable CUDA kernels of FlashAttention-1 and -2 have in common on the host: tile sizes and arguments."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from flash_attention.arguments import Sizes
from workbench.cuda import Kernel, load

Tiles = tuple[int, int]  # Br queries, Bc keys
THREADS = 256
HEAD_DIMS = range(8, 257, 8)
SCALARS = {torch.float32: "float", torch.float16: "__half", torch.bfloat16: "__nv_bfloat16"}
SIZES: tuple[Tiles, ...] = ((64, 32), (32, 32), (16, 16))  # the fastest on an H100 first


def shared_memory(tiles: Tiles, head_dim: int) -> int:
    """Bytes that the tiles of Q, K, V and P and two numbers a row take in float32, padded as in the .cu files."""
    rows, columns = tiles
    stride, stride_v, stride_p = head_dim + 4, -(-head_dim // 32) * 32, columns + 4
    return 4 * ((rows + columns) * stride + columns * stride_v + rows * (stride_p + 2))


def limit(device: torch.device) -> int:
    """Bytes of shared memory that a block may have on `device`; where there is no GPU, on an A100."""
    if device.type != "cuda":
        return 163 * 1024
    return torch.cuda.get_device_properties(device).shared_memory_per_block_optin  # type: ignore[attr-defined]


def choose(head_dim: int, device: torch.device, asked: Tiles | None) -> Tiles:
    """The tiles asked for, or else the fastest that fit into a block's shared memory on `device`.

    In the PTX machine memory isn't scarce but time is: small tiles waste less of it on rows past the end.
    Raises ValueError for tiles that 256 threads, 16 to a row, can't share.
    """
    if asked is not None:
        if len(asked) != 2 or any(side not in range(16, THREADS + 1, 16) for side in asked):
            raise ValueError(f"tiles is {asked}; it must be (Br, Bc), multiples of 16 up to {THREADS}")
        return asked
    if device.type != "cuda":
        return 32, 32
    return next(tiles for tiles in SIZES if shared_memory(tiles, head_dim) <= limit(device))


def macros(dtype: torch.dtype, head_dim: int, tiles: Tiles) -> dict[str, object]:
    return {"SCALAR": SCALARS[dtype], "HEAD_DIM": head_dim, "BR": tiles[0], "BC": tiles[1]}


@lru_cache(maxsize=256)
def kernel(source: Path, name: str, dtype: torch.dtype, head_dim: int, tiles: Tiles) -> Kernel:
    return load(source, name, macros(dtype, head_dim, tiles))


def rows_contiguous(x: torch.Tensor) -> torch.Tensor:
    """x itself if the elements of each row lie side by side, else a copy."""
    return x if x.stride(-1) == 1 else x.contiguous()


def for_descriptor(x: torch.Tensor) -> torch.Tensor:
    """x itself if a tensor descriptor can tell where its rows lie, else a copy.

    Rows must be contiguous and start at multiples of 16 bytes, and no two may lie in the same place.
    """
    fits = x.stride(-1) == 1 and x.data_ptr() % 16 == 0
    fits = fits and all(stride > 0 and stride * x.element_size() % 16 == 0 for stride in x.stride()[:-1])
    return x if fits else x.clone(memory_format=torch.contiguous_format)


def launch(
    source: Path,
    name: str,
    grid: tuple[int, ...],
    tensors: tuple[torch.Tensor, ...],
    sizes: Sizes,
    scale: float,
    causal: bool,
    tiles: Tiles,
) -> None:
    """Run the kernel `name` of `source`. tensors: q, k, v, and what it writes.

    Behind them the kernel takes lengths, heads a K/V head, scale, causal, and the strides of q, k and v.
    Raises ValueError for more batches or heads than the grid's y and z have room for.
    """
    for what, size in (("batch", sizes.batch), ("heads", sizes.heads)):
        if size > 65_535:
            raise ValueError(f"q has {what} {size:,}; at most 65,535 are possible")
    q, k, v = tensors[:3]
    lengths = (sizes.seqlen_q, sizes.seqlen_k, sizes.heads // sizes.heads_kv)
    strides = (np.int64(stride) for x in (q, k, v) for stride in x.stride()[:3])
    kernel(source, name, q.dtype, sizes.head_dim, tiles)(
        grid,
        THREADS,
        (*tensors, *map(np.int32, lengths), np.float32(scale), np.int32(causal), *strides),
        shared_memory=shared_memory(tiles, sizes.head_dim),
    )
