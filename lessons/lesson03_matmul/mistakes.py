"""The mistakes that lesson 3's checker can name. Each mutant is matmul in NumPy, with the mistake in it."""

from collections.abc import Callable

import numpy as np

from workbench.check.lesson import Mistake, Race, unwritten

Matmul = Callable[[np.ndarray, np.ndarray], np.ndarray]
Slips = tuple[tuple[str, str, str], ...]

INDEX = "the notebook, section 2: Whose element, and in what order"
TILES = "the notebook, section 3: A tile in shared memory"
REGISTERS = "the notebook, section 4: Sums in registers"
BLOCK = 32  # a block of naive.cu and coalesced.cu, and a tile of shared_tile.cu: 32 x 32
DEEP, SHALLOW = 32, 8  # columns of A in a tile of shared_tile.cu, of register_tile_1d.cu
TALL = 64  # a tile of register_tile_1d.cu: 64 x 64
EACH = 8  # rows a thread in register_tile_1d.cu


def tiles(k: int, depth: int) -> int:
    """How many tiles the k products of an element take."""
    return -(-k // depth)


def padded(matrix: np.ndarray, high: int, wide: int) -> np.ndarray:
    """With zeros up to whole tiles of (high, wide)."""
    rows, columns = matrix.shape
    return np.pad(matrix, ((0, -rows % high), (0, -columns % wide)))


def only(products: Callable[[int], np.ndarray]) -> Matmul:
    """The sums of only the products `products(K)`."""

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        k = products(a.shape[1])
        return a[:, k] @ b[k]

    return mutant


def last_product(depth: int) -> Matmul:
    """Only the last product of the last tile, which is 0 where the tile reaches past K."""
    return only(lambda k: np.arange(k - 1, k) if k and k % depth == 0 else np.arange(0))


def early_end(depth: int) -> Matmul:
    """Each tile without its last product."""
    return only(lambda k: np.flatnonzero(np.arange(k) % depth != depth - 1))


def whole_tiles(depth: int) -> Matmul:
    return only(lambda k: np.arange(k // depth * depth))


def first_tile(depth: int) -> Matmul:
    return only(lambda k: np.arange(min(k, depth)))


def last_tile(depth: int) -> Matmul:
    return only(lambda k: np.arange(max(tiles(k, depth) - 1, 0) * depth, k))


def standing(depth: int, matrix: str) -> Matmul:
    """The first tile of A (or B) beside every tile of the other."""

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        k = np.arange(a.shape[1]) % depth
        return a[:, k] @ b if matrix == "A" else a @ b[k]

    return mutant


def turned(matrix: str) -> Matmul:
    """Each tile of A or of B stands in shared memory with its rows for columns."""

    def turn(full: np.ndarray) -> np.ndarray:
        parts = full.reshape(full.shape[0] // DEEP, DEEP, full.shape[1] // DEEP, DEEP)
        return parts.transpose(0, 3, 2, 1).reshape(full.shape)

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        left, right = padded(a, DEEP, DEEP), padded(b, DEEP, DEEP)
        c = turn(left) @ right if matrix == "A" else left @ turn(right)
        return c[: a.shape[0], : b.shape[1]]

    return mutant


def guarded(rows: int = 1, columns: int = 1, depth: int = 1) -> Matmul:
    """Leaves its arrays unless tiles of (rows, columns) and `depth` products divide the sizes."""

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        c = a @ b
        if c.size and (c.shape[0] % rows or c.shape[1] % columns or a.shape[1] % depth):
            raise IndexError("past the end")
        return c

    return mutant


def racing(depth: int, before: bool) -> Matmul:
    """A barrier is missing, before the products or after them; what comes out is one of many things that can."""

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        c, k = a @ b, a.shape[1]
        count = tiles(k, depth)
        if c.size == 0 or count < (1 if before else 2):
            return c
        last = (count - 1) * depth
        part = a[:, last:] @ b[last:]
        raise Race(c - part if before else c + part)  # a tile too early: not there yet, or not there any more

    return mutant


def strided(row_of_a: Callable[[int, int, int], int], row_of_b: Callable[[int, int, int], int]) -> Matmul:
    """The rows of A and of B are taken to be this long, given (M, N, K)."""

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        (m, k), n = a.shape, b.shape[1]
        if m * n == 0:
            return a @ b
        i, p, j = np.arange(m)[:, None], np.arange(k), np.arange(n)
        left = a.reshape(-1)[i * row_of_a(m, n, k) + p[None, :]]
        return left @ b.reshape(-1)[p[:, None] * row_of_b(m, n, k) + j[None, :]]

    return mutant


def stored_with_m(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """C[row * M + column]."""
    right = a @ b
    m, n = right.shape
    places = np.arange(m)[:, None] * m + np.arange(n)
    c = unwritten(right.size, right.dtype)
    c[places] = right
    if m < n and m > 1:
        raise Race(c.reshape(m, n))
    return c.reshape(m, n)


def b_by_columns(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """B[column * K + k]."""
    return a @ b.reshape(b.shape[1], b.shape[0]).T


def past_k(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.shape[0] and b.shape[1]:
        raise IndexError("there is no product K")
    return a @ b


def first_block(high: int = 2**31, wide: int = 2**31) -> Matmul:
    """Every block computes the first `high` rows or the first `wide` columns."""

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        right = a @ b
        c = unwritten(right.shape, right.dtype)
        c[:high, :wide] = right[:high, :wide]
        if right.size and (right.shape[0] > high or right.shape[1] > wide):
            raise Race(c)
        return c

    return mutant


def overlapping_rows(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The threads of a column start one row apart, not EACH rows."""
    right = a @ b
    written = np.arange(len(right)) % TALL < TALL // EACH + EACH - 1
    c = unwritten(right.shape, right.dtype)
    c[written] = right[written]
    if len(right) > 1 and right.size:
        raise Race(c)
    return c


def one_sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """All rows of a thread are added to its first sum."""
    right = a @ b
    full = padded(right, EACH, 1)
    groups = full.reshape(full.shape[0] // EACH, EACH, full.shape[1])
    c = np.zeros_like(groups)
    c[:, 0] = groups.sum(1)
    return c.reshape(full.shape)[: len(right)]


def mistake(name: str, sentence: str, read: str, *kinds: tuple[Matmul, Slips]) -> list[Mistake]:
    """One for each kind: the same mistake in kernels whose tiles differ, so that other elements are wrong."""
    return [Mistake(name, sentence, read, mutant, slips) for mutant, slips in kinds]


MISTAKES = (
    *mistake(
        "no barrier before the products",
        "Threads multiply elements that others are still loading: a __syncthreads() belongs between filling the tiles "
        "and reading them.",
        TILES,
        (
            racing(DEEP, before=True),
            (
                ("shared_tile.cu", "__syncthreads();  // all", "// all"),
                ("register_tile_1d.cu", "__syncthreads();  // all", "// all"),
            ),
        ),
    ),
    *mistake(
        "no barrier after the products",
        "Fast threads load the next tiles while slow ones still read these: a __syncthreads() belongs after the "
        "products too.",
        TILES,
        (racing(DEEP, before=False), (("shared_tile.cu", "__syncthreads();  // everybody", "// everybody"),)),
        (
            racing(SHALLOW, before=False),
            (("register_tile_1d.cu", "__syncthreads();  // everybody", "// everybody"),),
        ),
    ),
    *mistake(
        "missing guard for rows",
        "The last blocks reach past the last row: A may be read and C written only where row < M.",
        INDEX,
        (
            guarded(rows=BLOCK),
            (
                ("coalesced.cu", "row < M && column < N", "column < N"),
                ("shared_tile.cu", "if (row < M && column < N)", "if (column < N)"),
                ("shared_tile.cu", "row < M && start + x < K", "start + x < K"),
            ),
        ),
        (
            guarded(rows=TALL),
            (
                ("register_tile_1d.cu", "row < M && column < N", "column < N"),
                ("register_tile_1d.cu", "row < M && k < K", "k < K"),
            ),
        ),
    ),
    *mistake(
        "missing guard for columns",
        "The last blocks reach past the last column: B may be read and C written only where column < N.",
        INDEX,
        (
            guarded(columns=BLOCK),
            (
                ("coalesced.cu", "row < M && column < N", "row < M"),
                ("shared_tile.cu", "if (row < M && column < N)", "if (row < M)"),
                ("shared_tile.cu", "start + y < K && column < N", "start + y < K"),
            ),
        ),
        (
            guarded(columns=TALL),
            (
                ("register_tile_1d.cu", "row < M && column < N", "row < M"),
                ("register_tile_1d.cu", "k < K && column < N", "k < K"),
            ),
        ),
    ),
    *mistake(
        "missing guard",
        "The last blocks reach past the end: C may be written only where row < M && column < N.",
        INDEX,
        (
            guarded(rows=BLOCK, columns=BLOCK),
            (
                ("coalesced.cu", "if (row < M && column < N)", "if (true)"),
                ("shared_tile.cu", "if (row < M && column < N)", "if (true)"),
            ),
        ),
        (
            guarded(rows=TALL, columns=TALL),
            (("register_tile_1d.cu", "if (row < M && column < N)", "if (true)"),),
        ),
    ),
    *mistake(
        "missing guard for k",
        "The last tiles reach past K: what lies outside of A and B must count as zero, so guard the loads.",
        TILES,
        (
            guarded(depth=DEEP),
            (
                ("shared_tile.cu", "row < M && start + x < K", "row < M"),
                ("shared_tile.cu", "start + y < K && column < N", "column < N"),
            ),
        ),
        (
            guarded(depth=SHALLOW),
            (
                ("register_tile_1d.cu", "row < M && k < K", "row < M"),
                ("register_tile_1d.cu", "k < K && column < N", "column < N"),
            ),
        ),
    ),
    *mistake(
        "one product too many",
        "The loop over k goes on to k = K, which is past the end of A's rows and of B: k < K.",
        INDEX,
        (past_k, (("coalesced.cu", "k < K", "k <= K"),)),
    ),
    *mistake(
        "ragged end of k dropped",
        "The products after the last whole tile are missing: the loop over tiles must go on while start < K.",
        TILES,
        (
            whole_tiles(DEEP),
            (("shared_tile.cu", "start < K; start += TILE", "start + TILE <= K; start += TILE"),),
        ),
        (
            whole_tiles(SHALLOW),
            (("register_tile_1d.cu", "start < K; start += TILE_K", "start + TILE_K <= K; start += TILE_K"),),
        ),
    ),
    *mistake(
        "only the first tile of k",
        "Only the first tile of A's row and B's column is multiplied: loop over all of them, start = 0, TILE, ... < K.",
        TILES,
        (first_tile(DEEP), (("shared_tile.cu", "start < K;", "start < TILE;"),)),
        (first_tile(SHALLOW), (("register_tile_1d.cu", "start < K;", "start < TILE_K;"),)),
    ),
    *mistake(
        "sum restarted for each tile",
        "Only the last tile counts: set the sum to 0 once, before the loop over tiles.",
        TILES,
        (
            last_tile(DEEP),
            (
                (
                    "shared_tile.cu",
                    "    for (int k = 0; k < TILE",
                    "    sum = 0.0f;\n    for (int k = 0; k < TILE",
                ),
            ),
        ),
        (
            last_tile(SHALLOW),
            (
                (
                    "register_tile_1d.cu",
                    "    for (int k = 0; k < TILE_K",
                    "    for (int i = 0; i < ROWS; ++i) sum[i] = 0.0f;\n    for (int k = 0; k < TILE_K",
                ),
            ),
        ),
    ),
    *mistake(
        "+= forgotten",
        "Each product replaces the sum of those before it: sum += a * b.",
        INDEX,
        (last_product(1), (("coalesced.cu", "sum +=", "sum ="),)),
        (last_product(DEEP), (("shared_tile.cu", "sum +=", "sum ="),)),
        (last_product(SHALLOW), (("register_tile_1d.cu", "sum[i] +=", "sum[i] ="),)),
    ),
    *mistake(
        "last product left out",
        "The loop over k ends one too early, so the last product (of each tile) is missing.",
        INDEX,
        (early_end(DEEP), (("shared_tile.cu", "k < TILE;", "k < TILE - 1;"),)),
        (early_end(SHALLOW), (("register_tile_1d.cu", "k < TILE_K;", "k < TILE_K - 1;"),)),
        (only(lambda k: np.arange(k - 1)), (("coalesced.cu", "k < K", "k < K - 1"),)),
    ),
    *mistake(
        "tile of A stands still",
        "The first tile of A is loaded again and again: its columns begin at start.",
        TILES,
        (standing(DEEP, "A"), (("shared_tile.cu", "A[row * K + start + x]", "A[row * K + x]"),)),
        (standing(SHALLOW, "A"), (("register_tile_1d.cu", "k = start + i % TILE_K", "k = i % TILE_K"),)),
    ),
    *mistake(
        "tile of B stands still",
        "The first tile of B is loaded again and again: its rows begin at start.",
        TILES,
        (standing(DEEP, "B"), (("shared_tile.cu", "B[(start + y) * N + column]", "B[y * N + column]"),)),
        (standing(SHALLOW, "B"), (("register_tile_1d.cu", "k = start + i / TILE_N", "k = i / TILE_N"),)),
    ),
    *mistake(
        "tile of A turned",
        "The tile of A has its rows for columns: what is loaded as A_tile[y][x] is read as A_tile[y][k].",
        TILES,
        (turned("A"), (("shared_tile.cu", "A_tile[y][x] =", "A_tile[x][y] ="),)),
    ),
    *mistake(
        "tile of B turned",
        "The tile of B has its rows for columns: what is loaded as B_tile[y][x] is read as B_tile[k][x].",
        TILES,
        (turned("B"), (("shared_tile.cu", "B_tile[y][x] =", "B_tile[x][y] ="),)),
    ),
    *mistake(
        "rows of A are K long",
        "The step from one row of A to the next is K, its number of columns: A[row * K + k].",
        INDEX,
        (
            strided(lambda m, n, k: n, lambda m, n, k: n),
            (("coalesced.cu", "A[row * K + k]", "A[row * N + k]"),),
        ),
    ),
    *mistake(
        "rows of B are N long",
        "The step from one row of B to the next is N, its number of columns: B[k * N + column].",
        INDEX,
        (
            strided(lambda m, n, k: k, lambda m, n, k: k),
            (("coalesced.cu", "B[k * N + column]", "B[k * K + column]"),),
        ),
    ),
    *mistake(
        "rows of C are N long",
        "The step from one row of C to the next is N, its number of columns: C[row * N + column].",
        INDEX,
        (
            stored_with_m,
            (
                ("coalesced.cu", "C[row * N + column]", "C[row * M + column]"),
                ("shared_tile.cu", "C[row * N + column]", "C[row * M + column]"),
            ),
        ),
    ),
    *mistake(
        "B transposed",
        "B is read as if its columns lay one after the other: element (k, column) is B[k * N + column].",
        INDEX,
        (b_by_columns, (("coalesced.cu", "B[k * N + column]", "B[column * K + k]"),)),
    ),
    *mistake(
        "block index forgotten",
        "Every block computes the first rows (or columns): a block's begin at blockIdx times the tile's size.",
        INDEX,
        (
            first_block(high=BLOCK),
            (
                ("coalesced.cu", "blockIdx.y * blockDim.y + threadIdx.y", "threadIdx.y"),
                ("shared_tile.cu", "blockIdx.y * TILE + y", "y"),
            ),
        ),
        (
            first_block(wide=BLOCK),
            (
                ("coalesced.cu", "blockIdx.x * blockDim.x + threadIdx.x", "threadIdx.x"),
                ("shared_tile.cu", "blockIdx.x * TILE + x", "x"),
            ),
        ),
        (
            first_block(high=TALL),
            (("register_tile_1d.cu", "first_row = blockIdx.y * TILE_M", "first_row = 0"),),
        ),
        (
            first_block(wide=TALL),
            (("register_tile_1d.cu", "first_column = blockIdx.x * TILE_N", "first_column = 0"),),
        ),
    ),
    *mistake(
        "rows of threads overlap",
        "Threads one above the other start one row apart and compute the same rows: a thread's first is its number "
        "times ROWS.",
        REGISTERS,
        (overlapping_rows, (("register_tile_1d.cu", "y = thread / TILE_N * ROWS", "y = thread / TILE_N"),)),
    ),
    *mistake(
        "one sum for all rows",
        "All products of a thread go into its first sum: row i has sum[i].",
        REGISTERS,
        (one_sum, (("register_tile_1d.cu", "sum[i] +=", "sum[0] +="),)),
    ),
)
