"""The mistakes that lesson 9's checker can name, and the same ones made in the shipped sources."""

from lessons.attention_mistakes import mistakes

ROW = "the notebook, section 2: One row, tile by tile"
LINES = "the notebook, section 3: Algorithm 1, line by line"
EDGES = "the notebook, section 4: Edges, masks and heads"
NUMPY, TRITON, CUDA = "numpy_version.py", "triton_version.py", "flash_v1.cu"
Slips = tuple[tuple[str, str, str], ...]

SLIPS: dict[str, Slips] = {
    "no maximum subtracted": ((NUMPY, "m_tile = S.max(axis=1)", "m_tile = np.zeros(len(S))"),),
    "maximum started at 0": ((NUMPY, "np.full(seqlen_q, -np.inf, Q.dtype)", "np.zeros(seqlen_q, Q.dtype)"),),
    "accumulator not rescaled": (
        (NUMPY, "(keep * li)[:, None] * Oi", "li[:, None] * Oi"),
        (TRITON, "O = keep[:, None] * O", "O = l_old[:, None] * O"),
        (CUDA, "(keep * o_new.at[e]", "(l_old * o_new.at[e]"),
    ),
    "sum not rescaled": (
        (NUMPY, "l_new = keep * li +", "l_new = li +"),
        (TRITON, "l_new = keep + add", "l_new = l_old + add"),
        (CUDA, "l_new = keep + add", "l_new = l_old + add"),
    ),
    "nothing rescaled": (
        (NUMPY, "keep = np.exp(mi - finite(m_new))", "keep = np.ones(len(mi))"),
        (TRITON, "keep, add = tl.exp(m_old - base) * l_old,", "keep, add = l_old,"),
        (CUDA, "keep = expf(m_old - base) * l_old", "keep = l_old"),
    ),
    "rescaled by the inverse factor": (
        (NUMPY, "keep = np.exp(mi - finite(m_new))", "keep = np.exp(finite(m_new) - finite(mi))"),
        (CUDA, "expf(m_old - base)", "expf(base - m_old)"),
    ),
    "tile measured by its own maximum": (
        (NUMPY, "add = np.exp(m_tile - finite(m_new))", "add = np.ones(len(mi))"),
        (TRITON, "add[:, None] * PV", "PV"),
    ),
    "scale applied twice": ((NUMPY, "S = Qi @ Kj.T * scale", "S = Qi @ Kj.T * scale * scale"),),
    "normalised twice": (
        (NUMPY, "(keep * li)[:, None] * Oi", "keep[:, None] * Oi"),
        (TRITON, "O = keep[:, None] * O", "O = tl.exp(m_old - base)[:, None] * O"),
        (CUDA, "(keep * o_new.at[e]", "(expf(m_old - base) * o_new.at[e]"),
    ),
    "wrong exponent base": (
        (TRITON, "tl.exp(", "tl.exp2("),
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
        (TRITON, "range(0, seqlen_k, BC)", "range(0, seqlen_k // BC * BC, BC)"),
        (CUDA, "key_0 < seqlen_k; key_0", "key_0 + BC <= seqlen_k; key_0"),
    ),
    "padding keys counted": ((TRITON, "seen = (keys < seqlen_k)[None, :]", "seen = (keys >= 0)[None, :]"),),
    "causal mask ignored": (
        (NUMPY, "if causal:", "if False:"),
        (TRITON, "if CAUSAL:", "if False:"),
    ),
    "causal off by one": (
        (NUMPY, "keys <= queries + seqlen_k", "keys < queries + seqlen_k"),
        (TRITON, "keys[None, :] <= queries", "keys[None, :] < queries"),
        (CUDA, "row_0 + r + diagonal + 1)", "row_0 + r + diagonal)"),
    ),
    "causal mask top-left": (
        (NUMPY, "keys <= queries + seqlen_k - seqlen_q", "keys <= queries"),
        (CUDA, "diagonal = seqlen_k - seqlen_q;", "diagonal = 0;"),
    ),
    "wrong K/V head": (
        (NUMPY, "h // (heads // heads_kv)", "h % heads_kv"),
        (TRITON, "head // group", "head % (heads // group)"),
    ),
    "hidden scores not -inf": ((NUMPY, "seen, S, -np.inf)", "seen, S, -1e9)"),),
    "fully masked row is NaN": (
        (NUMPY, "np.where(l_new == 0, 1, l_new)[:, None]", "l_new[:, None]"),
        (TRITON, "tl.where(l_new == 0.0, 1.0, l_new)", "l_new"),
    ),
    "LSE without the maximum": ((NUMPY, "return m + np.log(l)", "return np.log(l)"),),
    "LSE in base 2": ((NUMPY, "return m + np.log(l)", "return (m + np.log(l)) / np.log(2)"),),
    "strides ignored": (
        (
            CUDA,
            "v += batch * v_batch + head / group * v_head;",
            "v += batch * v_batch + head / group * v_head;\n"
            "  q += first_row * HEAD_DIM - batch * q_batch - head * q_head, q_row = k_row = v_row = HEAD_DIM;\n"
            "  const long long other = (1LL * batch * gridDim.x + head) / group * seqlen_k * HEAD_DIM;\n"
            "  k += other - batch * k_batch - head / group * k_head;\n"
            "  v += other - batch * v_batch - head / group * v_head;",
        ),
    ),
}

MISTAKES = mistakes(
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
                "normalised twice",
                "wrong exponent base",
                "LSE without the maximum",
                "LSE in base 2",
            ),
            ROW,
        ),
        **dict.fromkeys(
            ("scale missing", "scale applied twice", "scale by seqlen", "scale argument ignored"), LINES
        ),
        **dict.fromkeys(
            (
                "last ragged tile dropped",
                "padding keys counted",
                "last queries not written",
                "causal mask ignored",
                "causal off by one",
                "causal mask top-left",
                "wrong K/V head",
                "fully masked row is NaN",
                "hidden scores not -inf",
                "strides ignored",
            ),
            EDGES,
        ),
    },
    blocks=((32, 32), (64, 64)),
    normalised=True,
    slips=SLIPS,
)
