"""The mistakes that lesson 7's checker can name: `flawed` computes the online softmax in NumPy, with one flaw in it.

What a flaw leads to depends on who sees which columns, so most come once for each layout of the shipped versions.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from workbench.check.lesson import Mistake

OVERFLOW = "the notebook, section 1: Why the maximum is subtracted"
PASSES = "the notebook, section 2: Three passes, then two"
MERGE = "the notebook, section 3: The merge"
KERNELS = "the notebook, section 4: In CUDA and in Triton"

Layout = tuple[int, int]  # threads that share a row, and columns that each looks at at a time
ONE_BY_ONE, PARTS, CUDA, TRITON = (1, 1), (1, 64), (256, 1), (1, 1024)
LAYOUTS = (ONE_BY_ONE, PARTS, CUDA, TRITON)


def flawed(x: np.ndarray, *, layout: Layout = ONE_BY_ONE, flaw: str = "") -> tuple[np.ndarray, np.ndarray]:
    """(softmax, log-sum-exp) of each row in float32, as threads of a layout find them, with one flaw ("": none).

    A flaw that ends in "64" happens in float64, in which NumPy submissions compute.
    """
    x = np.asarray(x, dtype=np.float64 if flaw.endswith(" 64") else np.float32)
    flaw = flaw.removesuffix(" 64")
    rows, columns = x.shape
    threads, width = (1024, 1) if layout == CUDA and columns > 8192 else layout
    exp = np.exp2 if flaw == "base 2" else np.exp
    if flaw == "wrong axis":
        m = x.max(axis=0, initial=-np.inf, keepdims=True)
        p = exp(x - m)
        return p / p.sum(axis=0, keepdims=True), (m + np.log(p.sum(axis=0, keepdims=True)))[0][:rows]

    def finite(m: np.ndarray) -> np.ndarray:
        return m if flaw == "unguarded" else np.where(np.isneginf(m), 0, m)

    def merge(
        m: np.ndarray, l: np.ndarray, other_m: np.ndarray, other_l: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        m_new = 0 * m if flaw == "no maximum" else np.fmax(m, other_m)
        old = 1 if flaw in ("old not rescaled", "nothing rescaled") else exp(m - finite(m_new))
        old = exp(m_new - finite(m)) if flaw == "inverse" else old
        new = 1 if flaw in ("new not rescaled", "nothing rescaled") else exp(other_m - finite(m_new))
        return finite(m_new) if flaw == "finite kept" else m_new, l * old + other_l * new

    step = threads * width
    whole = columns // step * step if flaw == "tail dropped" else columns
    steps = -(-whole // step)
    padding = ((0, 0), (0, steps * step - whole))
    filler = 0 if flaw == "padding counted" else -np.inf
    seen = np.pad(x[:, :whole], padding, constant_values=filler).reshape(rows, steps, threads, width)
    m = np.full((rows, threads), 0 if flaw in ("no maximum", "maximum from 0") else -np.inf, x.dtype)
    l = np.zeros_like(m)
    for place in range(steps):
        part = seen[:, place]
        there = slice(0, max(min(columns - place * step, threads), 0)) if width == 1 else slice(None)
        part_m = np.zeros(part.shape[:2]) if flaw == "no maximum" else np.fmax.reduce(part, axis=2)
        part_l = exp(part - finite(part_m)[:, :, None]).sum(axis=2) if width > 1 else np.ones_like(part_m)
        m[:, there], l[:, there] = merge(m[:, there], l[:, there], part_m[:, there], part_l[:, there])
    if threads > 1 and flaw != "threads apart":
        for distance in (16, 8, 4, 2, 1):
            other = np.arange(threads) ^ distance
            m, l = merge(m, l, m[:, other], l[:, other])
        m, l = m[:, ::32], l[:, ::32]  # of each warp
        for warp in range(1, 1 if flaw == "first warp alone" else threads // 32):
            m[:, :1], l[:, :1] = merge(m[:, :1], l[:, :1], m[:, warp : warp + 1], l[:, warp : warp + 1])
        m, l = m[:, :1], l[:, :1]

    whose = np.arange(columns) % m.shape[1]
    y = exp(x - finite(m)[:, whose])
    if flaw != "not normalised":
        y = y / (l if flaw == "unguarded" else np.where(l == 0, 1, l))[:, whose]
    lse = {
        "lse without m": np.log(l),
        "lse base 2": (m + np.log(l)) / np.log(2),
        "lse log2": m + np.log2(l),
    }.get(flaw, m + np.log(l))
    return y, lse[:, 0]


def known(
    name: str,
    sentence: str,
    read: str,
    flaws: Sequence[str],
    layouts: Sequence[Layout] = (ONE_BY_ONE,),
    slips: tuple[tuple[str, str, str], ...] = (),
) -> tuple[Mistake, ...]:
    """One mistake for each flaw and layout, all of one name."""
    mutants = [partial(flawed, layout=layout, flaw=flaw) for flaw in flaws for layout in layouts]
    return tuple(
        Mistake(name, sentence, read, mutant, slips if i == 0 else ()) for i, mutant in enumerate(mutants)
    )


MISTAKES = (
    *known(
        "no maximum subtracted",
        "exp(x) overflows for large x: the maximum must be subtracted first.",
        OVERFLOW,
        ["no maximum", "no maximum 64"],
    ),
    *known(
        "maximum started at 0",
        "The running maximum must start at -inf: started at 0, exp(x - m) vanishes where all x are very negative.",
        OVERFLOW,
        ["maximum from 0", "maximum from 0 64"],
        slips=(
            ("online.cu", "Statistics row = {-INFINITY, 0.0f}", "Statistics row = {0.0f, 0.0f}"),
            ("triton_version.py", 'm, l = -float("inf"), 0.0', "m, l = 0.0, 0.0"),
        ),
    ),
    *known(
        "sum not rescaled",
        "When the maximum moves, the sum so far must be multiplied by exp(m_old - m_new).",
        PASSES,
        ["old not rescaled", "nothing rescaled"],
        LAYOUTS,
        slips=(
            ("numpy_version.py", "l = l * np.exp(m - finite(m_new)) + np.exp", "l = l + np.exp"),
            ("triton_version.py", "l = l * tl.exp(m - finite(m_new)) + tl.sum", "l = l + tl.sum"),
            ("online.cu", "a.l * expf(a.m - finite(m)) + b.l * expf(b.m - finite(m))", "a.l + b.l"),
            ("online.cu", "a.l * expf(a.m - finite(m)) +", "a.l +"),
        ),
    ),
    *known(
        "rescaled by the inverse factor",
        "The sum so far is multiplied by exp(m_new - m_old); it must shrink when m grows, by exp(m_old - m_new).",
        PASSES,
        ["inverse", "inverse 64"],
        [ONE_BY_ONE, TRITON],
        slips=(
            ("numpy_version.py", "np.exp(m - finite(m_new)) +", "np.exp(m_new - finite(m)) +"),
            ("triton_version.py", "tl.exp(m - finite(m_new)) +", "tl.exp(m_new - finite(m)) +"),
        ),
    ),
    *known(
        "0 kept as the maximum",
        "finite(m) is only for subtracting: where it is kept as the maximum, 0 stays it for whatever comes below.",
        MERGE,
        ["finite kept", "finite kept 64"],
        [ONE_BY_ONE, TRITON, PARTS],
        slips=(
            ("numpy_version.py", "            m = m_new", "            m = finite(m_new)"),
            ("triton_version.py", "        m = m_new", "        m = finite(m_new)"),
        ),
    ),
    *known(
        "only one sum rescaled",
        "In a merge either part may have the smaller maximum: both sums must be brought to the common one.",
        MERGE,
        ["new not rescaled"],
        LAYOUTS,
        slips=(
            ("numpy_version.py", "b[1] * np.exp(b[0] - finite(m))", "b[1]"),
            ("online.cu", "+ b.l * expf(b.m - finite(m))", "+ b.l"),
        ),
    ),
    *known(
        "threads not merged",
        "Each thread divides by the sum of its own columns: the threads' (m, l) must be merged over the whole block.",
        KERNELS,
        ["threads apart", "first warp alone"],
        [CUDA],
        slips=(("online.cu", "for (int w = 1; w < WARPS; ++w) mine = combine(mine, of_warp[w]);", ""),),
    ),
    *known(
        "last columns left out",
        "Columns after the last whole block are in no sum: rows end anywhere, so round up, and mask.",
        KERNELS,
        ["tail dropped"],
        [CUDA, TRITON, PARTS],
        slips=(
            (
                "online.cu",
                "j < columns; j += THREADS) row = merge",
                "j < columns / THREADS * THREADS; j += THREADS) row = merge",
            ),
        ),
    ),
    *known(
        "padding counted",
        "What fills up the last block counts as zeros: it must be -inf, which adds nothing to the sum.",
        KERNELS,
        ["padding counted"],
        [TRITON, PARTS],
        slips=(("triton_version.py", 'other=-float("inf")', "other=0.0"),),
    ),
    *known(
        "row of -inf is NaN",
        "-inf - -inf is NaN: where the maximum is -inf, subtract 0 (and don't divide by a sum of 0).",
        MERGE,
        ["unguarded"],
        LAYOUTS,
        slips=(
            ("numpy_version.py", "return np.where(np.isneginf(m), 0, m)", "return m"),
            ("online.cu", "return m == -INFINITY ? 0.0f : m;", "return m;"),
            ("triton_version.py", 'return tl.where(m == -float("inf"), 0.0, m)', "return m"),
        ),
    ),
    *known(
        "wrong exponent base",
        "The sum adds powers of 2: exp(x) is exp2(x * log2(e)), and the log2(e) is missing.",
        OVERFLOW,
        ["base 2"],
        slips=(("online.cu", "expf(", "exp2f("), ("triton_version.py", "tl.exp(", "tl.exp2(")),
    ),
    *known(
        "not normalised",
        "The output is exp(x - m): it is never divided by the sum l.",
        PASSES,
        ["not normalised"],
        slips=(("online.cu", " / nonzero(row.l)", ""),),
    ),
    *known(
        "LSE without the maximum",
        "The log-sum-exp is log(l) alone: the maximum that was subtracted must be added again, m + log(l).",
        MERGE,
        ["lse without m"],
        slips=(("online.cu", "row.m + logf(row.l)", "logf(row.l)"),),
    ),
    *known(
        "LSE in base 2",
        "The log-sum-exp counts in powers of 2 (in part, at least): the natural logarithm is asked for.",
        MERGE,
        ["lse base 2", "lse log2"],
        slips=(("online.cu", "row.m + logf(row.l)", "row.m + log2f(row.l)"),),
    ),
)
