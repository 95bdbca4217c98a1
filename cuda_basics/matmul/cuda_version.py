"""Lesson 3: launch the steps of the ladder, from naive.cu to tuned.cu.

All of them compute a @ b. a: (M, K), b: (K, N) float32, contiguous, on one device, of any sizes. Each returns a new
tensor (M, N), which holds zeros if K is 0. They raise ValueError for other shapes, dtypes, devices or strides, and for
sizes over LARGEST or MOST_ROWS.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from workbench.arguments import check_tensor
from workbench.cuda import Kernel, load

HERE = Path(__file__).parent
LARGEST = (
    2**31 - 2**16
)  # elements of a matrix: indices are int, and the last tile reaches a little past the end
MOST_ROWS = 65_535 * 32  # a grid has at most 65,535 blocks in y, and the smallest tile has 32 rows


def matmul_naive(a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "naive.cu") -> torch.Tensor:
    """One element a thread, neighbouring threads in a column."""
    return _launch(source, "matmul_naive", a, b, tile=(32, 32), block=(32, 32))


def matmul_coalesced(
    a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "coalesced.cu"
) -> torch.Tensor:
    """One element a thread, neighbouring threads in a row."""
    return _launch(source, "matmul_coalesced", a, b, tile=(32, 32), block=(32, 32))


def matmul_shared_tile(
    a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "shared_tile.cu"
) -> torch.Tensor:
    """One element a thread, tiles of 32 x 32 in shared memory."""
    return _launch(source, "matmul_shared_tile", a, b, tile=(32, 32), block=(32, 32))


def matmul_register_tile_1d(
    a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "register_tile_1d.cu"
) -> torch.Tensor:
    """8 elements of a column a thread."""
    return _launch(source, "matmul_register_tile_1d", a, b, tile=(64, 64), block=512)


def matmul_register_tile_2d(
    a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "register_tile_2d.cu"
) -> torch.Tensor:
    """8 x 8 elements a thread."""
    return _launch(source, "matmul_register_tile_2d", a, b, tile=(128, 128), block=256)


def matmul_vectorised(
    a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "vectorised.cu"
) -> torch.Tensor:
    """Four elements with one load, the tile of a transposed."""
    return _launch(source, "matmul_vectorised", a, b, tile=(128, 128), block=256, aligns=True)


def matmul_warp_tile(
    a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "warp_tile.cu"
) -> torch.Tensor:
    """The tile cut into one part a warp."""
    return _launch(source, "matmul_warp_tile", a, b, tile=(128, 128), block=256, aligns=True)


def matmul_pipelined(
    a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "pipelined.cu"
) -> torch.Tensor:
    """The next tiles are copied while these are multiplied."""
    return _launch(source, "matmul_pipelined", a, b, tile=(128, 128), block=256, aligns=True)


def matmul_tuned(a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "tuned.cu") -> torch.Tensor:
    """8 x 16 elements a thread, the next ones loaded ahead: the fastest."""
    return _launch(source, "matmul_tuned", a, b, tile=(128, 256), block=256, aligns=True)


matmul = matmul_tuned

STEPS = {
    "naive": matmul_naive,
    "coalesced": matmul_coalesced,
    "shared_tile": matmul_shared_tile,
    "register_tile_1d": matmul_register_tile_1d,
    "register_tile_2d": matmul_register_tile_2d,
    "vectorised": matmul_vectorised,
    "warp_tile": matmul_warp_tile,
    "pipelined": matmul_pipelined,
    "tuned": matmul_tuned,
}


def _launch(
    source: Path,
    name: str,
    a: torch.Tensor,
    b: torch.Tensor,
    tile: tuple[int, int],
    block: int | tuple[int, int],
    aligns: bool = False,
) -> torch.Tensor:
    """Launch a block for each tile (rows, columns) of the result. aligns: the kernel has the macro ALIGNED."""
    _check(a, b)
    (m, k), n = a.shape, b.shape[1]
    c = a.new_empty(m, n)
    if c.numel() > 0:
        grid = (-(-n // tile[1]), -(-m // tile[0]))
        _kernel(source, name, _aligned(a, b) if aligns else None)(
            grid, block, (a, b, c, np.int32(m), np.int32(n), np.int32(k))
        )
    return c


@lru_cache
def _kernel(source: Path, name: str, aligned: bool | None) -> Kernel:
    return load(source, name, {} if aligned is None else {"ALIGNED": int(aligned)})


def _aligned(a: torch.Tensor, b: torch.Tensor) -> bool:
    """True if every row of a, b and the result starts at a multiple of 16 bytes."""
    return a.shape[1] % 4 == 0 and b.shape[1] % 4 == 0 and a.data_ptr() % 16 == 0 and b.data_ptr() % 16 == 0


def _check(a: torch.Tensor, b: torch.Tensor) -> None:
    check_tensor("a", a, shape="(M, K)", dtypes=(torch.float32,), largest=LARGEST)
    check_tensor("b", b, shape="(K, N)", dtypes=(torch.float32,), largest=LARGEST)
    (m, k), (rows, n) = a.shape, b.shape
    if rows != k:
        raise ValueError(f"b has shape {(rows, n)}; a has {k:,} columns, so b must have {k:,} rows")
    if a.device != b.device:
        raise ValueError(f"b has device {b.device} and a has {a.device}; they must be the same")
    if m > MOST_ROWS:
        raise ValueError(f"a has {m:,} rows; at most {MOST_ROWS:,} are possible")
    if m * n > LARGEST:
        raise ValueError(f"a and b make {m * n:,} elements; at most {LARGEST:,} are possible")
