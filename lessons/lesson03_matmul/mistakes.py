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


def late_start(depth: int) -> Matmul:
    """Each tile without its first product."""
    return only(lambda k: np.flatnonzero(np.arange(k) % depth))


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


Place = Callable[..., np.ndarray]  # of (row, column, M, N, K)


def addressed(
    of_a: Place = lambda row, column, m, n, k: row * k + column,
    of_b: Place = lambda row, column, m, n, k: row * n + column,
    of_c: Place = lambda row, column, m, n, k: row * n + column,
) -> Matmul:
    """Element (row, column) of A, of B or of C is taken to lie elsewhere in its memory."""

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        (m, k), n = a.shape, b.shape[1]
        if m * n == 0:
            return a @ b

        def places(of: Place, rows: int, columns: int) -> np.ndarray:
            return of(np.arange(rows)[:, None], np.arange(columns), m, n, k)

        written = places(of_c, m, n)
        c = unwritten(m * n, a.dtype)
        c[written] = a.reshape(-1)[places(of_a, m, k)] @ b.reshape(-1)[places(of_b, k, n)]
        if np.unique(written).size < m * n:
            raise Race(c.reshape(m, n))
        return c.reshape(m, n)

    return mutant


def past_k(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.shape[0] and b.shape[1]:
        raise IndexError("there is no product K")
    return a @ b


def written_to(reach: Callable[[int, int], tuple[int, int]]) -> Matmul:
    """Only the first rows and columns of C are written: `reach(M, N)` of them. Further ones aren't there."""

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        right = a @ b
        high, wide = reach(*right.shape)
        if right.size and (high > right.shape[0] or wide > right.shape[1]):
            raise IndexError("past the end")
        c = unwritten(right.shape, right.dtype)
        c[:high, :wide] = right[:high, :wide]
        return c

    return mutant


def swapped_guard(m: int, n: int) -> tuple[int, int]:
    """row < N && column < M, of the threads that there are."""
    return min(n, tiles(m, BLOCK) * BLOCK), min(m, tiles(n, BLOCK) * BLOCK)


def swapped_blocks(tile: int) -> Matmul:
    """blockIdx.x counts tiles down, blockIdx.y across."""
    return written_to(lambda m, n: (min(m, tiles(n, tile) * tile), min(n, tiles(m, tile) * tile)))


def nothing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return unwritten((a.shape[0], b.shape[1]), a.dtype)


def nothing_of_nothing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """C isn't written where K is 0."""
    return a @ b if a.shape[1] else nothing(a, b)


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


def same_rows_of_a(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The threads of a column all multiply the first EACH rows of the tile of A."""
    row = np.arange(len(a))
    return a[row // TALL * TALL + row % EACH] @ b


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
        "guard too strict",
        "The last row and the last column are never written: row < M && column < N lets them through.",
        INDEX,
        (
            written_to(lambda m, n: (max(m - 1, 0), max(n - 1, 0))),
            tuple(
                (f"{step}.cu", "if (row < M && column < N)", "if (row < M - 1 && column < N - 1)")
                for step in ("coalesced", "shared_tile", "register_tile_1d")
            ),
        ),
    ),
    *mistake(
        "guard with M and N swapped",
        "C has M rows and N columns: the guard must be row < M && column < N.",
        INDEX,
        (
            written_to(swapped_guard),
            (("coalesced.cu", "if (row < M && column < N)", "if (row < N && column < M)"),),
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
        "first product left out",
        "The loop over k starts at 1, so the first product (of each tile) is missing.",
        INDEX,
        (late_start(DEEP), (("shared_tile.cu", "int k = 0; k < TILE;", "int k = 1; k < TILE;"),)),
        (late_start(SHALLOW), (("register_tile_1d.cu", "int k = 0; k < TILE_K;", "int k = 1; k < TILE_K;"),)),
        (only(lambda k: np.arange(1, k)), (("coalesced.cu", "int k = 0;", "int k = 1;"),)),
    ),
    *mistake(
        "sum never set to 0",
        "No sum arrives in C: it must be 0 before the first product, and be stored after the last one.",
        INDEX,
        (
            nothing,
            (
                ("coalesced.cu", "float sum = 0.0f", "float sum"),
                ("shared_tile.cu", "float sum = 0.0f", "float sum"),
                ("register_tile_1d.cu", "float sum[ROWS] = {}", "float sum[ROWS]"),
                ("coalesced.cu", "C[row * N + column] = sum;", ""),
            ),
        ),
    ),
    *mistake(
        "nothing stored where K is 0",
        "C stays unwritten where there is no product at all: store the sum after the loop, not in it.",
        INDEX,
        (
            nothing_of_nothing,
            (
                (
                    "coalesced.cu",
                    "B[k * N + column];\n    }\n    C[row * N + column] = sum;",
                    "B[k * N + column];\n      C[row * N + column] = sum;\n    }",
                ),
            ),
        ),
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
            addressed(of_a=lambda row, column, m, n, k: row * n + column),
            (
                ("coalesced.cu", "A[row * K + k]", "A[row * N + k]"),
                ("register_tile_1d.cu", "A[row * K + k]", "A[row * N + k]"),
            ),
        ),
    ),
    *mistake(
        "rows of B are N long",
        "The step from one row of B to the next is N, its number of columns: B[k * N + column].",
        INDEX,
        (
            addressed(of_b=lambda row, column, m, n, k: row * k + column),
            (
                ("coalesced.cu", "B[k * N + column]", "B[k * K + column]"),
                ("register_tile_1d.cu", "B[k * N + column]", "B[k * K + column]"),
            ),
        ),
    ),
    *mistake(
        "rows of C are N long",
        "The step from one row of C to the next is N, its number of columns: C[row * N + column].",
        INDEX,
        (
            addressed(of_c=lambda row, column, m, n, k: row * m + column),
            (
                ("coalesced.cu", "C[row * N + column]", "C[row * M + column]"),
                ("shared_tile.cu", "C[row * N + column]", "C[row * M + column]"),
            ),
        ),
    ),
    *mistake(
        "A transposed",
        "A is read as if its columns lay one after the other: element (row, k) is A[row * K + k].",
        INDEX,
        (
            addressed(of_a=lambda row, column, m, n, k: column * m + row),
            (("coalesced.cu", "A[row * K + k]", "A[k * M + row]"),),
        ),
        (
            addressed(of_a=lambda row, column, m, n, k: column * k + row),
            (("coalesced.cu", "A[row * K + k]", "A[k * K + row]"),),
        ),
    ),
    *mistake(
        "B transposed",
        "B is read as if its columns lay one after the other: element (k, column) is B[k * N + column].",
        INDEX,
        (
            addressed(of_b=lambda row, column, m, n, k: column * k + row),
            (("coalesced.cu", "B[k * N + column]", "B[column * K + k]"),),
        ),
        (
            addressed(of_b=lambda row, column, m, n, k: column * n + row),
            (("coalesced.cu", "B[k * N + column]", "B[column * N + k]"),),
        ),
    ),
    *mistake(
        "C transposed",
        "C is stored as if its columns lay one after the other: element (row, column) is C[row * N + column].",
        INDEX,
        (
            addressed(of_c=lambda row, column, m, n, k: column * m + row),
            (("coalesced.cu", "C[row * N + column]", "C[column * M + row]"),),
        ),
        (
            addressed(of_c=lambda row, column, m, n, k: column * n + row),
            (("coalesced.cu", "C[row * N + column]", "C[column * N + row]"),),
        ),
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
        "blockIdx.x and blockIdx.y swapped",
        "The grid has blockIdx.x along the columns of C and blockIdx.y along its rows: some tiles are never computed.",
        INDEX,
        (
            swapped_blocks(BLOCK),
            (
                (
                    "coalesced.cu",
                    "blockIdx.y * blockDim.y + threadIdx.y;\n  const int column = blockIdx.x *",
                    "blockIdx.x * blockDim.y + threadIdx.y;\n  const int column = blockIdx.y *",
                ),
                (
                    "shared_tile.cu",
                    "blockIdx.y * TILE + y;\n  const int column = blockIdx.x *",
                    "blockIdx.x * TILE + y;\n  const int column = blockIdx.y *",
                ),
            ),
        ),
        (
            swapped_blocks(TALL),
            (
                (
                    "register_tile_1d.cu",
                    "blockIdx.y * TILE_M, first_column = blockIdx.x",
                    "blockIdx.x * TILE_M, first_column = blockIdx.y",
                ),
            ),
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
        "same rows of A for all",
        "All threads of a column multiply the first ROWS rows of A_tile: a thread's begin at its y, A_tile[y + i][k].",
        REGISTERS,
        (same_rows_of_a, (("register_tile_1d.cu", "A_tile[y + i][k]", "A_tile[i][k]"),)),
    ),
    *mistake(
        "one sum for all rows",
        "All products of a thread go into its first sum: row i has sum[i].",
        REGISTERS,
        (one_sum, (("register_tile_1d.cu", "sum[i] +=", "sum[0] +="),)),
    ),
)
