"""The mistakes that lesson 1's checker can name. Each mutant is the kernel in NumPy, with the mistake in it."""

from collections.abc import Callable

import numpy as np

from workbench.check.lesson import Mistake, Race, unwritten

Four = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
INDEX = "the notebook, section 2: Which element is mine?"
GUARD = "the notebook, section 3: Sizes never divide evenly"
WARPS = "the notebook, section 4: Warps and lanes"
TWO_D = "the notebook, section 5: Two directions"


def line_of_threads(
    index: Callable[[np.ndarray, np.ndarray, int, int], np.ndarray] = lambda b, t, size, blocks: b * size + t,
    guard: Callable[[np.ndarray, int], np.ndarray] = lambda i, n: i < n,
    warp: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda t, i: t // 32,
    lane: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda t, i: t % 32,
) -> Callable[..., Four]:
    """The kernel who_am_i with one of its expressions replaced."""

    def mutant(n: int, threads_per_block: int = 128) -> Four:
        blocks = -(-n // threads_per_block)
        b, t = np.divmod(np.arange(blocks * threads_per_block), threads_per_block)
        i = index(b, t, threads_per_block, blocks)
        b, t, i = (values[guard(i, n)] for values in (b, t, i))
        out = tuple(unwritten(n, np.int32) for _ in range(4))
        for array, values in zip(out, (b, t, warp(t, i), lane(t, i)), strict=True):
            array[i] = values
        if len(np.unique(i)) < len(i):
            raise Race(out)
        return out  # type: ignore[return-value]

    return mutant


def table_of_threads(
    guard: Callable[..., np.ndarray] = lambda row, column, rows, columns: (row < rows) & (column < columns),
    place: Callable[..., np.ndarray] = lambda row, column, rows, columns: row * columns + column,
    value: Callable[..., np.ndarray] = lambda row, column: 10000 * row + column,
    swapped: bool = False,
) -> Callable[..., np.ndarray]:
    """The kernel coordinates, by blocks of 32 x 8, with one of its expressions replaced."""

    def mutant(rows: int, columns: int) -> np.ndarray:
        width, height = -(-columns // 32) * 32, -(-rows // 8) * 8
        row, column = (values.ravel() for values in np.mgrid[:height, :width])
        if swapped:
            row, column = column, row
        inside = guard(row, column, rows, columns)
        row, column = row[inside], column[inside]
        table, i = unwritten(rows * columns, np.int32), place(row, column, rows, columns)
        table[i] = value(row, column)
        if len(np.unique(i)) < len(i):
            raise Race(table.reshape(rows, columns))
        return table.reshape(rows, columns)

    return mutant


WHO_AM_I = (
    Mistake(
        "missing guard",
        "Threads past the end write too: there are more threads than elements, and only i < n may touch the arrays.",
        GUARD,
        line_of_threads(guard=lambda i, n: i >= 0),
        slips=(("who_am_i.cu", "if (i < n)", "if (true)"), ("who_am_i.cu", "if (i < n)", "if (i <= n)")),
    ),
    Mistake(
        "guard too strict",
        "The last element is never written: the guard must let i = n - 1 through, so i < n.",
        GUARD,
        line_of_threads(guard=lambda i, n: i < n - 1),
        slips=(("who_am_i.cu", "if (i < n)", "if (i < n - 1)"),),
    ),
    Mistake(
        "blockIdx forgotten",
        "Every block writes the same first elements: the index must count the threads of the blocks before this one.",
        INDEX,
        line_of_threads(index=lambda b, t, size, blocks: t),
        slips=(("who_am_i.cu", "blockIdx.x * blockDim.x + threadIdx.x", "threadIdx.x"),),
    ),
    Mistake(
        "gridDim for blockDim",
        "The index counts blockIdx.x * gridDim.x; a block has blockDim.x threads, gridDim.x is the number of blocks.",
        INDEX,
        line_of_threads(index=lambda b, t, size, blocks: b * blocks + t),
        slips=(("who_am_i.cu", "blockIdx.x * blockDim.x", "blockIdx.x * gridDim.x"),),
    ),
    Mistake(
        "32 for blockDim",
        "The index takes a block to have 32 threads. That is a warp; a block has blockDim.x of them.",
        INDEX,
        line_of_threads(index=lambda b, t, size, blocks: b * 32 + t),
        slips=(("who_am_i.cu", "blockIdx.x * blockDim.x", "blockIdx.x * 32"),),
    ),
    Mistake(
        "block and thread swapped",
        "The index is threadIdx.x * gridDim.x + blockIdx.x: neighbouring threads land far apart. Blocks come first.",
        INDEX,
        line_of_threads(index=lambda b, t, size, blocks: t * blocks + b),
        slips=(
            ("who_am_i.cu", "blockIdx.x * blockDim.x + threadIdx.x", "threadIdx.x * gridDim.x + blockIdx.x"),
        ),
    ),
    Mistake(
        "warp and lane swapped",
        "Warp and lane are exchanged: the warp is threadIdx.x / 32, the lane is what is left over.",
        WARPS,
        line_of_threads(warp=lambda t, i: t % 32, lane=lambda t, i: t // 32),
        slips=(
            (
                "who_am_i.cu",
                "warp[i] = threadIdx.x / warpSize;\n    lane[i] = threadIdx.x % warpSize;",
                "warp[i] = threadIdx.x % warpSize;\n    lane[i] = threadIdx.x / warpSize;",
            ),
        ),
    ),
    Mistake(
        "warp of the whole grid",
        "Warps are counted inside their block: divide threadIdx.x by 32, not the index in the grid.",
        WARPS,
        line_of_threads(warp=lambda t, i: i // 32),
        slips=(("who_am_i.cu", "threadIdx.x / warpSize", "i / warpSize"),),
    ),
    Mistake(
        "lane of the whole grid",
        "Lanes are counted inside their block: take threadIdx.x % 32. With 100 threads a block, i % 32 differs.",
        WARPS,
        line_of_threads(lane=lambda t, i: i % 32),
        slips=(("who_am_i.cu", "threadIdx.x % warpSize", "i % warpSize"),),
    ),
    Mistake(
        "index written for thread",
        "thread[i] holds the index in the grid; it must hold threadIdx.x, the place inside the block.",
        INDEX,
        lambda n, threads_per_block=128: (
            np.arange(n, dtype=np.int32) // threads_per_block,
            np.arange(n, dtype=np.int32),
            np.arange(n, dtype=np.int32) % threads_per_block // 32,
            np.arange(n, dtype=np.int32) % threads_per_block % 32,
        ),
        slips=(("who_am_i.cu", "thread[i] = threadIdx.x", "thread[i] = i"),),
    ),
)

COORDINATES = (
    Mistake(
        "no guard for columns",
        "Threads right of the table write too, into the next row and past the end: a thread needs column < columns.",
        TWO_D,
        table_of_threads(guard=lambda row, column, rows, columns: row < rows),
        slips=(("coordinates.cu", "row < rows && column < columns", "row < rows"),),
    ),
    Mistake(
        "no guard for rows",
        "Threads below the table write too, past its end: a thread needs row < rows.",
        TWO_D,
        table_of_threads(guard=lambda row, column, rows, columns: column < columns),
        slips=(("coordinates.cu", "row < rows && column < columns", "column < columns"),),
    ),
    Mistake(
        "no guard at all",
        "Threads outside the table write too. Both directions need a guard: row < rows and column < columns.",
        TWO_D,
        table_of_threads(guard=lambda row, column, rows, columns: row >= 0),
        slips=(("coordinates.cu", "if (row < rows && column < columns)", "if (true)"),),
    ),
    Mistake(
        "x and y swapped",
        "row is made from x and column from y. The grid's x runs along a row: column from x, row from y.",
        TWO_D,
        table_of_threads(swapped=True),
        slips=(
            (
                "coordinates.cu",
                "const int column = blockIdx.x * blockDim.x + threadIdx.x;\n"
                "  const int row = blockIdx.y * blockDim.y + threadIdx.y;",
                "const int row = blockIdx.x * blockDim.x + threadIdx.x;\n"
                "  const int column = blockIdx.y * blockDim.y + threadIdx.y;",
            ),
        ),
    ),
    Mistake(
        "table transposed",
        "column * rows + row stores column after column. Row after row, the place in memory is row * columns + column.",
        TWO_D,
        table_of_threads(place=lambda row, column, rows, columns: column * rows + row),
        slips=(("coordinates.cu", "row * columns + column]", "column * rows + row]"),),
    ),
    Mistake(
        "rows for columns",
        "A row is columns elements long, so the place in memory is row * columns + column, not row * rows + column.",
        TWO_D,
        table_of_threads(place=lambda row, column, rows, columns: row * rows + column),
        slips=(("coordinates.cu", "table[row * columns", "table[row * rows"),),
    ),
    Mistake(
        "row and column exchanged in the value",
        "The value is 10000 * column + row; 10000 * row + column is asked for.",
        TWO_D,
        table_of_threads(value=lambda row, column: 10000 * column + row),
        slips=(("coordinates.cu", "10000 * row + column", "10000 * column + row"),),
    ),
)
