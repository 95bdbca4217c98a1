"""FlashAttention-1 in Triton: algorithm 1 of arXiv 2205.14135, a program a head."""

import torch
import triton
import triton.language as tl

from flash_attention import arguments
from flash_attention.naive.triton_version import product
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

            m_tile = tl.max(S, 1)  # line 10
            base = tl.where(m_tile == float("-inf"), 0.0, m_tile)  # no key is seen: exp(-inf) is 0, not NaN
            P = tl.exp(S - base[:, None])
            l_tile = tl.sum(P, 1)

            m_new = tl.maximum(m_old, m_tile)  # line 11
            base = tl.where(m_new == float("-inf"), 0.0, m_new)
            keep, add = tl.exp(m_old - base) * l_old, tl.exp(m_tile - base)
            l_new = keep + add * l_tile

            if CAUSAL and key_0 + BC - 1 > query_0 + seqlen_k - seqlen_q:  # the diagonal crosses the tile
                PV = product(P, V, seen)
            else:
                PV = tl.dot(P.to(V.dtype), V, input_precision="ieee")
            O = keep[:, None] * O + add[:, None] * PV  # line 12: O_i is rescaled
            O = O / tl.where(l_new == 0.0, 1.0, l_new)[:, None]
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
    fit together. O waits in memory in float32 between the passes.
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
