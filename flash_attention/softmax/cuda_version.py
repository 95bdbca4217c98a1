"""Lesson 7: launch three_pass.cu, online.cu and one_pass.cu."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from workbench.arguments import check_tensor
from workbench.cuda import Kernel, load

HERE = Path(__file__).parent
LARGEST = 2**31 - 1025  # rows and columns are int, and a loop goes up to a block past the end
LONGEST = 32 * 1024  # columns that the threads of a block can keep, 32 each
SCALARS = {torch.float32: "float", torch.float16: "__half", torch.bfloat16: "__nv_bfloat16"}


def softmax_three_pass(
    x: torch.Tensor, *, source: Path = HERE / "three_pass.cu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """(softmax of each row of x, log-sum-exp of each row). x: (rows, columns) float32, float16 or bfloat16, contiguous.

    Returns (rows, columns) in x's dtype and (rows,) in float32, natural logarithm; computed in float32. A row of -inf
    alone, or of no columns, gives 0 and -inf. Raises ValueError for other shapes, dtypes or strides.
    """
    return _launch(source, x)


def softmax_online(
    x: torch.Tensor, *, source: Path = HERE / "online.cu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `softmax_three_pass`, in two passes."""
    return _launch(source, x)


def softmax_one_pass(
    x: torch.Tensor, *, source: Path = HERE / "one_pass.cu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `softmax_three_pass`, in one pass; rows of more than 32,768 columns, which no block can keep, in two."""
    if isinstance(x, torch.Tensor) and x.dim() == 2 and x.shape[1] > LONGEST:
        return softmax_online(x)
    return _launch(source, x)


def shares(columns: int) -> tuple[int, int]:
    """The threads that share a row, and the elements that each of them keeps in one_pass.cu.

    These are a power of 2, so that few versions are compiled.
    """
    threads = 256 if columns <= LONGEST // 4 else 1024
    return threads, 1 << (-(-max(min(columns, LONGEST), 1) // threads) - 1).bit_length()


def _launch(source: Path, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    check_tensor("x", x, shape="(rows, columns)", dtypes=SCALARS)
    rows, columns = x.shape
    if max(rows, columns) > LARGEST:
        raise ValueError(f"x has shape {tuple(x.shape)}; at most {LARGEST:,} rows and columns are possible")
    y = torch.empty_like(x)
    lse = torch.empty(rows, dtype=torch.float32, device=x.device)
    if rows > 0:
        threads, items = shares(columns)
        _kernel(source, SCALARS[x.dtype], threads, items)(rows, threads, (x, y, lse, np.int32(columns)))
    return y, lse


@lru_cache
def _kernel(source: Path, scalar: str, threads: int, items: int) -> Kernel:
    return load(source, "softmax", macros(scalar, threads, items))


def macros(scalar: str, threads: int, items: int) -> dict[str, object]:
    return {"SCALAR": scalar, "THREADS": threads, "ITEMS": items}
