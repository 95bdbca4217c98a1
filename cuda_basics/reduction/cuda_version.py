"""Lesson 4: launch the steps of the reduction, and the reduction of rows.

Every function takes operation="sum" or "max". Of nothing, the result is the operation's identity: 0 or -inf (PyTorch
raises for the maximum; with the identity, an array may be cut anywhere and its parts' results combined). A NaN in x
comes out as NaN. The order of combination depends on the shape alone, so the same x gives the same bits each time.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from workbench.arguments import check_tensor
from workbench.cuda import Kernel, load

HERE = Path(__file__).parent
THREADS = 256
WALKERS, BLOCKS = 1024, 8192  # threads of a block and, at most, blocks of the grid-stride loop
EACH = (
    16 * WALKERS
)  # elements a block, at least; more than BLOCKS, so that one block reduces the partial values
LARGEST = 2**31 - 2**16  # indices are int, and the last block reaches a little past n
MAXIMUM = {"sum": 0, "max": 1}


def reduce_interleaved(
    x: torch.Tensor, operation: str = "sum", *, source: Path = HERE / "interleaved.cu"
) -> torch.Tensor:
    """The sum or the maximum of x: (n,) float32. Returns a new tensor of shape ().

    Raises ValueError for other shapes, dtypes, strides or operations.
    """
    return _reduce(source, "reduce_interleaved", x, operation, each=THREADS)


def reduce_strided(
    x: torch.Tensor, operation: str = "sum", *, source: Path = HERE / "strided.cu"
) -> torch.Tensor:
    """The same with the first threads at work, and bank conflicts. As `reduce_interleaved` otherwise."""
    return _reduce(source, "reduce_strided", x, operation, each=THREADS)


def reduce_sequential(
    x: torch.Tensor, operation: str = "sum", *, source: Path = HERE / "sequential.cu"
) -> torch.Tensor:
    """The same without conflicts. As `reduce_interleaved` otherwise."""
    return _reduce(source, "reduce_sequential", x, operation, each=THREADS)


def reduce_first_add(
    x: torch.Tensor, operation: str = "sum", *, source: Path = HERE / "first_add.cu"
) -> torch.Tensor:
    """The same with two elements a thread. As `reduce_interleaved` otherwise."""
    return _reduce(source, "reduce_first_add", x, operation, each=2 * THREADS)


def reduce_warp_shuffle(
    x: torch.Tensor, operation: str = "sum", *, source: Path = HERE / "warp_shuffle.cu"
) -> torch.Tensor:
    """The same with the tree in registers. As `reduce_interleaved` otherwise."""
    return _reduce(source, "reduce_warp_shuffle", x, operation, each=2 * THREADS)


def reduce_grid_stride(
    x: torch.Tensor, operation: str = "sum", *, source: Path = HERE / "grid_stride.cu"
) -> torch.Tensor:
    """The same with a fixed grid and 16-byte loads. As `reduce_interleaved` otherwise.

    Tensors that don't start at a multiple of 16 bytes (a[1:], say) go to `reduce_warp_shuffle`.
    """
    _check(x, "(n,)", operation)
    if x.data_ptr() % 16:
        return reduce_warp_shuffle(x, operation)
    return _reduce(source, "reduce_grid_stride", x, operation, each=EACH, threads=WALKERS, most=BLOCKS)


def reduce_rows(x: torch.Tensor, operation: str = "sum", *, source: Path = HERE / "rows.cu") -> torch.Tensor:
    """The sum or the maximum of each row of x: (rows, columns) float32. Returns a new tensor (rows,).

    A row is one block's work, so a few very long rows leave most of a GPU idle. Raises as `reduce_interleaved`.
    """
    _check(x, "(rows, columns)", operation)
    rows, columns = x.shape
    out = torch.empty(rows, dtype=x.dtype, device=x.device)
    if rows > 0:
        threads, together = (32, 8) if columns <= 1024 else (512, 1)  # of a row, rows of a block
        arguments = (x, out, np.int32(rows), np.int32(columns))
        _kernel(source, "reduce_rows", operation, threads)(
            -(-rows // together), (threads, together), arguments
        )
    return out


def _reduce(
    source: Path,
    name: str,
    x: torch.Tensor,
    operation: str,
    *,
    each: int,
    threads: int = THREADS,
    most: int = LARGEST,
) -> torch.Tensor:
    """Launch a block for every `each` elements (at most `most`) and again on their values, until one is left."""
    _check(x, "(n,)", operation)
    kernel = _kernel(source, name, operation, threads)
    while True:
        blocks = min(max(1, -(-x.numel() // each)), most)  # of nothing, one block makes the identity
        partial = torch.empty(blocks, dtype=x.dtype, device=x.device)
        kernel(blocks, threads, (x, partial, np.int32(x.numel())))
        if blocks == 1:
            return partial.reshape(())
        x = partial


def _check(x: torch.Tensor, shape: str, operation: str) -> None:
    check_tensor("x", x, shape=shape, dtypes=(torch.float32,), largest=LARGEST)
    if operation not in tuple(MAXIMUM):
        raise ValueError(f"operation is {operation!r}; it may be 'sum' or 'max'")


@lru_cache
def _kernel(source: Path, name: str, operation: str, threads: int) -> Kernel:
    return load(source, name, {"MAXIMUM": MAXIMUM[operation], "THREADS": threads})
