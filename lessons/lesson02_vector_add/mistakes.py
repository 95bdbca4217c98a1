"""The mistakes that lesson 2's checker can name. Each mutant is vector_add in NumPy, with the mistake in it."""

from collections.abc import Callable

import numpy as np

from workbench.check.lesson import Mistake, Race, unwritten

INDEX = "lesson 1's notebook, section 2: Which element is mine?"
GUARD = "the notebook, section 2: Three versions of one loop"
TRITON = "the notebook, section 6: The same in Triton"
PACKS = "the notebook, section 5: Sixteen bytes at a time"
THREADS = 256  # a block of the CUDA versions
BLOCK = 16384  # a block of the Triton version


def written_by(index: Callable[[int], np.ndarray]) -> Callable[..., np.ndarray]:
    """vector_add with only the elements `index(n)` written."""

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        c = unwritten(len(a), a.dtype)
        i = index(len(a))
        c[i] = a[i] + b[i]
        return c

    return mutant


def whole_packs(first_only: bool = False) -> Callable[..., np.ndarray]:
    """The 16-byte version without its tail, or with only the first element of each pack added."""

    def mutant(a: np.ndarray, b: np.ndarray, dtype: str) -> np.ndarray:
        width = 8 if dtype == "float16" else 4
        c = a + b
        packed = len(a) // width * width
        if first_only:
            others = np.arange(packed) % width != 0
            c[:packed][others] = a[:packed][others]
        else:
            c[packed:] = np.nan
        return c

    return mutant


def past_the_end(block: int, packs: bool = False) -> Callable[..., np.ndarray]:
    """Whole blocks are added, whatever n is. packs: with 16 bytes a thread."""

    def mutant(a: np.ndarray, b: np.ndarray, dtype: str) -> np.ndarray:
        each = block * (16 // np.dtype(dtype).itemsize if packs else 1)
        return written_by(lambda n: np.arange(-(-n // each) * each))(a, b)

    return mutant


def every_block(
    index: Callable[[int, int], np.ndarray], block: int, collide: bool = True
) -> Callable[..., np.ndarray]:
    """Blocks write elements of one another: all of `index(n, blocks)`. collide: the PTX machine calls it a race."""

    def mutant(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        blocks = -(-len(a) // block)
        c = written_by(lambda n: index(n, blocks))(a, b)
        if collide and blocks > 1:
            raise Race(c)
        return c

    return mutant


def same_block(block: int, collide: bool = True) -> Callable[..., np.ndarray]:
    return every_block(lambda n, blocks: np.arange(min(n, block)), block, collide)


def overlapping_blocks(block: int, collide: bool = True) -> Callable[..., np.ndarray]:
    """Blocks start one element apart: the index misses its factor."""
    return every_block(lambda n, blocks: np.arange(min(n, blocks - 1 + block) if n else 0), block, collide)


MISTAKES = (
    Mistake(
        "missing guard",
        "Threads past the end add too: the last block reaches past n, and only i < n may touch the arrays.",
        GUARD,
        past_the_end(THREADS),
        slips=(("plain.cu", "if (i < n)", "if (true)"), ("plain.cu", "if (i < n)", "if (i <= n)")),
    ),
    Mistake(
        "missing guard for packs",
        "Threads past the end add whole packs too: a pack may be touched only if first + WIDTH <= n.",
        PACKS,
        past_the_end(THREADS, packs=True),
        slips=(("vectorised.cu", "if (first + WIDTH <= n)", "if (true)"),),
    ),
    Mistake(
        "missing mask",
        "The last block of elements reaches past n: both loads and the store need mask=i < n.",
        TRITON,
        past_the_end(BLOCK),
        slips=(
            ("vector_add.py", "tl.store(c + i, x + y, mask=inside)", "tl.store(c + i, x + y)"),
            ("vector_add.py", "x = tl.load(a + i, mask=inside)", "x = tl.load(a + i)"),
        ),
    ),
    Mistake(
        "guard too strict",
        "The last element is never written: the guard must let i = n - 1 through, so i < n.",
        GUARD,
        written_by(lambda n: np.arange(max(n - 1, 0))),
        slips=(
            ("plain.cu", "if (i < n)", "if (i < n - 1)"),
            ("vector_add.py", "inside = i < n", "inside = i < n - 1"),
        ),
    ),
    Mistake(
        "block index forgotten",
        "Every block adds the same first elements, and nobody the rest: blockIdx.x is missing from the index.",
        INDEX,
        same_block(THREADS),
        slips=(("plain.cu", "blockIdx.x * blockDim.x + threadIdx.x", "threadIdx.x"),),
    ),
    Mistake(
        "program index forgotten",
        "Every program adds the same first block, and nobody the rest: the offsets must start at program_id * BLOCK.",
        INDEX,
        same_block(BLOCK, collide=False),
        slips=(("vector_add.py", "tl.program_id(0) * BLOCK + tl.arange", "tl.arange"),),
    ),
    Mistake(
        "block size forgotten",
        "Blocks start one element apart and overlap: a block's first element is blockIdx.x * blockDim.x.",
        INDEX,
        overlapping_blocks(THREADS),
        slips=(("plain.cu", "blockIdx.x * blockDim.x", "blockIdx.x"),),
    ),
    Mistake(
        "BLOCK forgotten",
        "Programs start one element apart and overlap: a program's first element is program_id * BLOCK.",
        INDEX,
        overlapping_blocks(BLOCK, collide=False),
        slips=(("vector_add.py", "tl.program_id(0) * BLOCK", "tl.program_id(0)"),),
    ),
    Mistake(
        "tail forgotten",
        "The elements after the last whole pack of 16 bytes are never written: add them one by one.",
        PACKS,
        whole_packs(),
        slips=(("vectorised.cu", "for (int i = first; i < n; ++i) c[i] = a[i] + b[i];", ""),),
    ),
    Mistake(
        "one element a pack",
        "Only the first element of each pack is a sum: loop over all WIDTH of them.",
        PACKS,
        whole_packs(first_only=True),
        slips=(
            (
                "vectorised.cu",
                "Pack sum;\n    for (int k = 0; k < WIDTH; ++k) sum",
                "Pack sum = x;\n    for (int k = 0; k < 1; ++k) sum",
            ),
        ),
    ),
    Mistake(
        "an operand twice",
        "The result is a + a: b is never added.",
        GUARD,
        lambda a, b: a + a,
        slips=(
            ("plain.cu", "a[i] + b[i]", "a[i] + a[i]"),
            ("vector_add.py", "x + y", "x + x"),
        ),
    ),
    Mistake(
        "difference for sum",
        "The result is a - b; a + b is asked for.",
        GUARD,
        lambda a, b: a - b,
        slips=(("plain.cu", "a[i] + b[i]", "a[i] - b[i]"), ("vector_add.py", "x + y", "x - y")),
    ),
)
