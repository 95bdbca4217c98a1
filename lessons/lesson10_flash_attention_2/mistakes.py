"""The mistakes that lesson 10's checker can name, and the same ones made in the shipped sources."""

from functools import partial

import numpy as np

from lessons.attention_mistakes import KNOWN, mistakes
from workbench.check.lesson import Mistake

LOOP = "the notebook, section 2: The loops change places"
EDGES = "the notebook, section 3: Tiles that nobody visits"
NUMPY, TRITON, CUDA = "numpy_version.py", "triton_version.py", "flash_v2.cu"

SLIPS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "no maximum subtracted": ((NUMPY, "m_new = np.maximum(mi, S.max(axis=1))", "m_new = np.zeros(len(S))"),),
    "maximum started at 0": (
        (NUMPY, "np.full(len(diagonal), -np.inf, Q.dtype)", "np.zeros(len(diagonal), Q.dtype)"),
        (TRITON, 'm = tl.full((BR,), float("-inf"), tl.float32)', "m = tl.zeros((BR,), tl.float32)"),
        (CUDA, "m[r] = -INFINITY;", "m[r] = 0.0f;"),
    ),
    "accumulator not rescaled": (
        (NUMPY, "rescale[:, None] * Oi", "Oi"),
        (TRITON, "O * rescale[:, None]", "O"),
        (CUDA, "O[r][i].at[e] *= rescale;", "O[r][i].at[e] *= 1.0f;"),
    ),
    "sum not rescaled": (
        (NUMPY, "rescale * li", "li"),
        (TRITON, "l = l * rescale + tl.sum(P, 1)", "l = l + tl.sum(P, 1)"),
        (CUDA, "l[r] *= rescale;", ""),
    ),
    "nothing rescaled": (
        (NUMPY, "rescale = np.exp(mi - finite(m_new))", "rescale = np.ones(len(mi))"),
        (TRITON, "rescale = tl.exp2(m - base)", "rescale = tl.exp2(base - base)"),
        (CUDA, "rescale = expf(m_old - base)", "rescale = 1.0f"),
    ),
    "rescaled by the inverse factor": (
        (NUMPY, "rescale = np.exp(mi - finite(m_new))", "rescale = np.exp(finite(m_new) - finite(mi))"),
        (CUDA, "expf(m_old - base)", "expf(base - m_old)"),
    ),
    "tile measured by its own maximum": (
        (NUMPY, "np.exp(S - finite(m_new)[:, None])", "np.exp(S - finite(S.max(axis=1))[:, None])"),
    ),
    "exp in place of exp2": (
        (TRITON, "tl.exp2(", "tl.exp("),
        (TRITON, "P = tl.exp2(", "P = tl.exp("),
    ),
    "scale applied twice": ((NUMPY, "S = Qi @ Kj.T * scale", "S = Qi @ Kj.T * scale * scale"),),
    "not normalised": (
        (NUMPY, "Oi = Oi / np.where(li == 0, 1, li)[:, None]", "pass"),
        (TRITON, "O = O / tl.where(l == 0.0, 1.0, l)[:, None]", "pass"),
        (CUDA, "scalar(O[r][i].at[e] * inverse)", "scalar(O[r][i].at[e])"),
    ),
    "wrong exponent base": (
        (TRITON, "scale * math.log2(math.e)", "scale"),
        (CUDA, "expf(", "exp2f("),
    ),
    "scale missing": (
        (NUMPY, "S = Qi @ Kj.T * scale", "S = Qi @ Kj.T"),
        (CUDA, "S[r][c] * scale", "S[r][c]"),
    ),
    "scale argument ignored": (
        (NUMPY, "scale = head_dim**-0.5 if scale is None else scale", "scale = head_dim**-0.5"),
    ),
    "last ragged tile dropped": (
        (NUMPY, "-(-seqlen_k // Bc)", "seqlen_k // Bc"),
        (CUDA, "key_0 < keys; key_0", "key_0 + BC <= seqlen_k && key_0 < keys; key_0"),
    ),
    "padding keys counted": (
        (TRITON, "seen = inside[None, :]", "seen = (columns >= 0)[None, :]"),
        (CUDA, "whole = key_0 + BC <= seqlen_k && (!causal ||", "whole = !causal || ("),
    ),
    "causal mask ignored": (
        (NUMPY, "o[b, h], causal, scale", "o[b, h], False, scale"),
        (TRITON, "CAUSAL=causal", "CAUSAL=False"),
    ),
    "causal off by one": (
        (NUMPY, "queries + seqlen_k - seqlen_q", "queries + seqlen_k - seqlen_q - 1"),
        (TRITON, "columns[None, :] <= diagonal", "columns[None, :] < diagonal"),
        (CUDA, "row_0 + r + diagonal + 1)", "row_0 + r + diagonal)"),
    ),
    "causal mask top-left": (
        (NUMPY, "queries + seqlen_k - seqlen_q", "queries"),
        (CUDA, "diagonal = seqlen_k - seqlen_q;", "diagonal = 0;"),
    ),
    "diagonal tile skipped": (
        (
            CUDA,
            "key_0 < keys; key_0",
            "key_0 < keys && (!causal || key_0 + BC - 1 <= query_0 + diagonal); key_0",
        ),
    ),
    "wrong K/V head": (
        (NUMPY, "h // (heads // heads_kv)", "h % heads_kv"),
        (TRITON, "head // group", "head % (heads // group)"),
    ),
    "fully masked row is NaN": (
        (NUMPY, "np.where(li == 0, 1, li)[:, None]", "li[:, None]"),
        (TRITON, "tl.where(l == 0.0, 1.0, l)", "l"),
        (CUDA, "sum == 0.0f ? 0.0f : 1.0f / sum", "1.0f / sum"),
    ),
    "LSE without the maximum": (
        (NUMPY, "mi + np.log(li)", "np.log(li)"),
        (CUDA, "m[r] + logf(sum)", "logf(sum)"),
    ),
    "LSE in base 2": (
        (TRITON, "(m + tl.log2(l)) * log_2", "m + tl.log2(l)"),
        (CUDA, "m[r] + logf(sum)", "(m[r] + logf(sum)) * 1.44269504f"),
    ),
    "strides ignored": (
        (
            CUDA,
            "v += batch * v_batch + head / group * v_head;",
            "v += batch * v_batch + head / group * v_head;\n"
            "  q += first_row * HEAD_DIM - batch * q_batch - head * q_head, q_row = k_row = v_row = HEAD_DIM;\n"
            "  const long long other = (1LL * batch * gridDim.y + head) / group * seqlen_k * HEAD_DIM;\n"
            "  k += other - batch * k_batch - head / group * k_head;\n"
            "  v += other - batch * v_batch - head / group * v_head;",
        ),
    ),
}


