"""The mistakes that lesson 11's checker can name. Each mutant is the product in NumPy, with the mistake in it."""

from collections.abc import Callable

import numpy as np

from workbench.check.lesson import Mistake, Race

FRAGMENTS = "the notebook, section 2: Who holds what"
STEPS = "the notebook, section 3: From wmma to mma.sync"
SWIZZLE = "the notebook, section 4: Bank conflicts, before and after"
PIPELINE = "the notebook, section 5: Tiles on their way"
TILE_K = 64  # columns of A, rows of B, in a pair of tiles
STAGES = 3

Matrices = tuple[np.ndarray, np.ndarray]


def padded(matrix: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The matrix, or stack of them, continued by zeros to multiples of rows and columns."""
    down, across = (-size % step for size, step in zip(matrix.shape[-2:], (rows, columns), strict=True))
    return np.pad(matrix, [(0, 0)] * (matrix.ndim - 2) + [(0, down), (0, across)])


def fragments(matrix: np.ndarray) -> np.ndarray:
    """A view of a matrix of whole 8 x 8 parts, or of a stack of them: (..., down, 8, across, 8)."""
    *stack, rows, columns = matrix.shape
    return matrix.reshape(*stack, rows // 8, 8, columns // 8, 8)


def of(change: Callable[[np.ndarray, np.ndarray], Matrices]) -> Callable[..., np.ndarray]:
    """The product of what `change` makes of a and b, which come to it continued by zeros to whole tiles of 16 x 16."""

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        left, right = change(padded(a, 16, 16), padded(b, 16, 16))
        return (left @ right)[..., : a.shape[-2], : b.shape[-1]]

    return mutant


def quarters_swapped(a: np.ndarray) -> np.ndarray:
    """In each 16 x 16 of a, the upper right and the lower left quarter change places."""
    swapped = fragments(a).copy()
    swapped[..., 0::2, :, 1::2, :] = fragments(a)[..., 1::2, :, 0::2, :]
    swapped[..., 1::2, :, 0::2, :] = fragments(a)[..., 0::2, :, 1::2, :]
    return swapped.reshape(a.shape)


def halves_swapped(matrix: np.ndarray) -> np.ndarray:
    """In each 16 rows, the upper 8 and the lower 8 change places."""
    *stack, rows, columns = matrix.shape
    return matrix.reshape(*stack, rows // 16, 2, 8, columns)[..., ::-1, :, :].reshape(matrix.shape)


def turned(b: np.ndarray) -> np.ndarray:
    """Each 8 x 8 of b transposed."""
    return fragments(b).swapaxes(-3, -1).reshape(b.shape)


def rows_of_c_swapped(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Each 8 rows of the result are written where their neighbours belong; what has no place is never written."""
    product = padded(a, 16, 1) @ b
    out = halves_swapped(product)[..., : a.shape[-2], :].copy()
    unwritten = halves_swapped(np.arange(product.shape[-2])[:, None])[: a.shape[-2], 0] >= a.shape[-2]
    out[..., unwritten, :] = 0  # the rows of zeros that A is continued by
    return out


def scattered(matrix: np.ndarray, width: int) -> np.ndarray:
    """Chunks of 8 columns lie at column ^ (row % 8), in tiles of `width` columns, and are read as if they didn't."""
    rows, columns = matrix.shape
    by_tile = matrix.reshape(rows, columns // width, width // 8, 8)
    place = np.arange(width // 8) ^ (np.arange(rows) % 8)[:, None]
    return by_tile[np.arange(rows)[:, None], :, place].swapaxes(1, 2).reshape(matrix.shape)


def scattered_a(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    left, right = padded(a, 128, TILE_K), padded(b, TILE_K, 1)
    return (scattered(left, TILE_K) @ right)[: len(a)]


def scattered_b(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    left, right = padded(a, 1, TILE_K), padded(b, TILE_K, 128)
    return (left @ scattered(right, 128))[:, : b.shape[1]]


def by_tiles(
    use: Callable[[int], list[int]], race: Callable[[int], bool] = lambda tiles: False
) -> Callable[..., np.ndarray]:
    """The sum of the products of the pairs of tiles in `use(tiles)`. race: for so many tiles, threads collide."""

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        left, right = padded(a, 1, TILE_K), padded(b, TILE_K, 1)
        tiles = len(right) // TILE_K
        out = np.zeros((len(a), b.shape[1]))
        for tile in use(tiles):
            part = slice(tile * TILE_K, (tile + 1) * TILE_K)
            out += left[:, part] @ right[part]
        if out.size and race(tiles):
            raise Race(out)
        return out

    return mutant


def one_place(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.size and b.size:
        raise Race(a @ b, kind="places")
    return a @ b


def whole_tiles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    whole = a.shape[1] // TILE_K * TILE_K
    return a[:, :whole] @ b[:whole]


WAIT = """    wait_copy_groups<STAGES - 2>();  // this thread's part of this pair has come,
    __syncthreads();                 // and everybody's; and the pair before it has been read by all: its place is free
"""
FETCH = """    const int ahead = start + (STAGES - 1) * TILE_K;
    if (ahead < K) fetch(ahead, (stage + STAGES - 1) % STAGES);
"""
RESTART = "for (auto &row : sum) for (auto &tile : row) for (auto &each : tile) each = 0.0f;\n    "

ONE_MMA = (
    Mistake(
        "quarters of A swapped",
        "The upper right and the lower left quarter of A have changed places: a[1] is row g + 8, a[2] column 2t + 8.",
        FRAGMENTS,
        of(lambda a, b: (quarters_swapped(a), b)),
        slips=(
            (
                "one_mma.cu",
                "pair_of_A(g + 8, 2 * t), pair_of_A(g, 2 * t + 8)",
                "pair_of_A(g, 2 * t + 8), pair_of_A(g + 8, 2 * t)",
            ),
        ),
    ),
    Mistake(
        "k halves of B swapped",
        "Rows 0 to 7 of B meet columns 8 to 15 of A: b[0] holds rows 2t and 2t + 1, b[1] those 8 further down.",
        FRAGMENTS,
        of(lambda a, b: (a, halves_swapped(b))),
        slips=(
            (
                "one_mma.cu",
                "{pair_of_B(2 * t, g), pair_of_B(2 * t + 8, g)}",
                "{pair_of_B(2 * t + 8, g), pair_of_B(2 * t, g)}",
            ),
        ),
    ),
    Mistake(
        "rows of C swapped",
        "Rows 0 to 7 and rows 8 to 15 of C have changed places: c[0] and c[1] are row g, c[2] and c[3] row g + 8.",
        FRAGMENTS,
        of(lambda a, b: (halves_swapped(a), b)),
        slips=(("one_mma.cu", "g + i / 2 * 8", "g + (1 - i / 2) * 8"),),
    ),
    Mistake(
        "columns of C in the wrong order",
        "Neighbouring columns of C have changed places: c[0] is column 2t, c[1] is column 2t + 1.",
        FRAGMENTS,
        of(lambda a, b: (a, b[..., np.arange(b.shape[-1]) ^ 1])),
        slips=(("one_mma.cu", "2 * t + i % 2", "2 * t + 1 - i % 2"),),
    ),
    Mistake(
        "B not transposed",
        "Each 8 x 8 of B is transposed: a lane's two elements are neighbours in a column of B, at row 2t of column g.",
        FRAGMENTS,
        of(lambda a, b: (a, turned(b))),
        slips=(
            (
                "one_mma.cu",
                "B_bits[row * 8 + column] | uint32_t(B_bits[(row + 1) * 8 + column]) << 16",
                "B_bits[(row / 8 * 8 + column) * 8 + row % 8] | "
                "uint32_t(B_bits[(row / 8 * 8 + column) * 8 + row % 8 + 1]) << 16",
            ),
        ),
    ),
    Mistake(
        "halves of a register swapped",
        "A register's two elements of A have changed places: the one of the smaller column lies in the lower 16 bits.",
        FRAGMENTS,
        of(lambda a, b: (a[..., np.arange(a.shape[-1]) ^ 1], b)),
        slips=(
            (
                "one_mma.cu",
                "A_bits[row * 16 + column] | uint32_t(A_bits[row * 16 + column + 1]) << 16",
                "A_bits[row * 16 + column + 1] | uint32_t(A_bits[row * 16 + column]) << 16",
            ),
        ),
    ),
)

MATMUL = (
    Mistake(
        "K tail dropped",
        "Columns of A after the last whole tile are left out: the last tile may be narrower, and is filled with zeros.",
        STEPS,
        whole_tiles,
        slips=(
            ("swizzled.cu", "for (int start = 0; start < K;", "for (int start = 0; start + TILE_K <= K;"),
        ),
    ),
    Mistake(
        "sums restarted",
        "Only the last pair of tiles counts: the sums must be set to zero once, before the first pair.",
        STEPS,
        by_tiles(lambda tiles: list(range(tiles))[-1:]),
        slips=(("swizzled.cu", "    fetch(start);\n", f"    {RESTART}fetch(start);\n"),),
    ),
    Mistake(
        "quarters of A swapped",
        "The upper right and the lower left quarter of each 16 x 16 of A have changed places. The second matrix that "
        "ldmatrix loads has its addresses from lanes 8 to 15: these must be rows 8 to 15, not columns.",
        FRAGMENTS,
        of(lambda a, b: (quarters_swapped(a), b)),
        slips=(
            (
                "swizzled.cu",
                "row = y + 16 * i + lane % 16, chunk = k / 8 + lane / 16;",
                "row = y + 16 * i + lane % 8 + lane / 16 * 8, chunk = k / 8 + lane / 8 % 2;",
            ),
        ),
    ),
    Mistake(
        "k halves of B swapped",
        "In each 16 rows of B, rows 0 to 7 and 8 to 15 have changed places: the even registers come first in mma.",
        FRAGMENTS,
        of(lambda a, b: (a, halves_swapped(b))),
        slips=(
            (
                "swizzled.cu",
                "b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]",
                "b[j / 2][j % 2 * 2 + 1], b[j / 2][j % 2 * 2]",
            ),
        ),
    ),
    Mistake(
        "B not transposed",
        "Each 8 x 8 of B is transposed: B lies row after row, so it takes ldmatrix with .trans.",
        FRAGMENTS,
        of(lambda a, b: (a, turned(b))),
        slips=(("swizzled.cu", "ldmatrix_x4_transposed(", "ldmatrix_x4("),),
    ),
    Mistake(
        "swizzle of A on one side only",
        "Chunks of A are stored in swizzled places and loaded from plain ones, or the other way round.",
        SWIZZLE,
        scattered_a,
        slips=(
            (
                "swizzled.cu",
                "shared_address(&A_tile[swizzled<A_WIDTH>(row, chunk)])",
                "shared_address(&A_tile[row * A_WIDTH + chunk])",
            ),
            (
                "swizzled.cu",
                "A_tile[swizzled<A_WIDTH>(row, chunk)] = load",
                "A_tile[row * A_WIDTH + chunk] = load",
            ),
        ),
    ),
    Mistake(
        "swizzle of B on one side only",
        "Chunks of B are stored in swizzled places and loaded from plain ones, or the other way round.",
        SWIZZLE,
        scattered_b,
        slips=(
            (
                "swizzled.cu",
                "shared_address(&B_tile[swizzled<B_WIDTH>(row, chunk)])",
                "shared_address(&B_tile[row * B_WIDTH + chunk])",
            ),
        ),
    ),
    Mistake(
        "two chunks in one place",
        "place() has the same answer for two chunks of a tile: in each row it must only change their order.",
        SWIZZLE,
        one_place,
        slips=(
            (
                "swizzled.cu",
                "A_tile[swizzled<A_WIDTH>(row, chunk)] = load",
                "A_tile[row * A_WIDTH + (row + chunk) % 4] = load",
            ),
        ),
        race="places",
    ),
    Mistake(
        "last tiles forgotten",
        "The last pairs of tiles are fetched and never multiplied: the loop must go on when there is nothing to fetch.",
        PIPELINE,
        by_tiles(lambda tiles: list(range(tiles - (STAGES - 1)))),
        slips=(
            (
                "pipelined.cu",
                "start < K; start += TILE_K",
                "start + (STAGES - 1) * TILE_K < K; start += TILE_K",
            ),
        ),
    ),
    Mistake(
        "old tiles fetched again",
        "The pair that is fetched is the one that is multiplied now; it should be the one STAGES - 1 pairs further on.",
        PIPELINE,
        by_tiles(lambda tiles: [tile if tile < STAGES - 1 else tile - (STAGES - 1) for tile in range(tiles)]),
        slips=(("pipelined.cu", "fetch(ahead, (stage", "fetch(start, (stage"),),
    ),
    Mistake(
        "read too early",
        "A tile is read before it is there: wait_copy_groups<STAGES - 2>() waits for this thread's copies, and a "
        "barrier for everybody's.",
        PIPELINE,
        by_tiles(lambda tiles: list(range(tiles - STAGES)), race=lambda tiles: tiles > 0),
        slips=(
            ("pipelined.cu", "wait_copy_groups<STAGES - 2>();", ""),
            ("pipelined.cu", "wait_copy_groups<STAGES - 2>();", "wait_copy_groups<STAGES - 1>();"),
            ("pipelined.cu", "    __syncthreads();  ", "  "),
        ),
    ),
    Mistake(
        "overwritten too early",
        "A tile is overwritten while slower warps still read it: fetch into its place after the barrier that says that "
        "all have read it.",
        PIPELINE,
        by_tiles(
            lambda tiles: [tile + STAGES if tile + STAGES < tiles else tile for tile in range(tiles)],
            race=lambda tiles: tiles > STAGES,
        ),
        slips=(("pipelined.cu", WAIT + FETCH, FETCH + WAIT),),
    ),
)
