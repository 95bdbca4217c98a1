"""Lesson 2: launch plain.cu, strided.cu and vectorised.cu."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from workbench.arguments import check_alike, check_tensor
from workbench.cuda import Kernel, load

HERE = Path(__file__).parent
THREADS = 256
LARGEST = 2**31 - 2**16  # indices are int, and the last block reaches a little past n
SCALARS = {torch.float32: "float", torch.float16: "__half"}


def vector_add(a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "plain.cu") -> torch.Tensor:
    """a + b, one element a thread. a, b: (n,) float32 or float16, on one device. Returns a new tensor (n,).

    Raises ValueError for other shapes, dtypes, devices or strides.
    """
    _check(a, b)
    return _launch(source, "vector_add", a, b, threads=a.numel())


def vector_add_strided(
    a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "strided.cu"
) -> torch.Tensor:
    """a + b with neighbouring threads 8 elements apart: right, and slow on purpose. As `vector_add` otherwise."""
    _check(a, b)
    return _launch(source, "vector_add_strided", a, b, threads=a.numel() + 7)  # whole rows of 8


def vector_add_vectorised(
    a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "vectorised.cu"
) -> torch.Tensor:
    """a + b, 16 bytes a thread. As `vector_add` otherwise.

    Tensors that don't start at a multiple of 16 bytes (a[1:], say) are added by `vector_add`.
    """
    _check(a, b)
    if a.data_ptr() % 16 or b.data_ptr() % 16:
        return vector_add(a, b)
    width = 16 // a.element_size()
    return _launch(source, "vector_add_vectorised", a, b, threads=-(-a.numel() // width))


def _check(a: torch.Tensor, b: torch.Tensor) -> None:
    check_tensor("a", a, shape="(n,)", dtypes=SCALARS, largest=LARGEST)
    check_tensor("b", b, shape="(n,)", dtypes=SCALARS, largest=LARGEST)
    check_alike("a", a, "b", b)


def _launch(source: Path, name: str, a: torch.Tensor, b: torch.Tensor, threads: int) -> torch.Tensor:
    """Launch at least `threads` threads, in whole blocks."""
    c = torch.empty_like(a)
    if a.numel() > 0:
        blocks = -(-threads // THREADS)
        _kernel(source, name, SCALARS[a.dtype])(blocks, THREADS, (a, b, c, np.int32(a.numel())))
    return c


@lru_cache
def _kernel(source: Path, name: str, scalar: str) -> Kernel:
    return load(source, name, {"SCALAR": scalar})
