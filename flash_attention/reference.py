"""The oracle: attention in NumPy, float64, one query at a time. Every other version is held against it.

For each query i, with the keys j that it sees:

    s_j = scale * (q_i · k_j)        m = max_j s_j        p_j = exp(s_j - m)        l = Σ_j p_j
    o_i = Σ_j p_j v_j / l            lse_i = log Σ_j exp(s_j) = m + log l
"""

import numpy as np


def attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, *, causal: bool = False, scale: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """softmax(Q Kᵀ · scale) V and its log-sum-exp.

    q: (B, H, Sq, D). k, v: (B, Hkv, Sk, D); Hkv divides H, and query head h reads K/V head h // (H / Hkv).
    causal: query i sees key j if j <= i + Sk - Sq, so that the last query sees all keys. scale: 1 / sqrt(D) if None.
    Returns o: (B, H, Sq, D) and lse: (B, H, Sq), natural logarithm, both float64.

    A query that sees no key, or whose scores are all -inf, gives o = 0 and lse = -inf. NaN in q gives NaN in its row,
    NaN in k or v in each row that sees it; a score of +inf gives NaN (inf - inf). A key that isn't seen takes no part,
    whatever k and v hold there. (flash_v2/gluon and flash_v2_tensor_cores, made for speed, may pass on a NaN or inf in
    v to rows that don't see its key, in a tile that the diagonal crosses.)
    """
    q, k, v = (np.asarray(x, dtype=np.float64) for x in (q, k, v))
    seqlen_q, seqlen_k = q.shape[2], k.shape[2]
    if scale is None:
        scale = q.shape[3] ** -0.5
    if q.shape[1] != k.shape[1]:
        k, v = (
            np.repeat(x, q.shape[1] // x.shape[1], axis=1) for x in (k, v)
        )  # each head beside its queries
    o, lse = np.zeros(q.shape), np.full(q.shape[:3], -np.inf)
    with np.errstate(all="ignore"):
        for i in range(seqlen_q):
            seen = min(max(i + 1 + seqlen_k - seqlen_q, 0), seqlen_k) if causal else seqlen_k
            s = np.einsum("bhd,bhjd->bhj", q[:, :, i], k[:, :, :seen]) * scale
            m = s.max(axis=2, initial=-np.inf, keepdims=True)
            p = np.where(np.isneginf(m), 0.0, np.exp(s - m))
            l = p.sum(axis=2, keepdims=True)
            weighted = np.einsum("bhj,bhjd->bhd", p, v[:, :, :seen])
            o[:, :, i] = np.where(l == 0, 0.0, weighted / l)
            lse[:, :, i] = (m + np.log(l))[:, :, 0]
    return o, lse