def skipping(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    causal: bool = False,
    scale: float | None = None,
    block: tuple[int, int],
    flaw: str,
) -> tuple[np.ndarray, np.ndarray]:
    """(o, lse) in float32, where tiles above the diagonal aren't visited, with one flaw whose trace depends on that."""
    group, offset = q.shape[1] // k.shape[1], k.shape[2] - q.shape[2]
    q, k, v = (np.asarray(x, np.float32) for x in (q, np.repeat(k, group, 1), np.repeat(v, group, 1)))
    (rows, columns), scale = block, q.shape[3] ** -0.5 if scale is None else scale
    o, lse = np.zeros_like(q), np.full(q.shape[:3], -np.inf, np.float32)
    for i in range(0, q.shape[2], rows):
        Q, limit = q[:, :, i : i + rows], np.arange(i, min(i + rows, q.shape[2]))[:, None] + offset
        m = np.full((*Q.shape[:3], 1), -np.inf, np.float32)
        l, O = np.zeros_like(m), np.zeros_like(Q)
        for j in range(0, min(k.shape[2], i + rows + offset) if causal else k.shape[2], columns):
            K, V = k[:, :, j : j + columns], v[:, :, j : j + columns]
            S = Q @ K.swapaxes(2, 3) * np.float32(scale)
            if causal and flaw != "diagonal not masked":
                S = np.where(np.arange(j, j + K.shape[2]) <= limit, S, -np.inf)
            m_new = np.maximum(m, S.max(axis=3, keepdims=True))
            base = np.where(np.isneginf(m_new), 0, m_new)
            P, rescale = np.exp(S - base), np.exp(m - base)
            m, l, O = m_new, rescale * l + P.sum(axis=3, keepdims=True), rescale * O + P @ V
            if flaw == "normalised twice":
                O = O / np.where(l == 0, 1, l)
        o[:, :, i : i + rows] = O / np.where(l == 0, 1, l)
        lse[:, :, i : i + rows] = (m + np.log(l))[..., 0]
    return o, lse


BLOCKS = ((32, 32), (64, 64))
OWN = tuple(
    Mistake(
        name, sentence, where, partial(skipping, block=block, flaw=name), slips if block == BLOCKS[0] else ()
    )
    for name, sentence, where, slips in (
        (
            "diagonal not masked",
            "Tiles above the diagonal are skipped, but in those that it crosses the keys past it count too: mask them.",
            EDGES,
            (
                (NUMPY, "if causal and keys[-1] > diagonal[0]:", "if False:"),
                (TRITON, "if CAUSAL:\n                seen", "if False:\n                seen"),
                (CUDA, "const int limit = causal ?", "const int limit = false ?"),
            ),
        ),
        (
            "normalised twice",
            KNOWN["normalised twice"][0],
            LOOP,
            (
                (
                    TRITON,
                    "        m = m_new",
                    "        O = O / tl.where(l == 0.0, 1.0, l)[:, None]\n        m = m_new",
                ),
            ),
        ),
    )
    for block in BLOCKS
)
MISTAKES = (
    *OWN,
    *mistakes(
        {
            **dict.fromkeys(
                (
                    "no maximum subtracted",
                    "maximum started at 0",
                    "accumulator not rescaled",
                    "sum not rescaled",
                    "nothing rescaled",
                    "rescaled by the inverse factor",
                    "tile measured by its own maximum",
                    "not normalised",
                    "wrong exponent base",
                    "exp in place of exp2",
                    "scale missing",
                    "scale applied twice",
                    "scale by seqlen",
                    "scale argument ignored",
                    "LSE without the maximum",
                    "LSE in base 2",
                ),
                LOOP,
            ),
            **dict.fromkeys(
                (
                    "last ragged tile dropped",
                    "padding keys counted",
                    "last queries not written",
                    "causal mask ignored",
                    "causal off by one",
                    "causal mask top-left",
                    "diagonal tile skipped",
                    "wrong K/V head",
                    "fully masked row is NaN",
                    "strides ignored",
                ),
                EDGES,
            ),
        },
        blocks=BLOCKS,
        slips=SLIPS,
    ),
)
