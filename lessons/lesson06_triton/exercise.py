"""Lesson 6 in Triton: fill in the four blanks, in any order but 3 before 4, then run  make check-lesson6"""

import torch
import triton
import triton.language as tl

from triton_basics.softmax import WIDEST, long_softmax_kernel

# ----------------------------------------------------------------------------------------------------------------------
# 1. softmax


@triton.jit
def softmax_kernel(x, y, rows, columns, x_row, x_column, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """y = softmax of each row of x, for pointers x, y to (rows, columns) elements. This program does ROWS rows.

    The next element of a row of x is x_column elements away, the next row x_row; y lies row after row. BLOCK is a power
    of 2, at least columns. In NumPy:

        row = program_id * ROWS + np.arange(ROWS)[:, None]
        column = np.arange(BLOCK)[None, :]
        inside = (row < rows) & (column < columns)                    # a mask for the load and for the store
        values = np.where(inside, x[row, column], -inf)               # read once, in float32 from here on
        numerator = np.exp(values - values.max(axis=1, keepdims=True))
        y[row, column] = numerator / numerator.sum(axis=1, keepdims=True)
    """
    # >>> softmax: your code here, about 7 lines
    pass
    # <<< softmax


def softmax(x: torch.Tensor) -> torch.Tensor:
    """softmax over each row of x: (rows, columns)."""
    rows, columns = x.shape
    y = torch.empty((rows, columns), dtype=x.dtype, device=x.device)
    if y.numel() == 0:
        return y
    if columns > WIDEST:  # shipped: the notebook's section 2 speaks of it
        long_softmax_kernel[(rows,)](x, y, columns, *x.stride(), BLOCK=WIDEST, num_warps=32)
        return y
    BLOCK = triton.next_power_of_2(columns)
    ROWS = max(1, 2048 // BLOCK)
    warps = max(4, BLOCK // 1024)
    softmax_kernel[(triton.cdiv(rows, ROWS),)](
        x, y, rows, columns, *x.stride(), ROWS=ROWS, BLOCK=BLOCK, num_warps=warps
    )
    return y


# ----------------------------------------------------------------------------------------------------------------------
# 2. tile_of


@triton.jit
def tile_of(program, tiles_m, tiles_n, GROUP: tl.constexpr):
    """(row, column) of the tile that a program computes, of tiles_m x tiles_n: GROUP rows of tiles at a time.

    All programs' tiles in order, in Python:

        for first in range(0, tiles_m, GROUP):                              # a group's first row
            for column in range(tiles_n):
                for row in range(first, min(first + GROUP, tiles_m)):       # the last group may be lower
                    (row, column)
    """
    row, column = program // tiles_n, program % tiles_n  # row after row: the product is right, but slower
    # >>> tile_of: your code here, about 4 lines that give row and column new values

    # <<< tile_of
    return row, column


@triton.jit
def tile_order_kernel(order, tiles_m, tiles_n, GROUP: tl.constexpr):
    program = tl.program_id(0)
    row, column = tile_of(program, tiles_m, tiles_n, GROUP)
    tl.store(order + 2 * program, row)
    tl.store(order + 2 * program + 1, column)


def tile_order(tiles_m: int, tiles_n: int, group: int, *, device: str = "cpu") -> torch.Tensor:
    """(row, column) of the tile of each program."""
    order = torch.empty((tiles_m * tiles_n, 2), dtype=torch.int32, device=device)
    tile_order_kernel[(len(order),)](order, tiles_m, tiles_n, GROUP=group)
    return order


# ----------------------------------------------------------------------------------------------------------------------
# 3. matmul, and 4. leaky_relu


@triton.jit
def matmul_kernel(
    a, b, c, M, N, K, a_row, a_column, b_row, b_column, SLOPE: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """c = leaky_relu(a b) for pointers a to (M, K), b to (K, N), c to (M, N) elements, c row after row.

    The next element of a row of a is a_column elements away, the next row a_row; b likewise. This program's tile of c,
    in NumPy, with row (BLOCK_M, 1) and column (1, BLOCK_N):

        total = np.zeros((BLOCK_M, BLOCK_N), np.float32)
        for start in range(0, K, BLOCK_K):
            k = start + np.arange(BLOCK_K)
            x = np.where(k[None, :] < K, a[row % M, k[None, :]], 0)          # % M: past the edge some row that exists
            y = np.where(k[:, None] < K, b[k[:, None], column % N], 0)
            total += x @ y                                                   # tl.dot(x, y, total, input_precision="ieee")
        c[row, column] = total                                               # where row < M and column < N
    """
    tile_m, tile_n = tile_of(tl.program_id(0), tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N), GROUP)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    # >>> matmul: your code here, about 11 lines: row, column, pointers to the first tiles, and the loop

    # <<< matmul
    if SLOPE != 1:
        # >>> leaky_relu: your code here, 1 line: elements of total below zero times SLOPE
        pass
        # <<< leaky_relu
    tl.store(c + row * N + column, total.to(c.dtype.element_ty), mask=(row < M) & (column < N))


TILES = {"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 32, "GROUP": 8, "num_warps": 4, "num_stages": 3}


def matmul(a: torch.Tensor, b: torch.Tensor, *, slope: float = 1.0) -> torch.Tensor:
    """The leaky ReLU of a b, or plain a b with slope 1. a: (M, K), b: (K, N)."""
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=a.dtype, device=a.device)
    if c.numel() > 0:
        tiles = triton.cdiv(M, TILES["BLOCK_M"]) * triton.cdiv(N, TILES["BLOCK_N"])
        matmul_kernel[(tiles,)](a, b, c, M, N, K, *a.stride(), *b.stride(), slope, **TILES)
    return c
