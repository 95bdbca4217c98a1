"""Softmax over rows in Triton: in three passes, in two, and in one. A program has a row, BLOCK columns at a time."""

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl

from workbench.arguments import check_tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
LARGEST = 2**31 - 1025  # rows and columns are int32, and a loop goes up to a block past the end
BLOCK = 1024
LONGEST = 32768  # columns that a program can keep


@triton.jit
def finite(m):
    """m, but 0 for -inf: -inf - -inf would be NaN."""
    return tl.where(m == -float("inf"), 0.0, m)


@triton.jit
def read(x, column, columns):
    """A block of a row in float32, with -inf past its end: no maximum, and exp(-inf) = 0 adds nothing to a sum."""
    return tl.load(x + column, mask=column < columns, other=-float("inf")).to(tl.float32)


@triton.jit
def softmax_three_pass_kernel(x, y, lse, columns, BLOCK: tl.constexpr):
    """y, lse of one row; x, y: pointers to (rows, columns), lse: to (rows,). Maximum, sum, output: a pass each."""
    row = tl.program_id(0).to(tl.int64)
    x += row * columns
    y += row * columns
    m, l = -float("inf"), 0.0
    for start in range(0, columns, BLOCK):  # pass 1
        values = read(x, start + tl.arange(0, BLOCK), columns)
        m = tl.maximum(m, tl.max(values, axis=0))
    for start in range(0, columns, BLOCK):  # pass 2
        values = read(x, start + tl.arange(0, BLOCK), columns)
        l += tl.sum(tl.exp(values - finite(m)), axis=0)
    for start in range(0, columns, BLOCK):  # pass 3
        column = start + tl.arange(0, BLOCK)
        p = tl.exp(read(x, column, columns) - finite(m))
        tl.store(y + column, p / tl.where(l == 0.0, 1.0, l), mask=column < columns)
    tl.store(lse + row, m + tl.log(l))


@triton.jit
def softmax_online_kernel(x, y, lse, columns, BLOCK: tl.constexpr):
    """As `softmax_three_pass_kernel`, with maximum and sum in one pass: the sum is rescaled when the maximum moves."""
    row = tl.program_id(0).to(tl.int64)
    x += row * columns
    y += row * columns
    m, l = -float("inf"), 0.0
    for start in range(0, columns, BLOCK):  # pass 1
        values = read(x, start + tl.arange(0, BLOCK), columns)
        m_new = tl.maximum(m, tl.max(values, axis=0))
        l = l * tl.exp(m - finite(m_new)) + tl.sum(tl.exp(values - finite(m_new)), axis=0)
        m = m_new
    for start in range(0, columns, BLOCK):  # pass 2
        column = start + tl.arange(0, BLOCK)
        p = tl.exp(read(x, column, columns) - finite(m))
        tl.store(y + column, p / tl.where(l == 0.0, 1.0, l), mask=column < columns)
    tl.store(lse + row, m + tl.log(l))


@triton.jit
def softmax_one_pass_kernel(x, y, lse, columns, BLOCK: tl.constexpr):
    """As `softmax_online_kernel` for BLOCK >= columns: the row is read once and kept."""
    row = tl.program_id(0).to(tl.int64)
    x += row * columns
    y += row * columns
    column = tl.arange(0, BLOCK)
    values = read(x, column, columns)
    m = tl.max(values, axis=0)
    p = tl.exp(values - finite(m))
    l = tl.sum(p, axis=0)  # the compiler merges the threads' parts
    tl.store(y + column, p / tl.where(l == 0.0, 1.0, l), mask=column < columns)
    tl.store(lse + row, m + tl.log(l))


def softmax_three_pass(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(softmax of each row of x, log-sum-exp of each row). x: (rows, columns) float32, float16 or bfloat16, contiguous.

    Returns (rows, columns) in x's dtype and (rows,) in float32, natural logarithm; computed in float32. A row of -inf
    alone, or of no columns, gives 0 and -inf. Raises ValueError for other shapes, dtypes or strides.
    """
    return _launch(softmax_three_pass_kernel, x, BLOCK)


def softmax_online(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As `softmax_three_pass`, in two passes."""
    return _launch(softmax_online_kernel, x, BLOCK)


def softmax_one_pass(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As `softmax_three_pass`, in one pass; rows of more than 32,768 columns, which no program can keep, in two."""
    if isinstance(x, torch.Tensor) and x.dim() == 2:
        if x.shape[1] > LONGEST:
            return softmax_online(x)
        return _launch(softmax_one_pass_kernel, x, triton.next_power_of_2(max(x.shape[1], 1)))
    return _launch(softmax_one_pass_kernel, x, BLOCK)


def _launch(kernel: Callable[..., Any], x: torch.Tensor, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    check_tensor("x", x, shape="(rows, columns)", dtypes=DTYPES)
    rows, columns = x.shape
    if max(rows, columns) > LARGEST:
        raise ValueError(f"x has shape {tuple(x.shape)}; at most {LARGEST:,} rows and columns are possible")
    y = torch.empty_like(x)
    lse = torch.empty(rows, dtype=torch.float32, device=x.device)
    if rows > 0:
        warps = min(max(block // 512, 4), 16)
        kernel[(rows,)](x, y, lse, columns, BLOCK=block, num_warps=warps)  # type: ignore[index]
    return y, lse
