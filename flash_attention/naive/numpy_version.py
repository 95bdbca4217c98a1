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
    seen = np.ones((seqlen_q, seqlen_k), bool)
    if causal:
        i, j = np.ogrid[:seqlen_q, :seqlen_k]
        seen = j <= i + seqlen_k - seqlen_q
        s = np.where(seen, s, -np.inf)

    m = s.max(axis=3, initial=-np.inf, keepdims=True)  # kernel 2
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(np.isneginf(m), 0, np.exp(s - m))
        l = p.sum(axis=3, keepdims=True)
        p = np.where(l == 0, 0, p / l)
        lse = (m + np.log(l))[..., 0]
        return product(p, v[:, kv], seen), lse  # kernel 3


def product(p: np.ndarray, v: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """p @ v over the keys that are seen; p is 0 elsewhere. p, seen: (..., queries, keys), v: (..., keys, D).

    0 * NaN and 0 * inf are NaN. So what isn't finite in v is left out of the product, and added for those who see it.
    """
    if np.isfinite(v).all():
        return p @ v
    infinity, nan = v.dtype.type(np.inf), np.isnan(v)
    high, low = seen @ (nan | (v == infinity)), seen @ (nan | (v == -infinity))  # does the query see one?
    return p @ np.where(np.isfinite(v), v, 0) + np.where(high, infinity, 0) - np.where(low, infinity, 0)
