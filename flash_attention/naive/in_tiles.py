"""Naive attention in NumPy tiles, to be watched: the kernels of triton_version.py, and what each loads and stores.

numpy_version.py is the same in three lines; this is for looking at the traffic. "Memory" is the GPU's large one (HBM),
"on chip" its small ones. S and P are whole matrices in memory.
"""

import numpy as np

from flash_attention.flash_v2.numpy_version import finite
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
        S = np.empty((q.shape[2], k.shape[2]), q.dtype)
        P = np.empty_like(S)
        scores(q[b, h], k[b, h_kv], S, causal, scale, Br, Bc, memory)
        softmax(S, P, lse[b, h], Br, Bc, memory)
        weighted_sum(P, v[b, h_kv], o[b, h], Br, Bc, memory)
    return o, lse


def scores(
    Q: np.ndarray,
    K: np.ndarray,
    S: np.ndarray,
    causal: bool,
    scale: float,
    Br: int,
    Bc: int,
    memory: Memory,
) -> None:
    """Kernel 1: S = Q Kᵀ * scale, -inf where masked. Q: (Sq, D), K: (Sk, D), S: (Sq, Sk)."""
    seqlen_q, seqlen_k = S.shape
    Tr, Tc = -(-seqlen_q // Br), -(-seqlen_k // Bc)  # the last tiles may be smaller
    for i, j in np.ndindex(Tr, Tc):  # on a GPU these run side by side
        rows, keys = slice(i * Br, (i + 1) * Br), slice(j * Bc, (j + 1) * Bc)
        Qi = memory.load("Q", i, Q[rows])
        Kj = memory.load("K", j, K[keys])
        memory.compute(i, j)
        Sij = Qi @ Kj.T * scale
        if causal:
            query, key = np.ogrid[:seqlen_q, :seqlen_k]
            Sij = np.where(key[:, keys] <= query[rows] + seqlen_k - seqlen_q, Sij, -np.inf)
        memory.store("S", S[rows, keys], Sij)


def softmax(S: np.ndarray, P: np.ndarray, LSE: np.ndarray, Br: int, Bc: int, memory: Memory) -> None:
    """Kernel 2: P = softmax of each row of S, read twice, with lesson 7's online maximum and sum. LSE: (Sq,)."""
    seqlen_q, seqlen_k = S.shape
    Tr, Tc = -(-seqlen_q // Br), -(-seqlen_k // Bc)
    with np.errstate(divide="ignore"):
        for i in range(Tr):  # on a GPU these run side by side
            rows = slice(i * Br, min((i + 1) * Br, seqlen_q))
            li, mi = (
                np.zeros(rows.stop - rows.start, S.dtype),
                np.full(rows.stop - rows.start, -np.inf, S.dtype),
            )
            for j in range(Tc):
                Sij = memory.load("S", i * Tc + j, S[rows, j * Bc : (j + 1) * Bc])
                memory.compute(i, j)
                m_new = np.maximum(mi, Sij.max(axis=1))
                rescale = np.exp(mi - finite(m_new))
                li = rescale * li + np.exp(Sij - finite(m_new)[:, None]).sum(axis=1)
                mi = m_new
            for j in range(Tc):
                Sij = memory.load("S", i * Tc + j, S[rows, j * Bc : (j + 1) * Bc])
                memory.compute(i, j)
                Pij = np.exp(Sij - finite(mi)[:, None]) / np.where(li == 0, 1, li)[:, None]
                memory.store("P", P[rows, j * Bc : (j + 1) * Bc], Pij)
            memory.store("LSE", LSE[rows], mi + np.log(li))


def weighted_sum(P: np.ndarray, V: np.ndarray, O: np.ndarray, Br: int, Bc: int, memory: Memory) -> None:
    """Kernel 3: O = P V. P: (Sq, Sk), V: (Sk, D), O: (Sq, D)."""
    (seqlen_q, seqlen_k), head_dim = P.shape, V.shape[1]
    Tr, Tc = -(-seqlen_q // Br), -(-seqlen_k // Bc)
    for i in range(Tr):  # on a GPU these run side by side
        rows = slice(i * Br, min((i + 1) * Br, seqlen_q))
        memory.keep("O", i)
        Oi = np.zeros((rows.stop - rows.start, head_dim), P.dtype)
        for j in range(Tc):
            Pij = memory.load("P", i * Tc + j, P[rows, j * Bc : (j + 1) * Bc])
            Vj = memory.load("V", j, V[j * Bc : (j + 1) * Bc])
            memory.compute(i, j)
            Oi = Oi + Pij @ Vj
        memory.store("O", O[rows], Oi)
