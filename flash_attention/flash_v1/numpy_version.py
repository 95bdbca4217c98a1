"""FlashAttention-1 in NumPy tiles, to be read: algorithm 1 of arXiv 2205.14135, in the paper's names, line by line.

"Memory" is the GPU's large one (HBM in the paper), "on chip" its small shared one (SRAM). S and P exist one tile at a
time, and never in memory.
"""

import numpy as np

from flash_attention.naive.numpy_version import product
from flash_attention.trace import Memory


def attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    causal: bool = False,
    scale: float | None = None,
    Br: int = 64,
    Bc: int = 64,
    memory: Memory | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """As `flash_attention.reference.attention`, in the arrays' own precision.

    Br, Bc: rows of a tile of queries and of a tile of keys. memory: notes what is loaded and stored, step by step.
    """
    (batch, heads, _, head_dim), heads_kv = q.shape, k.shape[1]
    scale = head_dim**-0.5 if scale is None else scale
    memory = memory or Memory()
    o, lse = np.zeros_like(q), np.empty(q.shape[:3], q.dtype)
    for b, h in np.ndindex(batch, heads):  # each head is a task of its own
        memory.next_head()
        h_kv = h // (heads // heads_kv)
        lse[b, h] = one_head(q[b, h], k[b, h_kv], v[b, h_kv], o[b, h], causal, scale, Br, Bc, memory)
    return o, lse


def one_head(
    Q: np.ndarray,
    K: np.ndarray,
    V: np.ndarray,
    O: np.ndarray,
    causal: bool,
    scale: float,
    Br: int,
    Bc: int,
    memory: Memory,
) -> np.ndarray:
    """Q, O: (Sq, D); K, V: (Sk, D). O comes in as 0 (line 2) and takes the output. Returns the log-sum-exp, (Sq,)."""
    (seqlen_q, _), (seqlen_k, _) = Q.shape, K.shape
    l, m = np.zeros(seqlen_q, Q.dtype), np.full(seqlen_q, -np.inf, Q.dtype)  # line 2: l = 0, m = -inf
    Tr, Tc = -(-seqlen_q // Br), -(-seqlen_k // Bc)  # line 3: the last tiles may be smaller

    with np.errstate(divide="ignore", invalid="ignore"):
        for j in range(Tc):  # line 5
            keys = np.arange(j * Bc, min((j + 1) * Bc, seqlen_k))
            Kj = memory.load("K", j, K[keys])  # line 6
            Vj = memory.load("V", j, V[keys])

            for i in range(Tr):  # line 7
                rows = slice(i * Br, min((i + 1) * Br, seqlen_q))
                Qi = memory.load("Q", i, Q[rows])  # line 8
                Oi = memory.load("O", i, O[rows])
                li = memory.load("l", i, l[rows])
                mi = memory.load("m", i, m[rows])
                memory.compute(i, j)

                S = Qi @ Kj.T * scale  # line 9
                seen = np.ones(S.shape, bool)
                if causal:
                    queries = np.arange(rows.start, rows.stop)[:, None]
                    seen = keys <= queries + seqlen_k - seqlen_q
                    S = np.where(seen, S, -np.inf)

                m_tile = S.max(axis=1)  # line 10
                P = np.exp(S - finite(m_tile)[:, None])
                l_tile = P.sum(axis=1)

                m_new = np.maximum(mi, m_tile)  # line 11
                keep = np.exp(mi - finite(m_new))  # the sums so far are rescaled to the new maximum,
                add = np.exp(m_tile - finite(m_new))  # and so is what this tile adds
                l_new = keep * li + add * l_tile

                Oi = (keep * li)[:, None] * Oi + add[:, None] * product(P, Vj, seen)  # line 12
                Oi = Oi / np.where(l_new == 0, 1, l_new)[:, None]
                memory.store("O", O[rows], Oi)
                memory.store("l", l[rows], l_new)  # line 13
                memory.store("m", m[rows], m_new)
        return m + np.log(l)


def finite(m: np.ndarray) -> np.ndarray:
    """What is subtracted from the scores: the maximum, or 0 while no key has been seen (-inf - -inf would be NaN)."""
    return np.where(np.isneginf(m), 0, m)
