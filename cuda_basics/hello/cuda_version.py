"""Lesson 1: launch hello.cu, who_am_i.cu and coordinates.cu."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from workbench.cuda import Kernel, load

HERE = Path(__file__).parent
LARGEST = 2**31 - 1  # indices are int


@lru_cache
def kernel(source: Path, name: str) -> Kernel:
    return load(source, name)


def hello(blocks: int = 2, threads_per_block: int = 4) -> None:
    """Let every thread of a grid print a line; lines of different blocks come in no promised order."""
    kernel(HERE / "hello.cu", "hello")(blocks, threads_per_block, ())
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # a GPU hands over what was printed when the host waits for it


def who_am_i(
    n: int,
    threads_per_block: int = 128,
    *,
    device: torch.device | str = "cpu",
    source: Path = HERE / "who_am_i.cu",
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Block, thread, warp and lane of each of the first n threads of a grid: four int32 tensors (n,).

    n: 0 to 2^31 - 1 - threads_per_block. threads_per_block: 1 to 1024. Raises ValueError for others.
    """
    if not 1 <= threads_per_block <= 1024:
        raise ValueError(f"threads_per_block is {threads_per_block}: a block has 1 to 1024 threads")
    if not 0 <= n <= LARGEST - threads_per_block:
        raise ValueError(
            f"n is {n}: it may be 0 to {LARGEST - threads_per_block:,}, since the kernel's index is an int"
        )
    block, thread, warp, lane = (torch.empty(n, dtype=torch.int32, device=device) for _ in range(4))
    if n > 0:
        blocks = -(-n // threads_per_block)  # rounded up: the last block may be partly idle
        kernel(source, "who_am_i")(blocks, threads_per_block, (block, thread, warp, lane, np.int32(n)))
    return block, thread, warp, lane


def coordinates(
    rows: int,
    columns: int,
    *,
    device: torch.device | str = "cpu",
    source: Path = HERE / "coordinates.cu",
) -> torch.Tensor:
    """(rows, columns) int32 with 10000 * row + column in each place, by blocks of 32 x 8 threads.

    rows, columns: 0 or more, rows at most 500,000 and rows * columns below 2^31. Raises ValueError for others.
    """
    if rows < 0 or columns < 0 or rows > 500_000 or rows * columns > LARGEST:
        raise ValueError(
            f"rows is {rows} and columns {columns}: both 0 or more, rows <= 500,000, together < 2^31 places"
        )
    table = torch.empty(rows, columns, dtype=torch.int32, device=device)
    if table.numel() > 0:
        block = (32, 8)
        grid = (-(-columns // block[0]), -(-rows // block[1]))
        kernel(source, "coordinates")(grid, block, (table, np.int32(rows), np.int32(columns)))
    return table
