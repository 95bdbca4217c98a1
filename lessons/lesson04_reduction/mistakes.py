"""The mistakes that lesson 4's checker can name. Each mutant is the reduction in NumPy, with the mistake in it.

A mutant must leave out, or count twice, just what the kernel would: so each follows its kernel's layout, launch after
launch: `passes` for kernels that cut x into equal parts, a block each, `grid_stride` for the one that walks.
"""

from collections.abc import Callable

import numpy as np

from workbench.check.lesson import Mistake, Race, unwritten

TREE = "the notebook, section 2: A tree in a block"
SHUFFLE = "the notebook, section 4: Registers instead of shared memory"
WALK = "the notebook, section 5: The whole grid walks"
ROWS = "the notebook, section 7: Rows, and Triton"
THREADS = 256  # of a block of the CUDA versions: see their launcher
WALKERS, BLOCKS, EACH = 1024, 8192, 16384  # of the one that walks
BLOCK = 16384  # elements of a program of the Triton version
TILE, COLUMNS = 2048, 8192  # of its blocks of rows: elements if the rows are short, and columns at most
NEXT_ROUND = "    __syncthreads();  // the next round reads what other threads wrote in this one\n"

Mutant = Callable[..., np.ndarray]


def passes(blocks_values: Callable[[np.ndarray], np.ndarray], each: int, identity: float = 0.0) -> Mutant:
    """Launches of which each makes `blocks_values` of a table (blocks, each), until one value is left."""

    def mutant(x: np.ndarray) -> np.ndarray:
        while True:
            x = blocks_values(_table(x, each, identity))
            if len(x) == 1:
                return x.reshape(())

    return mutant


