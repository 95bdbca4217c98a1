"""Lesson 9 in Triton: fill in the blank, then run  make check-lesson9

FlashAttention-1, a program a head. The blank is lines 10 to 12 of the algorithm: given the tile S, find what is to be stored:
O, l_new and m_new. In NumPy (for rows that see a key; what about the others?):

    m_tile = S.max(axis=1)
    P = np.exp(S - m_tile[:, None])
    l_tile = P.sum(axis=1)
    m_new = np.maximum(m_old, m_tile)
    keep, add = np.exp(m_old - m_new) * l_old, np.exp(m_tile - m_new)
    l_new = keep + add * l_tile
    O = (keep[:, None] * O + add[:, None] * (P @ V)) / l_new[:, None]
"""

import torch
import triton
import triton.language as tl

from flash_attention import arguments
from flash_attention.tiles import rows_contiguous

HEAD_DIMS = range(1, 257)


@triton.jit
def flash_v1_kernel(
    q, k, v, o, l, m, scale, heads, group, seqlen_q, seqlen_k,
    q_batch, q_head, q_row, k_batch, k_head, k_row, v_batch, v_head, v_row,
    CAUSAL: tl.constexpr, HEAD_DIM: tl.constexpr, D: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """q, k, v: pointers and strides. o (as q, contiguous), l, m (B, H, Sq): float32, starting at 0, 0 and -inf.

    D: HEAD_DIM, rounded up to a power of 2.
    """
    batch, head = (tl.program_id(0) // heads).to(tl.int64), tl.program_id(0) % heads
    q += batch * q_batch + head * q_head
    k += batch * k_batch + head // group * k_head
    v += batch * v_batch + head // group * v_head
    first_row = tl.program_id(0).to(tl.int64) * seqlen_q  # of this head in o, l and m
    d = tl.arange(0, D)[None, :]

    for key_0 in range(0, seqlen_k, BC):  # line 5
        keys = key_0 + tl.arange(0, BC)
        inside_k = (keys < seqlen_k)[:, None] & (d < HEAD_DIM)
        far = keys.to(tl.int64)[:, None]
        K = tl.load(k + far * k_row + d, mask=inside_k, other=0.0)  # line 6: load K_j, V_j
        V = tl.load(v + far * v_row + d, mask=inside_k, other=0.0)

        for query_0 in range(0, seqlen_q, BR):  # line 7
            queries = query_0 + tl.arange(0, BR)
            inside = queries < seqlen_q
            inside_q = inside[:, None] & (d < HEAD_DIM)
            rows = first_row + queries
            far = queries.to(tl.int64)[:, None]
            Q = tl.load(q + far * q_row + d, mask=inside_q, other=0.0)  # line 8: load Q_i, O_i, l_i, m_i
            O = tl.load(o + rows[:, None] * HEAD_DIM + d, mask=inside_q, other=0.0)
            l_old = tl.load(l + rows, mask=inside, other=0.0)
            m_old = tl.load(m + rows, mask=inside, other=0.0)

            S = tl.dot(Q, tl.trans(K), input_precision="ieee") * scale  # line 9: S = Q_i K_j^T
            seen = (keys < seqlen_k)[None, :]
            if CAUSAL:
                seen = seen & (keys[None, :] <= queries[:, None] + seqlen_k - seqlen_q)
            S = tl.where(seen, S, float("-inf"))

            # >>> flash_v1: your code here, about 11 lines
            pass
            # <<< flash_v1
            tl.store(o + rows[:, None] * HEAD_DIM + d, O, mask=inside_q)
            tl.store(l + rows, l_new, mask=inside)  # line 13
            tl.store(m + rows, m_new, mask=inside)
        tl.debug_barrier()  # what one thread stored, another may load in the next pass


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool = False, scale: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(Q Kᵀ · scale) V and its log-sum-exp.

    q: (B, H, Sq, D), k, v: (B, Hkv, Sk, D), float32, float16 or bfloat16, D up to 256; strides may be any (where the
    last one isn't 1, a copy is made). Returns o, as q, and lse (B, H, Sq), float32. Raises ValueError for what doesn't
    fit together. O waits in memory in float32 between the passes. NaN and inf in v may reach a query that doesn't see
    their key, since a tile's product counts 0 * NaN; the CUDA version leaves such keys out.
    """
    sizes, scale = arguments.check(q, k, v, scale, head_dims=HEAD_DIMS)
    dtype = q.dtype
    if triton.knobs.runtime.interpret and dtype == torch.bfloat16:  # which the interpreter can't multiply
        q, k, v = q.float(), k.float(), v.float()
    q, k, v = map(rows_contiguous, (q, k, v))
    o = torch.zeros(q.shape, dtype=torch.float32, device=q.device)
    l = torch.zeros(q.shape[:3], dtype=torch.float32, device=q.device)
    m = torch.full_like(l, -torch.inf)
    if l.numel() > 0:
        D = max(16, triton.next_power_of_2(sizes.head_dim))
        # Long rows fill shared memory; in the interpreter, large tiles waste time on rows past the end.
        fits = (side for side in (64, 32, 16) if side * D * q.element_size() <= 16 * 1024)
        side = 32 if triton.knobs.runtime.interpret else next(fits)
        flash_v1_kernel[(sizes.batch * sizes.heads,)](
            q, k, v, o, l, m, scale, sizes.heads, sizes.heads // sizes.heads_kv, sizes.seqlen_q, sizes.seqlen_k,
            *q.stride()[:3], *k.stride()[:3], *v.stride()[:3],
            CAUSAL=causal, HEAD_DIM=sizes.head_dim, D=D, BR=side, BC=side,
            num_warps=8 if D > 128 else 4, num_stages=1,
        )  # fmt: skip
    return o.to(dtype), m + l.log()
