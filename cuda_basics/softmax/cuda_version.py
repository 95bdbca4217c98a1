"""Lesson 6: launch fused.cu."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from workbench.arguments import check_tensor
from workbench.cuda import Kernel, load

HERE = Path(__file__).parent
LARGEST = 2**31 - 2**16  # columns and rows are int, and the last step along a row reaches past its end
SCALARS = {torch.float32: "float", torch.float16: "__half", torch.bfloat16: "__nv_bfloat16"}


def softmax(x: torch.Tensor, *, source: Path = HERE / "fused.cu") -> torch.Tensor:
    """softmax over each row of x: (rows, columns) float32, float16 or bfloat16. Returns a new tensor (rows, columns).

    Computed in float32. Any strides will do: what doesn't lie row after row is copied first. A row of -inf alone, or
    with NaN or +inf in it, gives NaN, as `torch.softmax` does. A row is one block's work, so a few very long rows leave
    most of a GPU idle.
    Raises ValueError for other shapes and dtypes.
    """
    check_tensor("x", x, shape="(rows, columns)", dtypes=SCALARS, largest=LARGEST, contiguous=False)
    x = x.contiguous()
    y = torch.empty_like(x)
    rows, columns = x.shape
    if y.numel() > 0:
        width = 16 // x.element_size()
        if columns % width or x.data_ptr() % 16:
            width = 1
        threads = 32 if columns <= 128 * width else 256  # for a short row a warp is enough
        _kernel(source, x.dtype, width, threads)(rows, threads, (x, y, np.int32(columns)))
    return y


def macros(dtype: torch.dtype, width: int, threads: int) -> dict[str, object]:
    """What the kernel is compiled with, for `width` elements a load and `threads` a row."""
    return {"SCALAR": SCALARS[dtype], "WIDTH": width, "THREADS": threads}


@lru_cache
def _kernel(source: Path, dtype: torch.dtype, width: int, threads: int) -> Kernel:
    return load(source, "softmax", macros(dtype, width, threads))