def _table(x: np.ndarray, each: int, identity: float) -> np.ndarray:
    """x in rows of `each`, filled up with the identity."""
    table = np.full((max(1, -(-len(x) // each)), each), identity)
    table.reshape(-1)[: len(x)] = x
    return table


def of_threads(part: Callable[[np.ndarray], np.ndarray]) -> Mutant:
    """The warp shuffle version with only a part of what its blocks load, (blocks, 2 loads, 8 warps, 32 lanes)."""
    return passes(lambda table: _sums(part(table.reshape(-1, 2, 8, 32))), 2 * THREADS)


def _sums(parts: np.ndarray) -> np.ndarray:
    return parts.reshape(len(parts), -1).sum(1)


def grid_stride(times: Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]) -> Mutant:
    """The grid-stride version if each element counts `times(element, thread, n, blocks)` times."""

    def mutant(x: np.ndarray) -> np.ndarray:
        while True:
            n, blocks = len(x), min(max(1, -(-len(x) // EACH)), BLOCKS)
            element = np.arange(n)
            thread = np.where(in_packs(element, n), element // 4 % (blocks * WALKERS), n - 1 - element)
            counted = x * times(element, thread, n, blocks)
            x = np.bincount(thread // WALKERS, counted, minlength=blocks)
            if blocks == 1:
                return x.reshape(())

    return mutant


def in_packs(element: np.ndarray, n: int) -> np.ndarray:
    return element < n // 4 * 4


def counted_again(element: np.ndarray, thread: np.ndarray, n: int, blocks: int) -> np.ndarray:
    """Every block walks to the end, from its own first pack on: how many of them meet an element."""
    met = np.minimum(element // 4 // WALKERS + 1, blocks)
    return np.where(in_packs(element, n), met, 1)


def counted_by_all(element: np.ndarray, thread: np.ndarray, n: int, blocks: int) -> np.ndarray:
    """Every block walks from the first block's packs on, and adds the tail."""
    return np.where(in_packs(element, n), (thread < WALKERS) * blocks, blocks)


def past_the_end(each: int, of_nothing: bool = True) -> Mutant:
    """Parts are read whole, whatever n is. of_nothing: also if there is nothing to read."""

    def mutant(x: np.ndarray) -> np.ndarray:
        n = len(x)
        while True:
            if n % each or (n == 0 and of_nothing):
                raise IndexError
            n = max(1, n // each)
            if n == 1:
                return np.asarray(x.sum())

    return mutant


def without_barriers(x: np.ndarray) -> np.ndarray:
    """The sequential tree if warp 0 goes through all rounds before the others have begun theirs."""
    early = [t + away for away in (0, 32, 64, 128) for t in range(32)]
    raise Race(passes(lambda table: table[:, early].sum(1), THREADS)(x))


def one_place(each: int, collide: bool) -> Mutant:
    """Every block writes partial[0], and nobody the others. collide: the PTX machine calls it a race."""

    def mutant(x: np.ndarray) -> np.ndarray:
        if len(x) <= each:
            return np.asarray(x.sum())
        if collide:
            raise Race(np.asarray(np.nan))
        return np.asarray(np.nan)

    return mutant


def first_part_only(each: int) -> Mutant:
    """Every block reduces the first part."""
    return passes(lambda table: np.full(len(table), table[0].sum()), each)


def without_last(each: int) -> Mutant:
    """The last element counts as nothing, in each launch."""

    def mutant(x: np.ndarray) -> np.ndarray:
        while True:
            x = np.where(np.arange(len(x)) == len(x) - 1, 0.0, x)
            x = _table(x, each, 0.0).sum(1)
            if len(x) == 1:
                return x.reshape(())

    return mutant


def one_apart(each: int) -> Mutant:
    """Block b reduces the elements b to b + each - 1."""

    def mutant(x: np.ndarray) -> np.ndarray:
        while True:
            x = np.array([x[block : block + each].sum() for block in range(max(1, -(-len(x) // each)))])
            if len(x) == 1:
                return x.reshape(())

    return mutant


def packs_past_the_end(x: np.ndarray) -> np.ndarray:
    if len(x):
        raise IndexError
    return np.asarray(0.0)


SUM_MISTAKES = (
    Mistake(
        "missing guard",
        "Threads past the end read too: where there is no element, a thread must take the IDENTITY.",
        TREE,
        past_the_end(THREADS),
        slips=(("sequential.cu", "i < n ? x[i] : IDENTITY", "x[i]"),),
    ),
    Mistake(
        "second guard missing",
        "A thread's second element may lie past the end though its first doesn't: it needs a test of its own.",
        SHUFFLE,
        past_the_end(2 * THREADS, of_nothing=False),
        slips=(("warp_shuffle.cu", "i + THREADS < n ? x", "i < n ? x"),),
    ),
    Mistake(
        "packs past the end",
        "A thread reads packs that aren't there: x has n / 4 whole ones, so it walks while p < n / 4.",
        WALK,
        packs_past_the_end,
        slips=(("grid_stride.cu", "p < n / 4;", "p < n;"),),
    ),
    Mistake(
        "last element left out",
        "The last element is never read: the guard must let i = n - 1 through, so i < n.",
        TREE,
        without_last(THREADS),
        slips=(("sequential.cu", "i < n ?", "i < n - 1 ?"),),
    ),
    Mistake(
        "last element left out, in a program",
        "The last element is never read: the mask must let i = n - 1 through, so i < n.",
        ROWS,
        without_last(BLOCK),
        slips=(("reduction.py", "mask=i < n,", "mask=i < n - 1,"),),
    ),
    Mistake(
        "missing mask",
        "The last block of elements reaches past n: the load needs mask=i < n, and other= what counts as nothing.",
        ROWS,
        past_the_end(BLOCK),
        slips=(("reduction.py", "tl.load(x + i, mask=i < n, other=identity)", "tl.load(x + i)"),),
    ),
    Mistake(
        "barrier missing",
        "A thread reads what a thread of another warp may not have written yet: between the two, all must pass a "
        "__syncthreads().",
        TREE,
        without_barriers,
        slips=(
            ("sequential.cu", NEXT_ROUND, ""),
            ("sequential.cu", "IDENTITY;\n  __syncthreads();", "IDENTITY;"),
            ("warp_shuffle.cu", "  __syncthreads();\n", ""),
            ("grid_stride.cu", "  __syncthreads();\n", ""),
        ),
    ),
    Mistake(
        "last round missing",
        "The tree stops a round early, and every second value is left out: the last distance is 1.",
        TREE,
        passes(lambda table: table[:, ::2].sum(1), THREADS),
        slips=(("sequential.cu", "distance > 0", "distance > 1"),),
    ),
    Mistake(
        "first round missing",
        "The tree starts too low, and the second half of the block is left out: the first distance is THREADS / 2.",
        TREE,
        passes(lambda table: table[:, : THREADS // 2].sum(1), THREADS),
        slips=(("sequential.cu", "distance = THREADS / 2", "distance = THREADS / 4"),),
    ),
    Mistake(
        "block index forgotten",
        "Every block reduces the same first elements: blockIdx.x is missing from the index.",
        TREE,
        first_part_only(THREADS),
        slips=(("sequential.cu", "blockIdx.x * THREADS + t", "t"),),
    ),
    Mistake(
        "program index forgotten",
        "Every program reduces the same first elements: the offsets must start at program_id * BLOCK.",
        ROWS,
        first_part_only(BLOCK),
        slips=(("reduction.py", "tl.program_id(0) * BLOCK + tl.arange", "tl.arange"),),
    ),
    Mistake(
        "block size forgotten",
        "Blocks start one element apart and overlap: a block's first element is blockIdx.x * THREADS.",
        TREE,
        one_apart(THREADS),
        slips=(("sequential.cu", "blockIdx.x * THREADS + t", "blockIdx.x + t"),),
    ),
    Mistake(
        "BLOCK forgotten",
        "Programs start one element apart and overlap: a program's first element is program_id * BLOCK.",
        ROWS,
        one_apart(BLOCK),
        slips=(("reduction.py", "tl.program_id(0) * BLOCK + tl.arange", "tl.program_id(0) + tl.arange"),),
    ),
    Mistake(
        "one place for all blocks",
        "All blocks write partial[0], and the other places stay unwritten: a block's value belongs in "
        "partial[blockIdx.x].",
        TREE,
        one_place(THREADS, collide=True),
        slips=(("sequential.cu", "partial[blockIdx.x]", "partial[0]"),),
    ),
    Mistake(
        "one place for all programs",
        "All programs write partial[0], and the other places stay unwritten: a program's value belongs at "
        "partial + program_id.",
        ROWS,
        one_place(BLOCK, collide=False),
        slips=(("reduction.py", "tl.store(partial + tl.program_id(0), ", "tl.store(partial, "),),
    ),
    Mistake(
        "half of the lanes",
        "Only 16 lanes of each warp are combined: a warp has 32, so the first distance is 16.",
        SHUFFLE,
        of_threads(lambda loaded: loaded[..., :16]),
        slips=(("warp_shuffle.cu", "distance = 16", "distance = 8"),),
    ),
    Mistake(
        "half of the lanes, walking",
        "Only 16 lanes of each warp are combined: a warp has 32, so the first distance is 16.",
        SHUFFLE,
        grid_stride(
            lambda element, thread, n, blocks: (thread % 32 < 16) & (thread % WALKERS < WALKERS // 2)
        ),
        slips=(("grid_stride.cu", "distance = 16", "distance = 8"),),
    ),
    Mistake(
        "last shuffle missing",
        "The warp's tree stops a round early, and every second lane is left out: the last distance is 1.",
        SHUFFLE,
        of_threads(lambda loaded: loaded[:, :, ::2, ::2]),
        slips=(("warp_shuffle.cu", "distance > 0", "distance > 1"),),
    ),
    Mistake(
        "warps not combined",
        "Only the first warp of each block counts: the warps' values, one each in shared memory, need a tree too.",
        SHUFFLE,
        of_threads(lambda loaded: loaded[:, :, 0]),
        slips=(
            ("warp_shuffle.cu", "value = combine_warp(lane < THREADS / 32 ? values[lane] : IDENTITY);", ""),
            ("warp_shuffle.cu", "lane < THREADS / 32 ? values", "lane < 1 ? values"),
        ),
    ),
    Mistake(
        "warps not combined, walking",
        "Only the first warp of each block counts: the warps' values, one each in shared memory, need a tree too.",
        SHUFFLE,
        grid_stride(lambda element, thread, n, blocks: thread % WALKERS < 32),
        slips=(
            ("grid_stride.cu", "value = combine_warp(lane < THREADS / 32 ? values[lane] : IDENTITY);", ""),
        ),
    ),
    Mistake(
        "second element forgotten",
        "Only the first of each thread's two elements counts: combine both before the tree.",
        SHUFFLE,
        of_threads(lambda loaded: loaded[:, 0]),
        slips=(("warp_shuffle.cu", "combine_warp(combine(first, second))", "combine_warp(first)"),),
    ),
    Mistake(
        "steps of a block",
        "Blocks walk over one another, and elements are counted several times: a step must pass over the whole grid, "
        "gridDim.x * THREADS packs.",
        WALK,
        grid_stride(counted_again),
        slips=(("grid_stride.cu", "step = gridDim.x * THREADS", "step = THREADS"),),
    ),
    Mistake(
        "block index forgotten, walking",
        "Every block walks over the same packs: a thread's first is blockIdx.x * THREADS + threadIdx.x.",
        WALK,
        grid_stride(counted_by_all),
        slips=(("grid_stride.cu", "first = blockIdx.x * THREADS + t", "first = t"),),
    ),
    Mistake(
        "tail counted by every block",
        "Each block adds the elements that fill no pack: only the grid's first threads may, first < n % 4.",
        WALK,
        grid_stride(lambda element, thread, n, blocks: np.where(in_packs(element, n), 1, blocks)),
        slips=(
            (
                "grid_stride.cu",
                "if (first < n % 4) value = combine(value, x[n - 1 - first]);",
                "if (t < n % 4) value = combine(value, x[n - 1 - t]);",
            ),
        ),
    ),
    Mistake(
        "last pack alone",
        "Each pack takes the place of those before it: combine it with the thread's value.",
        WALK,
        grid_stride(
            lambda element, thread, n, blocks: (
                ~in_packs(element, n) | (element // 4 + blocks * WALKERS >= n // 4)
            )
        ),
        slips=(
            (
                "grid_stride.cu",
                "combine(value, combine(combine(pack.x, pack.y), combine(pack.z, pack.w)))",
                "combine(combine(pack.x, pack.y), combine(pack.z, pack.w))",
            ),
        ),
    ),
    Mistake(
        "one step only",
        "Each thread takes one pack and stops: it must go on in steps of the grid until it is past the last pack.",
        WALK,
        grid_stride(
            lambda element, thread, n, blocks: (element // 4 < blocks * WALKERS) | ~in_packs(element, n)
        ),
        slips=(
            (
                "grid_stride.cu",
                "for (int p = first; p < n / 4; p += step) {",
                "if (const int p = first; p < n / 4) {",
            ),
        ),
    ),
    Mistake(
        "tail forgotten",
        "The elements after the last whole pack of 16 bytes are left out (up to three, in either launch): combine them "
        "one by one.",
        WALK,
        grid_stride(lambda element, thread, n, blocks: in_packs(element, n)),
        slips=(
            (
                "grid_stride.cu",
                "if (first < n % 4) value = combine(value, x[n - 1 - first]);  // what fills no pack",
                "",
            ),
        ),
    ),
    Mistake(
        "one element a pack",
        "Only the first element of each pack counts: combine all four.",
        WALK,
        grid_stride(lambda element, thread, n, blocks: (element % 4 == 0) | ~in_packs(element, n)),
        slips=(
            (
                "grid_stride.cu",
                "combine(combine(pack.x, pack.y), combine(pack.z, pack.w))",
                "pack.x",
            ),
        ),
    ),
)


def maximum(combine: np.ufunc = np.maximum, identity: float = -np.inf) -> Mutant:
    """The sequential version's maximum with another operation or identity."""
    return passes(lambda table: combine.reduce(table, axis=1), THREADS, identity)


MAX_MISTAKES = (
    Mistake(
        "0 for no element",
        "The identity of the maximum is -INFINITY: with 0, nothing negative survives where a block isn't full.",
        TREE,
        maximum(identity=0.0),
        slips=(("sequential.cu", "-INFINITY", "0.0f"),),
    ),
    Mistake(
        "smallest float for no element",
        "The identity of the maximum is -INFINITY: any finite number is larger than -inf, and comes out instead of it.",
        TREE,
        maximum(identity=float(np.finfo(np.float32).min)),
        slips=(("sequential.cu", "-INFINITY", "-3.402823466e+38f"),),
    ),
    Mistake(
        "NaN lost",
        "A NaN must come out as NaN. It is neither larger nor smaller than anything, and fmaxf leaves it out: test for "
        "it, a != a.",
        TREE,
        maximum(np.fmax),
        slips=(
            ("sequential.cu", "(a > b || a != a ? a : b)", "fmaxf(a, b)"),
            ("sequential.cu", "a > b || a != a ?", "a > b ?"),
        ),
    ),
    Mistake(
        "minimum",
        "The smaller of the two is kept, and the identity is smaller than all: keep the larger.",
        TREE,
        maximum(np.minimum),
        slips=(("sequential.cu", "a > b", "a < b"),),
    ),
    Mistake(
        "sum for maximum",
        "The values are added; their maximum is asked for.",
        TREE,
        maximum(np.add, 0.0),
        slips=(
            (
                "sequential.cu",
                "return MAXIMUM ? (a > b || a != a ? a : b) : a + b;",
                "return a + b;\n#undef MAXIMUM\n#define MAXIMUM 0",
            ),
        ),
    ),
)


def of_rows(part: Callable[[np.ndarray, int, float], np.ndarray]) -> Mutant:
    """The reduction of `part(x, block, identity)` along its rows; block: columns that a program takes at a time."""

    def mutant(x: np.ndarray, operation: str) -> np.ndarray:
        combine, identity = (np.add, 0.0) if operation == "sum" else (np.maximum, -np.inf)
        return np.asarray(combine.reduce(part(x, _block(x), identity), axis=1, initial=identity))

    return mutant


def _block(x: np.ndarray) -> int:
    return min(max(16, 1 << max(x.shape[1] - 1, 0).bit_length()), COLUMNS)


def _rows_missing(x: np.ndarray) -> bool:
    """Does the last program have fewer rows than it could take?"""
    return bool(x.size and len(x) % max(1, TILE // _block(x)))


def unmasked(x: np.ndarray, block: int, identity: float) -> np.ndarray:
    if _rows_missing(x) or (x.size and x.shape[1] % block):
        raise IndexError
    return x


def unmasked_rows(x: np.ndarray, block: int, identity: float) -> np.ndarray:
    if _rows_missing(x):
        raise IndexError
    return x


def rows_of_blocks(x: np.ndarray, block: int, identity: float) -> np.ndarray:
    """Row r starts at element r * block."""
    (rows, columns), flat = x.shape, x.reshape(-1)
    return flat[np.arange(rows)[:, None] * block + np.arange(columns)] if x.size else x


def filled_with_zeros(x: np.ndarray, block: int, identity: float) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, -x.shape[1] % block)))


def last_block(x: np.ndarray, block: int, identity: float) -> np.ndarray:
    return x[:, (x.shape[1] - 1) // block * block :] if x.shape[1] else x


def nan_lost(x: np.ndarray, operation: str) -> np.ndarray:
    return np.asarray(np.fmax.reduce(x, axis=1, initial=-np.inf) if operation == "max" else x.sum(1))


def first_rows_only(x: np.ndarray, operation: str) -> np.ndarray:
    """All programs reduce the rows of the first one, and nobody the rest."""
    out = unwritten(len(x), x.dtype)
    first = x[: max(1, TILE // _block(x))]
    out[: len(first)] = of_rows(lambda some, block, identity: some)(first, operation)
    return out


ROWS_MISTAKES = (
    Mistake(
        "missing mask",
        "The last block of columns reaches past the row, and the last block of rows past the table: the load needs a "
        "mask for both.",
        ROWS,
        of_rows(unmasked),
        slips=(("reduction.py", ", mask=inside, other=identity", ""),),
    ),
    Mistake(
        "missing mask for the rows",
        "The last program has fewer rows than ROWS: the load's mask needs row < rows too.",
        ROWS,
        of_rows(unmasked_rows),
        slips=(
            (
                "reduction.py",
                "(row < rows)[:, None] & (column < columns)[None, :]",
                "(column < columns)[None, :]",
            ),
        ),
    ),
    Mistake(
        "long rows cut off",
        "Only the first block of columns counts: go on in steps of BLOCK until the row ends.",
        ROWS,
        of_rows(lambda x, block, identity: x[:, :block]),
        slips=(("reduction.py", "while start < columns:", "if start < columns:"),),
    ),
    Mistake(
        "last block alone",
        "Each block of columns takes the place of those before it: combine it with them.",
        ROWS,
        of_rows(last_block),
        slips=(("reduction.py", "values = combined(values, more, MAXIMUM)", "values = more"),),
    ),
    Mistake(
        "0 for no element",
        "Places past the end of a row count as 0, and a row of negative numbers has a maximum of 0: load with "
        "other=identity.",
        ROWS,
        of_rows(filled_with_zeros),
        slips=(("reduction.py", "mask=inside, other=identity", "mask=inside, other=0.0"),),
    ),
    Mistake(
        "NaN lost",
        "A NaN must come out as NaN, but tl.maximum leaves it out unless asked: propagate_nan=tl.PropagateNan.ALL.",
        ROWS,
        nan_lost,  # no slip: the interpreter always keeps NaN
    ),
    Mistake(
        "rows of BLOCK",
        "Rows start `columns` elements apart, however large BLOCK is.",
        ROWS,
        of_rows(rows_of_blocks),
        slips=(("reduction.py", "row[:, None] * columns", "row[:, None] * BLOCK"),),
    ),
    Mistake(
        "program index forgotten",
        "Every program reduces the first ROWS rows, and nobody the rest: its rows start at program_id * ROWS.",
        ROWS,
        first_rows_only,
        slips=(("reduction.py", "tl.program_id(0) * ROWS + tl.arange", "tl.arange"),),
    ),
)
