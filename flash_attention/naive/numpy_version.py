"""Attention as the formula says it: the whole of S = Q Kᵀ, the whole of P = softmax(S), then P V."""

import numpy as np


def attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, *, causal: bool = False, scale: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """As `flash_attention.reference.attention`, in the arrays' own precision; S and P are (B, H, Sq, Sk) in memory."""
    heads, seqlen_q, head_dim = q.shape[1:]
    heads_kv, seqlen_k = k.shape[1:3]
    scale = head_dim**-0.5 if scale is None else scale
    kv = np.arange(heads) // max(heads // max(heads_kv, 1), 1)  # the K/V head of each query head

    s = q @ k[:, kv].swapaxes(2, 3) * q.dtype.type(scale)  # kernel 1: (B, H, Sq, Sk)
    if causal:
        i, j = np.ogrid[:seqlen_q, :seqlen_k]
        s = np.where(j <= i + seqlen_k - seqlen_q, s, -np.inf)

    m = s.max(axis=3, initial=-np.inf, keepdims=True)  # kernel 2
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(np.isneginf(m), 0, np.exp(s - m))
        l = p.sum(axis=3, keepdims=True)
        p = np.where(l == 0, 0, p / l)
        lse = (m + np.log(l))[..., 0]

    return p @ v[:, kv], lse  # kernel 3
