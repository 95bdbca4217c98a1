"""Sum and maximum in Triton: of a vector, in launch after launch, and of the rows of a table. (Lesson 4.)

Measured on an H100: the sum of 1 GiB at 3,056 GB/s, the rows of 65,536 x 4,096 at 3,061; a copy at 2,992.
"""

import torch
import triton
import triton.language as tl

from workbench.arguments import check_tensor

BLOCK = 16384  # elements of a vector that one program reduces
TILE, WIDEST = 2048, 8192  # of a table: elements at a time, if the rows are short, and columns at most
LARGEST = 2**31 - 2 * BLOCK  # offsets are int32, and reach past the end
MAXIMUM = {"sum": False, "max": True}


@triton.jit
def reduced(values, MAXIMUM: tl.constexpr, axis: tl.constexpr):
    """The sum or the maximum of a block of values along an axis; a NaN among them comes out as NaN."""
    if MAXIMUM:
        not_numbers = tl.sum((values != values).to(tl.int32), axis=axis)  # tl.max leaves NaN out
        result = tl.where(not_numbers > 0, float("nan"), tl.max(values, axis=axis))
    else:
        result = tl.sum(values, axis=axis)
    return result


@triton.jit
def combined(values, more, MAXIMUM: tl.constexpr):
    """Two blocks, element by element."""
    if MAXIMUM:
        result = tl.maximum(values, more, propagate_nan=tl.PropagateNan.ALL)
    else:
        result = values + more
    return result


@triton.jit
def reduce_kernel(x, partial, n, MAXIMUM: tl.constexpr, BLOCK: tl.constexpr):
    """partial[p]: the elements p * BLOCK to (p + 1) * BLOCK - 1 of x (n elements), reduced by program p."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    identity = float("-inf") if MAXIMUM else 0.0  # what the places past the end count as
    values = tl.load(x + i, mask=i < n, other=identity)
    tl.store(partial + tl.program_id(0), reduced(values, MAXIMUM, axis=0))


@triton.jit
def reduce_rows_kernel(x, out, rows, columns, MAXIMUM: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """out[row]: a row of x (rows, columns), reduced. A program does ROWS rows, BLOCK columns at a time."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    identity = float("-inf") if MAXIMUM else 0.0
    values = tl.full((ROWS, BLOCK), identity, tl.float32)
    start = 0
    while start < columns:
        column = start + tl.arange(0, BLOCK)
        inside = (row < rows)[:, None] & (column < columns)[None, :]
        more = tl.load(x + row[:, None] * columns + column[None, :], mask=inside, other=identity)
        values = combined(values, more, MAXIMUM)
        start += BLOCK
    tl.store(out + row, reduced(values, MAXIMUM, axis=1), mask=row < rows)


def reduce(x: torch.Tensor, operation: str = "sum") -> torch.Tensor:
    """The sum or the maximum ("sum", "max") of x: (n,) float32, contiguous. Returns a new tensor of shape ().

    Of nothing it is the operation's identity, 0 or -inf. A NaN in x comes out as NaN. The same x gives the same bits
    each time. Raises ValueError for other shapes, dtypes, strides or operations.
    """
    _check(x, "(n,)", operation)
    while True:
        programs = max(1, triton.cdiv(x.numel(), BLOCK))  # of nothing, one program makes the identity
        partial = torch.empty(programs, dtype=x.dtype, device=x.device)
        reduce_kernel[(programs,)](x, partial, x.numel(), MAXIMUM[operation], BLOCK=BLOCK, num_warps=32)
        if programs == 1:
            return partial.reshape(())
        x = partial


def reduce_rows(x: torch.Tensor, operation: str = "sum") -> torch.Tensor:
    """The same for each row of x: (rows, columns). Returns a new tensor (rows,). Otherwise as `reduce`.

    A row is one program's work, so a few very long rows leave most of a GPU idle.
    """
    _check(x, "(rows, columns)", operation)
    rows, columns = x.shape
    out = torch.empty(rows, dtype=x.dtype, device=x.device)
    if rows > 0:
        block = min(max(16, triton.next_power_of_2(columns)), WIDEST)
        together = max(1, TILE // block)
        reduce_rows_kernel[(triton.cdiv(rows, together),)](
            x, out, rows, columns, MAXIMUM[operation], ROWS=together, BLOCK=block, num_warps=8
        )
    return out


def _check(x: torch.Tensor, shape: str, operation: str) -> None:
    check_tensor("x", x, shape=shape, dtypes=(torch.float32,), largest=LARGEST)
    if operation not in tuple(MAXIMUM):
        raise ValueError(f"operation is {operation!r}; it may be 'sum' or 'max'")
