"""FlashAttention-2 in NumPy tiles, to be read: algorithm 1 of arXiv 2307.08691, in the paper's names, line by line.

"Memory" is the GPU's large one (HBM in the paper), "on chip" its small shared one (SRAM). S and P exist one tile at a
time, and never in memory; O, l and m stay on chip until they are complete.
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
    """Q, O: (Sq, D); K, V: (Sk, D). O takes the output. Returns the log-sum-exp, (Sq,)."""
    (seqlen_q, head_dim), (seqlen_k, _) = Q.shape, K.shape
    LSE = np.empty(seqlen_q, Q.dtype)
    Tr, Tc = -(-seqlen_q // Br), -(-seqlen_k // Bc)  # lines 1 and 2: the last tiles may be smaller

    with np.errstate(divide="ignore", invalid="ignore"):
        for i in range(Tr):  # line 3: on a GPU these run side by side
            rows = slice(i * Br, min((i + 1) * Br, seqlen_q))
            queries = np.arange(rows.start, rows.stop)
            diagonal = queries + seqlen_k - seqlen_q  # the last key that each query sees
            Qi = memory.load("Q", i, Q[rows])  # line 4
            memory.keep("O", i)
            Oi = np.zeros((len(diagonal), head_dim), Q.dtype)  # line 5
            li, mi = np.zeros(len(diagonal), Q.dtype), np.full(len(diagonal), -np.inf, Q.dtype)

            visited = min(Tc, max(0, diagonal[-1] // Bc + 1)) if causal else Tc  # none above the diagonal
            for j in range(visited):  # line 6
                keys = np.arange(j * Bc, min((j + 1) * Bc, seqlen_k))
                Kj = memory.load("K", j, K[keys])  # line 7
                Vj = memory.load("V", j, V[keys])
                memory.compute(i, j)

                S = Qi @ Kj.T * scale  # line 8
                seen = np.ones(S.shape, bool)
                if causal and keys[-1] > diagonal[0]:  # only the tiles that the diagonal crosses are masked
                    seen = keys <= diagonal[:, None]
                    S = np.where(seen, S, -np.inf)

                m_new = np.maximum(mi, S.max(axis=1))  # line 9
                P = np.exp(S - finite(m_new)[:, None])
                rescale = np.exp(mi - finite(m_new))
                li = rescale * li + P.sum(axis=1)
                Oi = rescale[:, None] * Oi + product(P, Vj, seen)  # line 10
                mi = m_new

            Oi = Oi / np.where(li == 0, 1, li)[:, None]  # line 12: the one division
            memory.store("O", O[rows], Oi)  # line 14
            memory.store("LSE", LSE[rows], mi + np.log(li))  # lines 13 and 15
        return LSE


def finite(m: np.ndarray) -> np.ndarray:
    """What is subtracted from the scores: the maximum, or 0 while no key has been seen (-inf - -inf would be NaN)."""
    return np.where(np.isneginf(m), 0, m)
