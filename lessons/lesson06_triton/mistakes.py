"""The mistakes that lesson 6's checker can name. Each mutant is an oracle in NumPy, with the mistake in it."""

from collections.abc import Callable

import numpy as np

from cuda_basics.softmax.numpy_version import softmax
from workbench.check.lesson import Mistake, unwritten

SOFTMAX = "the notebook, section 2: A row in a block"
ORDER = "the notebook, section 4: Which tile is mine?"
MATMUL = "the notebook, section 3: A tile a program"
EPILOGUE = "the notebook, section 5: While it is in registers"

WIDEST = 32768  # as in triton_basics/softmax.py: longer rows are the looped kernel's
TILE, STEP = (
    64,
    32,
)  # a tile of c, and how far along K it walks at a time: `DEFAULT` in triton_basics/matmul.py


def padded(columns: int) -> int:
    return 1 << max(columns - 1, 0).bit_length()


def rows_of_a_program(columns: int) -> int:
    return max(1, 2048 // padded(columns))


def in_blocks(mutant: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """`mutant` where rows fit into a block; longer ones, and empty matrices, are right."""

    def mistaken(x: np.ndarray) -> np.ndarray:
        return mutant(x) if 0 < x.shape[1] <= WIDEST and x.size else softmax(x)

    return mistaken


def zeros_past_the_end(x: np.ndarray) -> np.ndarray:
    more = padded(x.shape[1]) - x.shape[1]
    return softmax(np.pad(x, ((0, 0), (0, more))))[:, : x.shape[1]]


def nothing_for_the_rest(x: np.ndarray) -> np.ndarray:
    return softmax(x) if padded(x.shape[1]) == x.shape[1] else np.full(x.shape, np.nan)


def nothing_for_the_tail(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.full((len(a), b.shape[1]), np.nan) if a.shape[1] % STEP else a @ b


def nothing_masked(x: np.ndarray) -> np.ndarray:
    rows, columns = x.shape
    if padded(columns) != columns or rows % rows_of_a_program(columns):
        raise IndexError("past the end")
    return softmax(x)


def nothing_subtracted(x: np.ndarray) -> np.ndarray:
    numerator = np.exp(x.astype(np.float32))
    return (numerator / numerator.sum(axis=1, keepdims=True)).astype(np.float64)


def maximum_of_all(x: np.ndarray) -> np.ndarray:
    """One maximum for all rows of a program: where it is far above a row's own, all that row's exponentials are 0."""
    y, each = np.empty_like(x), rows_of_a_program(x.shape[1])
    for first in range(0, len(x), each):
        rows = x[first : first + each]
        numerator = np.exp((rows - rows.max()).astype(np.float32))
        y[first : first + each] = numerator / numerator.sum(axis=1, keepdims=True)
    return y


def without_last_column(x: np.ndarray) -> np.ndarray:
    y = unwritten(x.shape, x.dtype)
    if x.shape[1] > 1:
        y[:, :-1] = softmax(x[:, :-1])
    return y


def first_rows_only(x: np.ndarray) -> np.ndarray:
    y, each = unwritten(x.shape, x.dtype), rows_of_a_program(x.shape[1])
    y[:each] = softmax(x)[:each]
    return y


def rows_not_masked(x: np.ndarray) -> np.ndarray:
    if len(x) % rows_of_a_program(x.shape[1]):
        raise IndexError("past the last row")
    return softmax(x)


def not_divided(x: np.ndarray) -> np.ndarray:
    return np.exp(x - x.max(axis=1, keepdims=True))


def rows_one_apart(x: np.ndarray) -> np.ndarray:
    y = unwritten(x.shape, x.dtype)
    each = rows_of_a_program(x.shape[1])
    reached = -(-len(x) // each) - 1 + each
    y[:reached] = softmax(x)[:reached]
    return y


def steps_assumed(row: bool = False, column: bool = False) -> Callable[..., np.ndarray]:
    """The row's step taken to be the number of columns; the column's to be 1."""

    def mutant(x: np.ndarray) -> np.ndarray:
        memory = x.ravel(order="K")
        a_row, a_column = (step // x.itemsize for step in x.strides)
        a_row, a_column = x.shape[1] if row else a_row, 1 if column else a_column
        return softmax(memory[np.add.outer(np.arange(len(x)) * a_row, np.arange(x.shape[1]) * a_column)])

    return mutant


# Which tile is whose.


def ordered(place: Callable[..., tuple[np.ndarray, np.ndarray]]) -> Callable[..., np.ndarray]:
    """(programs, 2) int32 from a function of (program, tiles_m, tiles_n, group)."""

    def order(tiles_m: int, tiles_n: int, group: int) -> np.ndarray:
        row, column = place(np.arange(tiles_m * tiles_n), tiles_m, tiles_n, group)
        return np.stack([row, column], axis=1).astype(np.int32)

    return order


def grouped(
    program: np.ndarray,
    tiles_m: int,
    tiles_n: int,
    group: int,
    *,
    last_is_full: bool = False,
    first_forgotten: bool = False,
    place_forgotten: bool = False,
    first_left_out: bool = False,
    along_rows: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The right order, and what becomes of it."""
    number = program // (group * tiles_n)
    first = number * (1 if first_forgotten else group)
    height = group if last_is_full else np.minimum(tiles_m - first, group)
    place = program if place_forgotten else program % (group * tiles_n)
    down, across = (place // height, place % height) if along_rows else (place % height, place // height)
    return down if first_left_out else first + down, across


# The product.


def in_steps(
    accumulate: Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray],
) -> Callable[..., np.ndarray]:
    """The walk along K with another step: accumulate(total, a, b, start) gives the new total."""

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        total = np.zeros((a.shape[0], b.shape[1]))
        for start in range(0, a.shape[1], STEP):
            total = accumulate(total, a, b, start)
        return total

    return mutant


def advanced(a_too: bool = False, b_too: bool = False) -> Callable[..., np.ndarray]:
    """Only the named pointers go on; the others stay at the first step's tile."""

    def accumulate(total: np.ndarray, a: np.ndarray, b: np.ndarray, start: int) -> np.ndarray:
        width = min(STEP, a.shape[1] - start)
        of_a, of_b = start if a_too else 0, start if b_too else 0
        return total + a[:, of_a : of_a + width] @ b[of_b : of_b + width]

    return in_steps(accumulate)


def last_step_only(total: np.ndarray, a: np.ndarray, b: np.ndarray, start: int) -> np.ndarray:
    return a[:, start : start + STEP] @ b[start : start + STEP]


def tail_read(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.shape[1] % STEP and len(a) and b.shape[1]:
        raise IndexError("past K")
    return a @ b


def edge_crossed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Tiles that reach past M or N are stored whole."""
    c = a @ b
    if c.size and (len(a) % TILE or b.shape[1] % TILE):
        raise IndexError("past M or N")
    return c


def edge_read(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Tiles that reach past M or N are read whole; with K = 0 nothing is read."""
    return edge_crossed(a, b) if a.shape[1] else a @ b


def sums_in_half(a: np.ndarray, b: np.ndarray, dtype: str) -> np.ndarray:
    """Sums rounded to the inputs' type at each step; in float32 that is right."""
    if dtype != "float16":
        return a @ b
    total = np.zeros((a.shape[0], b.shape[1]))
    for start in range(0, a.shape[1], STEP):
        total += a[:, start : start + STEP] @ b[start : start + STEP]
        total = total.astype(np.float16).astype(np.float64)
    return total


def in_tf32(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A tensor core reads the upper 19 bits of a float: 10 of its 23 bits of mantissa. float16 has no more."""
    a, b = (
        (x.astype(np.float32).view(np.int32) & ~0x1FFF).view(np.float32).astype(np.float64) for x in (a, b)
    )
    return a @ b


def tiles_one_apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row and column of a tile taken for those of its first element."""
    c = unwritten((a.shape[0], b.shape[1]), a.dtype)
    rows, columns = (-(-size // TILE) - 1 + TILE if size else 0 for size in c.shape)
    c[:rows, :columns] = (a @ b)[:rows, :columns]
    return c


def tiles_overlapping(rows: bool) -> Callable[..., np.ndarray]:
    """The same for the rows, or for the columns alone."""

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        right = a @ b
        reach = [-(-size // TILE) - 1 + TILE if size else 0 for size in right.shape]
        c = unwritten(right.shape, right.dtype)
        part = np.s_[: reach[0]] if rows else np.s_[:, : reach[1]]
        c[part] = right[part]
        return c

    return mutant


def whole_steps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    k = a.shape[1] // STEP * STEP
    return a[:, :k] @ b[:k]


def tail_of_later_steps_read(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """mask=k < K, which is right in the first step alone."""
    return tail_read(a, b) if a.shape[1] > STEP else a @ b


def row_after_row(which: str) -> Callable[..., np.ndarray]:
    """a or b is taken to lie row after row, whatever its steps."""

    def in_memory(x: np.ndarray) -> np.ndarray:
        return x.ravel(order="K").reshape(x.shape)

    return lambda a, b: in_memory(a) @ b if which == "a" else a @ in_memory(b)


def b_steps_short(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """b's pointers go on by STEP elements, not rows."""
    memory, k = b.ravel(order="K"), np.arange(a.shape[1])
    b_row, b_column = (step // b.itemsize for step in b.strides)
    place = (k % STEP * b_row + k // STEP * STEP)[:, None] + np.arange(b.shape[1]) * b_column
    return a @ (memory[place] if place.size else b)


def tiles_swapped(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The tile in row m and column n is taken to be that in row n and column m: those outside aren't written."""
    c = unwritten((a.shape[0], b.shape[1]), a.dtype)
    tiles_m, tiles_n = (-(-size // TILE) for size in c.shape)
    c[: tiles_n * TILE, : tiles_m * TILE] = (a @ b)[: tiles_n * TILE, : tiles_m * TILE]
    return c


# The epilogue.


def leaky_relu(x: np.ndarray, slope: float) -> np.ndarray:
    return np.where(x >= 0, x, slope * x)


def leaky_in_the_loop(a: np.ndarray, b: np.ndarray, slope: float) -> np.ndarray:
    """Each step's sum so far, instead of the last."""
    return in_steps(
        lambda total, a, b, start: leaky_relu(
            total + a[:, start : start + STEP] @ b[start : start + STEP], slope
        )
    )(a, b)


SOFTMAX_MISTAKES = (
    Mistake(
        "masked load without other",
        "Without other, what the mask leaves out may be anything (here NaN), and it takes part: other=-float('inf').",
        SOFTMAX,
        in_blocks(nothing_for_the_rest),
        slips=(("softmax.py", 'mask=inside, other=-float("inf")', "mask=inside"),),
    ),
    Mistake(
        "zeros past the end of a row",
        "Columns past the end take part as zeros, and exp adds them to the sum: load them with other=-float('inf').",
        SOFTMAX,
        in_blocks(zeros_past_the_end),
        slips=(
            (
                "softmax.py",
                'values = tl.load(x + row * x_row + column * x_column, mask=inside, other=-float("inf"))',
                "values = tl.load(x + row * x_row + column * x_column, mask=inside, other=0.0)",
            ),
        ),
    ),
    Mistake(
        "missing mask",
        "A block is larger than a row, and the last program's rows may not exist: the load and the store need a mask "
        "with (row < rows) & (column < columns).",
        SOFTMAX,
        in_blocks(nothing_masked),
        slips=(
            ("softmax.py", "numerator / denominator, mask=inside)", "numerator / denominator)"),
            (
                "softmax.py",
                'x_row + column * x_column, mask=inside, other=-float("inf"))',
                "x_row + column * x_column)",
            ),
        ),
    ),
    Mistake(
        "no maximum subtracted",
        "exp of a large value overflows, and inf / inf is NaN; exp of very negative ones is 0, and so is their sum: "
        "subtract the row's maximum first.",
        SOFTMAX,
        in_blocks(nothing_subtracted),
        slips=(("softmax.py", "tl.exp(values - tl.max(values, axis=1, keep_dims=True))", "tl.exp(values)"),),
    ),
    Mistake(
        "one maximum for all rows",
        "The maximum is taken over all rows of a program; where a row lies far below it, every exp is 0: each row has "
        "its own, axis=1.",
        SOFTMAX,
        in_blocks(maximum_of_all),
        slips=(("softmax.py", "tl.max(values, axis=1, keep_dims=True)", "tl.max(values)"),),
    ),
    Mistake(
        "missing mask for the rows",
        "The last program has fewer rows than ROWS: the mask needs row < rows too.",
        SOFTMAX,
        in_blocks(rows_not_masked),
        slips=(
            (
                "softmax.py",
                "numerator / denominator, mask=inside)",
                "numerator / denominator, mask=column < columns)",
            ),
        ),
    ),
    Mistake(
        "last column left out",
        "The last element of each row is neither counted nor written: the mask must let it through, column < columns.",
        SOFTMAX,
        in_blocks(without_last_column),
        slips=(("softmax.py", "(row < rows) & (column < columns)", "(row < rows) & (column < columns - 1)"),),
    ),
    Mistake(
        "program index forgotten",
        "Every program does the first ROWS rows, and nobody the rest: its rows start at program_id * ROWS.",
        SOFTMAX,
        in_blocks(first_rows_only),
        slips=(("softmax.py", "tl.program_id(0) * ROWS + tl.arange", "tl.arange"),),
    ),
    Mistake(
        "not divided by the sum",
        "The rows don't add up to 1: divide by the sum of the exponentials.",
        SOFTMAX,
        in_blocks(not_divided),
        slips=(("softmax.py", "numerator / denominator", "numerator"),),
    ),
    Mistake(
        "programs one row apart",
        "Programs overlap and the last rows are never written: program p starts at row p * ROWS.",
        SOFTMAX,
        in_blocks(rows_one_apart),
        slips=(("softmax.py", "tl.program_id(0) * ROWS + ", "tl.program_id(0) + "),),
    ),
    Mistake(
        "columns taken to be neighbours",
        "In memory the next element of a row may be x_column elements away, not 1 (x can be a transposed view).",
        SOFTMAX,
        in_blocks(steps_assumed(column=True)),
        slips=(
            (
                "softmax.py",
                "row * x_row + column * x_column, mask=inside",
                "row * x_row + column, mask=inside",
            ),
        ),
    ),
    Mistake(
        "rows taken to follow one another",
        "In memory the next row is x_row elements away, which need not be the number of columns.",
        SOFTMAX,
        in_blocks(steps_assumed(row=True)),
        slips=(("softmax.py", "row * x_row + column * x_column", "row * columns + column * x_column"),),
    ),
)

ORDER_MISTAKES = (
    Mistake(
        "row and column in the group swapped",
        "Inside a group the order runs down the columns: the row is place % height, the column place // height.",
        ORDER,
        ordered(lambda *sizes: grouped(*sizes, along_rows=True)),
        slips=(
            (
                "matmul.py",
                "return first + place % height, place // height",
                "return first + place // height, place % height",
            ),
        ),
    ),
    Mistake(
        "first row of the group forgotten",
        "Every group computes the first rows of tiles: a group's begin at `first`.",
        ORDER,
        ordered(lambda *sizes: grouped(*sizes, first_left_out=True)),
        slips=(("matmul.py", "return first + place % height", "return place % height"),),
    ),
    Mistake(
        "last group taken to be full",
        "The last group may have fewer than GROUP rows of tiles: its height is the smaller of GROUP and what is left.",
        ORDER,
        ordered(lambda *sizes: grouped(*sizes, last_is_full=True)),
        slips=(("matmul.py", "tl.minimum(tiles_m - first, GROUP)", "GROUP"),),
    ),
    Mistake(
        "not grouped",
        "Tiles are taken row after row: right, but a row of tiles reads all of b before the next one starts.",
        ORDER,
        ordered(lambda program, tiles_m, tiles_n, group: (program // tiles_n, program % tiles_n)),
        slips=(
            (
                "matmul.py",
                "return first + place % height, place // height",
                "return first + place // tiles_n, place % tiles_n",
            ),
        ),
    ),
    Mistake(
        "groups one row apart",
        "Group g starts at row g of the tiles: it must start at g * GROUP.",
        ORDER,
        ordered(lambda *sizes: grouped(*sizes, first_forgotten=True)),
        slips=(("matmul.py", "program // (GROUP * tiles_n) * GROUP", "program // (GROUP * tiles_n)"),),
    ),
    Mistake(
        "place in the whole grid",
        "Inside a group counts the place in that group, program % (GROUP * tiles_n), not the program's number.",
        ORDER,
        ordered(lambda *sizes: grouped(*sizes, place_forgotten=True)),
        slips=(("matmul.py", "place = program % (GROUP * tiles_n)", "place = program"),),
    ),
    Mistake(
        "row and column swapped",
        "The tile's row comes first, its column second.",
        ORDER,
        ordered(lambda *sizes: grouped(*sizes)[::-1]),
        slips=(
            (
                "matmul.py",
                "return first + place % height, place // height",
                "return place // height, first + place % height",
            ),
        ),
    ),
)

MATMUL_MISTAKES = (
    Mistake(
        "masked load without other",
        "Without other, what the mask leaves out may be anything (here NaN), and it is multiplied: other=0.0.",
        MATMUL,
        nothing_for_the_tail,
        slips=(("matmul.py", ", other=0.0)  # zeros", ")  # zeros"),),
    ),
    Mistake(
        "end of K not masked",
        "The last step reaches past K: both loads need mask=k < K - start, and other=0.0, which adds nothing.",
        MATMUL,
        tail_read,
        slips=(
            ("matmul.py", "tl.load(a_tile, mask=k[None, :] < K - start, other=0.0)", "tl.load(a_tile)"),
            ("matmul.py", "tl.load(b_tile, mask=k[:, None] < K - start, other=0.0)", "tl.load(b_tile)"),
        ),
    ),
    Mistake(
        "end of K masked in the first step alone",
        "In later steps k still counts from 0, so the mask must shrink: k < K - start.",
        MATMUL,
        tail_of_later_steps_read,
        slips=(
            ("matmul.py", "mask=k[None, :] < K - start", "mask=k[None, :] < K"),
            ("matmul.py", "mask=k[:, None] < K - start", "mask=k[:, None] < K"),
        ),
    ),
    Mistake(
        "end of K dropped",
        "The products after the last whole step are missing: go on while start < K, and mask.",
        MATMUL,
        whole_steps,
        slips=(("matmul.py", "range(0, K, BLOCK_K)", "range(0, K - BLOCK_K + 1, BLOCK_K)"),),
    ),
    Mistake(
        "edge of the matrix",
        "The last tiles reach past M and N: read row % M of a and column % N of b there, or mask those loads.",
        MATMUL,
        edge_read,
        slips=(
            ("matmul.py", "row % M * a_row", "row * a_row"),
            ("matmul.py", "column % N * b_column", "column * b_column"),
        ),
    ),
    Mistake(
        "store not masked",
        "The last tiles reach past M and N: only where row < M and column < N there is a c to store.",
        MATMUL,
        edge_crossed,
        slips=(("matmul.py", ", mask=(row < M) & (column < N))", ")"),),
    ),
    Mistake(
        "pointers never advanced",
        "Each step multiplies the same two tiles: go on by BLOCK_K columns of a and BLOCK_K rows of b.",
        MATMUL,
        advanced(),
        slips=(
            ("matmul.py", "        a_tile += BLOCK_K * a_column\n        b_tile += BLOCK_K * b_row\n", ""),
        ),
    ),
    Mistake(
        "a's pointers not advanced",
        "Each step reads the same tile of a: go on by BLOCK_K columns, BLOCK_K * a_column.",
        MATMUL,
        advanced(b_too=True),
        slips=(("matmul.py", "        a_tile += BLOCK_K * a_column\n", ""),),
    ),
    Mistake(
        "b's pointers not advanced",
        "Each step reads the same tile of b: go on by BLOCK_K rows, BLOCK_K * b_row.",
        MATMUL,
        advanced(a_too=True),
        slips=(("matmul.py", "        b_tile += BLOCK_K * b_row\n", ""),),
    ),
    Mistake(
        "b's pointers advanced by elements",
        "The next tile of b is BLOCK_K rows further, and a row is b_row elements: BLOCK_K * b_row.",
        MATMUL,
        b_steps_short,
        slips=(("matmul.py", "b_tile += BLOCK_K * b_row", "b_tile += BLOCK_K"),),
    ),
    Mistake(
        "a taken to lie row after row",
        "a can be a view, such as a transposed one: its steps are a_row and a_column, not K and 1.",
        MATMUL,
        row_after_row("a"),
        slips=(
            (
                "matmul.py",
                "    k = tl.arange(0, BLOCK_K)\n",
                "    k = tl.arange(0, BLOCK_K)\n    a_row, a_column = K, 1\n",
            ),
        ),
    ),
    Mistake(
        "b taken to lie row after row",
        "b can be a view, such as a transposed one: its steps are b_row and b_column, not N and 1.",
        MATMUL,
        row_after_row("b"),
        slips=(
            (
                "matmul.py",
                "    k = tl.arange(0, BLOCK_K)\n",
                "    k = tl.arange(0, BLOCK_K)\n    b_row, b_column = N, 1\n",
            ),
        ),
    ),
    Mistake(
        "sum overwritten",
        "Only the last step's product is left: tl.dot(x, y, total) adds to what the steps before have summed.",
        MATMUL,
        in_steps(last_step_only),
        slips=(("matmul.py", "tl.dot(x, y, total, ", "tl.dot(x, y, "),),
    ),
    Mistake(
        "sums in half precision",
        "The running sum is rounded to float16 at each step: keep it in float32, and round once, when it is stored.",
        MATMUL,
        sums_in_half,
        slips=(
            (
                "matmul.py",
                'tl.dot(x, y, total, input_precision="ieee")',
                'tl.dot(x, y, total, input_precision="ieee").to(c.dtype.element_ty).to(tl.float32)',
            ),
        ),
    ),
    Mistake(
        "float32 as TF32",
        'On a GPU tl.dot reads float32 with 10 bits of mantissa, unless it is asked for input_precision="ieee".',
        MATMUL,
        in_tf32,  # no slip: the interpreter always multiplies in full precision
    ),
    Mistake(
        "tiles one element apart",
        "The tile's number is taken for its first row or column: multiply by BLOCK_M, and by BLOCK_N.",
        MATMUL,
        tiles_one_apart,
        slips=(
            (
                "matmul.py",
                "tile_m * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]\n    column = tile_n * BLOCK_N",
                "tile_m + tl.arange(0, BLOCK_M)[:, None]\n    column = tile_n",
            ),
        ),
    ),
    Mistake(
        "rows one element apart",
        "The tile's number is taken for its first row: multiply tile_m by BLOCK_M.",
        MATMUL,
        tiles_overlapping(rows=True),
        slips=(("matmul.py", "row = tile_m * BLOCK_M + tl", "row = tile_m + tl"),),
    ),
    Mistake(
        "columns one element apart",
        "The tile's number is taken for its first column: multiply tile_n by BLOCK_N.",
        MATMUL,
        tiles_overlapping(rows=False),
        slips=(("matmul.py", "column = tile_n * BLOCK_N + tl", "column = tile_n + tl"),),
    ),
    Mistake(
        "tile row and column swapped",
        "tile_m counts down the rows of c, tile_n along its columns.",
        MATMUL,
        tiles_swapped,
        slips=(("matmul.py", "tile_m, tile_n = tile_of", "tile_n, tile_m = tile_of"),),
    ),
)

EPILOGUE_MISTAKES = (
    Mistake(
        "slope on the wrong side",
        "Elements above zero were multiplied: the slope is for those below.",
        EPILOGUE,
        lambda a, b, slope: np.where(a @ b >= 0, slope * (a @ b), a @ b),
        slips=(
            (
                "matmul.py",
                "tl.where(total >= 0, total, SLOPE * total)",
                "tl.where(total >= 0, SLOPE * total, total)",
            ),
        ),
    ),
    Mistake(
        "no leak",
        "Elements below zero became 0: that is the plain ReLU; the leaky one leaves slope times the element.",
        EPILOGUE,
        lambda a, b, slope: leaky_relu(a @ b, 0.0),
        slips=(
            ("matmul.py", "tl.where(total >= 0, total, SLOPE * total)", "tl.where(total >= 0, total, 0.0)"),
        ),
    ),
    Mistake(
        "epilogue forgotten",
        "The result is a b: the leaky ReLU is missing.",
        EPILOGUE,
        lambda a, b, slope: a @ b,
        slips=(("matmul.py", "total = tl.where(total >= 0, total, SLOPE * total)", "pass"),),
    ),
    Mistake(
        "epilogue in the loop",
        "The leaky ReLU was applied to each step's sum: only the last one is a b.",
        EPILOGUE,
        leaky_in_the_loop,
        slips=(
            (
                "matmul.py",
                "        a_tile += BLOCK_K * a_column\n        b_tile += BLOCK_K * b_row\n    if SLOPE != 1:\n",
                "        a_tile += BLOCK_K * a_column\n        b_tile += BLOCK_K * b_row\n",
            ),
        ),
    ),
)
