"""The mistakes that lesson 12's checker can name, and the same ones made in the steps' sources."""

from functools import partial

import numpy as np

from flash_attention import reference
from lessons.attention_mistakes import KNOWN, mistakes
from workbench.check.lesson import Mistake, Race

FRAGMENTS = "the notebook, section 2: S, P and O as fragments"
SOFTMAX = "the notebook, section 3: A row in four lanes"
PIPELINE = "the notebook, section 4: Banks, and tiles on their way"
EDGES = "the notebook, section 6: Tiles that nobody sees"
REGISTERS, PREFETCH = "registers.cu", "prefetch.cu"
TILE = 64  # queries of a block, keys of a tile
LOWEST = np.float32(-3e38)


def on_lanes(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    causal: bool = False,
    scale: float | None = None,
    flaw: str = "",
) -> tuple[np.ndarray, np.ndarray]:
    """(o, lse) in float32 as a step's lanes work on it, with one flaw ("": none).

    A tile of keys at a time, the last one first. m and l have a value for each of the four lanes that hold a row: in
    each 8 columns of S and of O, columns 2t and 2t + 1 are lane t's. P is rounded to float16, in which it may overflow
    (no case in bfloat16 comes near that).
    """
    seqlen_q, seqlen_k, head_dim = q.shape[2], k.shape[2], q.shape[3]
    scale = head_dim**-0.5 if scale is None else scale
    if flaw == "scale missing":
        scale = float(np.copysign(np.log(2), scale))
    q, k, v = (padded(np.asarray(x, np.float32)) for x in (q, *(repeated(x, q.shape[1]) for x in (k, v))))
    if flaw in ("swizzle of K", "swizzle"):
        k = scattered(k)
    if flaw in ("swizzle of V", "swizzle"):
        v = scattered(v)
    if flaw == "swizzle":
        q = scattered(q)
    if flaw == "V not transposed":
        v = turned(v)
    if flaw == "halves of V swapped":
        v = v.reshape(*v.shape[:2], v.shape[2] // 16, 2, 8, head_dim)[:, :, :, ::-1].reshape(v.shape)

    i, lane_of_column = np.arange(q.shape[2])[:, None], np.arange(head_dim) % 8 // 2
    limit = (i // TILE * TILE + i % 16 if flaw == "mask of the first warp" else i) + seqlen_k - seqlen_q
    m = np.full((*q.shape[:3], 4), LOWEST)
    l, O = np.zeros_like(m), np.zeros_like(q)
    for j in reversed(range(flaw == "tile forgotten", k.shape[2] // TILE)):
        here = slice(j * TILE, (j + 1) * TILE)
        key = np.arange(here.start, here.stop)
        S = q @ k[:, :, here].swapaxes(2, 3) * np.float32(scale)
        S = np.where((key >= seqlen_k) | (causal & (key > limit)), -np.inf, S)
        highest = np.fmax.reduce(by_lane(S), axis=(3, 5))
        if flaw != "maximum of one lane":
            highest = np.fmax.reduce(highest, axis=3, keepdims=True)
        m_new = np.zeros_like(m) if flaw == "no maximum" else np.fmax(m, highest)
        P, shrink = np.exp(S - m_new[..., key % 8 // 2]), np.exp(m - m_new)
        P *= np.finfo(np.float32).tiny <= P  # smaller ones are 0, as exp2_fast has them
        of_l = np.ones_like(m) if flaw in ("sum not rescaled", "nothing rescaled") else shrink
        of_O = np.ones_like(m) if flaw in ("accumulator not rescaled", "nothing rescaled") else shrink
        if flaw == "rows swapped":
            of_O = of_O[:, :, i[:, 0] ^ 8]
        m, l = m_new, l * of_l + by_lane(P).sum(axis=(3, 5))
        O = O * of_O[..., lane_of_column] + packed(P, flaw) @ v[:, :, here]

    if flaw != "sum of one lane":
        l = np.broadcast_to(l.sum(axis=3, keepdims=True), l.shape)
    o = O * np.where(l == 0, 0, 1 / l)[..., lane_of_column]
    return o[:, :, :seqlen_q], np.where(l == 0, -np.inf, m + np.log(l))[:, :, :seqlen_q, 0]


def repeated(x: np.ndarray, heads: int) -> np.ndarray:
    """K or V with a head for each query head."""
    return np.repeat(x, heads // x.shape[1], axis=1)


def padded(x: np.ndarray) -> np.ndarray:
    """Rows continued by zeros to whole tiles."""
    return np.pad(x, ((0, 0), (0, 0), (0, -x.shape[2] % TILE), (0, 0)))


def by_lane(S: np.ndarray) -> np.ndarray:
    """(..., columns) as (..., columns / 8, lane, 2)."""
    return S.reshape(*S.shape[:3], S.shape[3] // 8, 4, 2)


def packed(P: np.ndarray, flaw: str) -> np.ndarray:
    """P as the product with V gets it."""
    if flaw == "neighbours swapped":
        P = P[..., np.arange(P.shape[3]) ^ 1]
    if flaw == "quarters swapped":
        quarters = P.reshape(*P.shape[:2], P.shape[2] // 16, 2, 8, P.shape[3] // 16, 2, 8)
        P = quarters.swapaxes(3, 6).reshape(P.shape)
    return P.astype(np.float16).astype(np.float32)


def scattered(x: np.ndarray) -> np.ndarray:
    """Chunks of 8 columns lie at chunk ^ (row % 8) and are read as if they didn't, or the other way round."""
    chunks = x.reshape(*x.shape[:3], x.shape[3] // 8, 8)
    row = np.arange(x.shape[2])[:, None]
    return chunks[:, :, row, np.arange(chunks.shape[3]) ^ row % 8].reshape(x.shape)


def turned(x: np.ndarray) -> np.ndarray:
    """Each 8 x 8 transposed."""
    return x.reshape(*x.shape[:2], x.shape[2] // 8, 8, x.shape[3] // 8, 8).swapaxes(3, 5).reshape(x.shape)


def racing(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    late: bool,
    causal: bool = False,
    scale: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Two stages, used in turn, and nobody waits. late: a tile comes late, and what was in its stage before is read,
    the tile two further on. Else it goes early, and what comes next is read, if there are three tiles or more."""
    if not q.size or k.shape[2] <= (0 if late else 2 * TILE):
        return reference.attention(q, k, v, causal=causal, scale=scale)
    other_k, other_v = (np.zeros_like(x) if late else x.copy() for x in (k, v))
    for other, x in ((other_k, k), (other_v, v)):
        if late:
            other[:, :, : -2 * TILE] = x[:, :, 2 * TILE :]
        else:
            other[:, :, 2 * TILE :] = x[:, :, : -2 * TILE]
    raise Race(reference.attention(q, other_k, other_v, causal=causal, scale=scale))


MASK = "if (key >= seqlen_k || key > row + shift) S[i][c][e] = -INFINITY;"
ROW = "row = row_0 + i * 16 + g + e / 2 * 8;\n          if"
V_LOAD = "ldmatrix_x4_transposed(V, "
UPDATE = "O[i][d][2 * half] *= shrink, O[i][d][2 * half + 1] *= shrink;"
SUM = "      sum += __shfl_xor_sync(~0u, sum, 1);\n      sum += __shfl_xor_sync(~0u, sum, 2);\n"
HIGHEST = (
    "        highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 1));\n"
    "        highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 2));\n"
)
WAIT = """    wait_copy_groups<0>();
    __syncthreads();  // K_j and V_j have arrived, and nobody reads the other stage any more
"""
LOAD = """    if (j > 0) {
      k_next -= BC * k_row;
      v_next -= BC * v_row;
      load_tile<BC>(K_smem + (stage ^ TILE), k_next, k_row, BC);
      load_tile<BC>(V_smem + (stage ^ TILE), v_next, v_row, BC);
    }
    end_copy_group();
"""
SWIZZLE = (
    "Chunks are stored in swizzled places and read from plain ones, or the other way round: chunk c of row r must be "
    "looked for where load_tile put it, at c ^ (r % 8)."
)

Slips = tuple[tuple[str, str, str], ...]
# (name, sentence, where the lesson speaks of it, flaw of `on_lanes`, slips)
OWN: tuple[tuple[str, str, str, str, Slips], ...] = (
    (
        "P packed in the wrong order",
        "In each 16 x 16 of P the upper right and the lower left quarter have changed places: P[0] and P[1] come from "
        "the left tile of S, rows g and g + 8, P[2] and P[3] from the right one.",
        FRAGMENTS,
        "quarters swapped",
        ((REGISTERS, "&S[i][2 * c + e / 2][e % 2 * 2]", "&S[i][2 * c + e % 2][e / 2 * 2]"),),
    ),
    (
        "neighbouring keys swapped",
        "The two elements of a register of P have changed places: the one of the smaller key lies in the lower half.",
        FRAGMENTS,
        "neighbours swapped",
        ((REGISTERS, "pack<scalar>(pair[0], pair[1])", "pack<scalar>(pair[1], pair[0])"),),
    ),
    (
        "V not transposed",
        "Each 8 x 8 of V is transposed: V lies row after row, so it takes ldmatrix with .trans to become B.",
        FRAGMENTS,
        "V not transposed",
        ((REGISTERS, V_LOAD, "ldmatrix_x4(V, "), (PREFETCH, V_LOAD, "ldmatrix_x4(V, ")),
    ),
    (
        "halves of V swapped",
        "In each 16 rows of V, rows 0 to 7 and 8 to 15 have changed places: the even registers come first in mma.",
        FRAGMENTS,
        "halves of V swapped",
        (
            (
                REGISTERS,
                "ldmatrix_x4_transposed(V, V_row + stage + c * 16 * ROW + (V_chunk ^ 32 * d));",
                "uint32_t W[4];\n"
                "ldmatrix_x4_transposed(W, V_row + stage + c * 16 * ROW + (V_chunk ^ 32 * d));\n"
                "V[0] = W[1], V[1] = W[0], V[2] = W[3], V[3] = W[2];",
            ),
        ),
    ),
    (
        "rows g and g + 8 swapped",
        "A row of O is rescaled by the factor of the row 8 further: elements 0 and 1 of a fragment are row g, "
        "elements 2 and 3 row g + 8.",
        SOFTMAX,
        "rows swapped",
        ((REGISTERS, UPDATE, "O[i][d][2 - 2 * half] *= shrink, O[i][d][3 - 2 * half] *= shrink;"),),
    ),
    (
        "maximum of one lane",
        "Each lane has found the highest of its own 16 scores. A row lies in four lanes: ask the other three, by "
        "__shfl_xor_sync at distances 1 and 2.",
        SOFTMAX,
        "maximum of one lane",
        ((REGISTERS, HIGHEST, ""),),
    ),
    (
        "sum of one lane",
        "Each lane divides by the sum of its own columns. A row lies in four lanes: add up theirs, by __shfl_xor_sync "
        "at distances 1 and 2.",
        SOFTMAX,
        "sum of one lane",
        ((REGISTERS, SUM, ""),),
    ),
    (
        "swizzle on one side only",
        SWIZZLE,
        PIPELINE,
        "swizzle of K",
        ((REGISTERS, "K_chunk = 16 * (lane / 8 % 2 ^ lane % 8)", "K_chunk = 16 * (lane / 8 % 2)"),),
    ),
    (
        "swizzle on one side only",
        SWIZZLE,
        PIPELINE,
        "swizzle of V",
        ((REGISTERS, "V_chunk = Q_chunk;", "V_chunk = 16 * (lane / 16);"),),
    ),
    (
        "swizzle on one side only",
        SWIZZLE,
        PIPELINE,
        "swizzle",
        ((REGISTERS, "tile + 16 * swizzled<WIDTH>(row, chunk)", "tile + 16 * (row * WIDTH + chunk)"),),
    ),
    (
        "first keys forgotten",
        "The tile of the first keys, which comes last, is never worked on: the loop must go on when nothing is left to "
        "fetch.",
        PIPELINE,
        "tile forgotten",
        ((PREFETCH, "stage = 0; j >= 0; --j", "stage = 0; j > 0; --j"),),
    ),
    (
        "each warp masks as the first",
        "The mask is that of the block's first 16 queries: each warp has 16 rows of its own, from row_0 on.",
        EDGES,
        "mask of the first warp",
        (
            (REGISTERS, ROW, ROW.replace("row_0", "first_row")),
            (PREFETCH, ROW, ROW.replace("row_0", "first_row")),
        ),
    ),
    (
        "accumulator not rescaled",
        KNOWN["accumulator not rescaled"][0],
        SOFTMAX,
        "accumulator not rescaled",
        ((REGISTERS, UPDATE, ";"),),
    ),
    (
        "sum not rescaled",
        KNOWN["sum not rescaled"][0],
        SOFTMAX,
        "sum not rescaled",
        ((REGISTERS, "        l[i][half] *= shrink;\n", ""),),
    ),
    (
        "nothing rescaled",
        KNOWN["nothing rescaled"][0],
        SOFTMAX,
        "nothing rescaled",
        ((REGISTERS, "shrink = exp2_fast(m[i][half] - m_new)", "shrink = 1.0f"),),
    ),
    (
        "no maximum subtracted",
        KNOWN["no maximum subtracted"][0],
        SOFTMAX,
        "no maximum",
        ((REGISTERS, "m_new = fmaxf(m[i][half], highest * scale_log2)", "m_new = 0.0f"),),
    ),
    (
        "scale missing",
        "The scores are not multiplied by scale_log2, which holds the scale and log2(e).",
        SOFTMAX,
        "scale missing",
        ((REGISTERS, "float scale_log2) {", "float) {\n  const float scale_log2 = 1;"),),
    ),
)
RACES = (
    Mistake(
        "read too early",
        "A tile is read before it is there: wait_copy_groups waits for this thread's copies, and __syncthreads() after "
        "it for everybody's.",
        PIPELINE,
        partial(racing, late=True),
        (
            (PREFETCH, "    wait_copy_groups<0>();\n", ""),
            (PREFETCH, "    wait_copy_groups<0>();\n", "    wait_copy_groups<1>();\n"),
            (
                PREFETCH,
                "    __syncthreads();  // K_j and V_j have arrived",
                "    // K_j and V_j have arrived",
            ),
        ),
    ),
    Mistake(
        "overwritten too early",
        "A tile is overwritten while slower warps still read it: fetch into the other stage after the barrier that "
        "says that all have read it.",
        PIPELINE,
        partial(racing, late=False),
        ((PREFETCH, WAIT + LOAD, LOAD + WAIT.replace("<0>", "<1>")),),
    ),
)
SHARED: dict[str, Slips] = {  # of lessons 8 to 10, in this lesson's files
    "maximum started at 0": ((REGISTERS, "m[i][0] = m[i][1] = LOWEST;", "m[i][0] = m[i][1] = 0;"),),
    "not normalised": ((REGISTERS, "over_l = sum == 0 ? 0.0f : 1.0f / sum", "over_l = 1.0f"),),
    "wrong exponent base": ((PREFETCH, "expf(", "exp2f("),),
    "LSE without the maximum": ((REGISTERS, "(m[i][half] + log2f(sum)) *", "log2f(sum) *"),),
    "LSE in base 2": ((REGISTERS, " * 0.693147181f", ""),),
    "last ragged tile dropped": ((REGISTERS, "j = (seqlen_k + BC - 1) / BC - 1", "j = seqlen_k / BC - 1"),),
    "padding keys counted": (
        (REGISTERS, "key >= seqlen_k || key > row + shift", "shift < seqlen_k && key > row + shift"),
    ),
    "last queries not written": (
        (REGISTERS, "if (row >= seqlen_q) continue;", "if (row >= seqlen_q / BR * BR) continue;"),
    ),
    "causal mask ignored": ((REGISTERS, MASK, MASK.replace(" || key > row + shift", "")),),
    "causal off by one": ((REGISTERS, "key > row + shift", "key >= row + shift"),),
    "causal mask top-left": ((REGISTERS, "key > row + shift", "key > row + (shift < seqlen_k ? 0 : shift)"),),
    "diagonal tile skipped": (
        (
            REGISTERS,
            MASK,
            MASK.replace("key > row + shift", "shift < seqlen_k && (j + 1) * BC - 1 > first_row + shift"),
        ),
    ),
    "wrong K/V head": ((REGISTERS, "head % heads / group", "head % heads % (heads / group)"),),
    "fully masked row is NaN": ((REGISTERS, "sum == 0 ? 0.0f : 1.0f / sum", "1.0f / sum"),),
    "strides ignored": (),
}
MISTAKES = (
    *(
        Mistake(name, sentence, where, partial(on_lanes, flaw=flaw), slips)
        for name, sentence, where, flaw, slips in OWN
    ),
    *RACES,
    *mistakes(
        {name: SOFTMAX if place < 5 else EDGES for place, name in enumerate(SHARED)},
        blocks=((TILE, TILE),),
        slips=SHARED,
    ),
)
