"""FlashAttention-2 in Triton: algorithm 1 of arXiv 2307.08691, a program a tile of queries.

New since flash_v1/triton_version.py: the loop over queries has become the grid; O, l and m stay on chip, and O is
divided once. Tiles that need no mask have a loop of their own. Exponentials are powers of 2, which the hardware has:
exp(x) is exp2(x * log2(e)), and the factor goes into the scale.

Measured on an H100, float16, 16k queries in all, heads * head_dim = 2048, lengths 1k to 16k, causal and not, against
PyTorch's FlashAttention-2 (geometric means of its time over ours): 1.37 at head_dim 64, 1.31 at 128.

NaN and inf in v reach only those who see their key. Where they do, the tile of queries is computed once more, key by
key: with a NaN in one of the first of 4,096 keys, at head_dim 128, causal, that took 24.4 ms instead of 0.67. That the
code is there costs all other causal calls 2 % (5 % at head_dim 256).
"""

import math

import torch
import triton
import triton.language as tl

from flash_attention import arguments
from flash_attention.tiles import limit, rows_contiguous

HEAD_DIMS = range(1, 257)
# (BR, BC, warps, stages), the fastest on an H100 first. SMALL: for float32, which has no tensor cores here, and for the
# interpreter, where large tiles waste time on rows past the end.
FAST = ((128, 64, 8, 3), (128, 64, 8, 2), (64, 64, 4, 2), (64, 32, 4, 2), (32, 32, 4, 1))
SMALL = ((32, 32, 4, 1), (16, 16, 4, 1))


@triton.jit
def attend(
    O, l, m, Q, k, v, k_row, v_row, d, first, last, diagonal, seqlen_k, scale,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, HEAD_DIM: tl.constexpr, D: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """O, l, m of the queries Q after the keys first to last - 1.

    diagonal: if CAUSAL, the last key that each query sees. MASKED: the diagonal or the end of the keys crosses these
    tiles. m counts in powers of 2.
    """
    columns = tl.arange(0, BC)
    k_at = k + (first + columns).to(tl.int64)[None, :] * k_row + d[:, None]  # of K_j's transpose
    v_at = v + (first + columns).to(tl.int64)[:, None] * v_row + d[None, :]
    for key_0 in range(first, last, BC):  # line 6
        inside = key_0 + columns < seqlen_k
        if MASKED:  # line 7: load K_j, V_j
            K = tl.load(k_at, mask=inside[None, :] & (d < HEAD_DIM)[:, None], other=0.0)
            V = tl.load(v_at, mask=inside[:, None] & (d < HEAD_DIM)[None, :], other=0.0)
        elif HEAD_DIM < D:
            K = tl.load(k_at, mask=(d < HEAD_DIM)[:, None], other=0.0)
            V = tl.load(v_at, mask=(d < HEAD_DIM)[None, :], other=0.0)
        else:
            K, V = tl.load(k_at), tl.load(v_at)

        S = tl.dot(Q, K, input_precision="ieee")  # line 8, not scaled yet
        if MASKED:
            seen = inside[None, :]
            if CAUSAL:
                seen = seen & (key_0 + columns[None, :] <= diagonal[:, None])
            S = tl.where(seen, S, float("-inf"))

        m_new = tl.maximum(m, tl.max(S, 1) * scale)  # line 9
        base = tl.where(m_new == float("-inf"), 0.0, m_new)  # no key is seen yet: 2^(-inf - 0) is 0, not NaN
        P = tl.exp2(S * scale - base[:, None])  # scaled here, where one instruction multiplies and subtracts
        rescale = tl.exp2(m - base)
        l = l * rescale + tl.sum(P, 1)
        O = tl.dot(P.to(V.dtype), V, O * rescale[:, None], input_precision="ieee")  # line 10
        m = m_new
        k_at += BC * k_row
        v_at += BC * v_row
    return O, l, m


@triton.jit
def key_by_key(Q, m, k, v, k_row, v_row, d, end, diagonal, scale, HEAD_DIM: tl.constexpr, D: tl.constexpr):
    """O once more, slowly, without products of tiles: a key that a query doesn't see isn't even multiplied by 0."""
    O = tl.zeros((Q.shape[0], D), tl.float32)
    base = tl.where(m == float("-inf"), 0.0, m)
    k_at, v_at = k + d, v + d
    for key in range(0, end):
        K = tl.load(k_at, mask=d < HEAD_DIM, other=0.0).to(tl.float32)
        V = tl.load(v_at, mask=d < HEAD_DIM, other=0.0).to(tl.float32)
        P = tl.exp2(tl.sum(Q.to(tl.float32) * K[None, :], 1) * scale - base)
        O += tl.where((key <= diagonal)[:, None], P[:, None] * V[None, :], 0.0)
        k_at += k_row
        v_at += v_row
    return O


@triton.jit
def flash_v2_kernel(
    q, k, v, o, lse, scale, heads, group, seqlen_q, seqlen_k,
    q_batch, q_head, q_row, k_batch, k_head, k_row, v_batch, v_head, v_row,
    CAUSAL: tl.constexpr, HEAD_DIM: tl.constexpr, D: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """q, k, v: pointers and strides; o as q, contiguous, lse (B, H, Sq). scale: above 0, with the factor log2(e) in it.

    D: HEAD_DIM, rounded up to a power of 2.
    """
    tiles = tl.cdiv(seqlen_q, BR)
    tile = tiles - 1 - tl.program_id(0) % tiles  # line 3; causal: the longest rows begin first
    batch_head = (tl.program_id(0) // tiles).to(tl.int64)
    batch, head = batch_head // heads, batch_head % heads
    q += batch * q_batch + head * q_head
    k += batch * k_batch + head // group * k_head
    v += batch * v_batch + head // group * v_head
    first_row = batch_head * seqlen_q  # of this head in o and lse

    d = tl.arange(0, D)
    queries = tile * BR + tl.arange(0, BR)
    inside = (queries < seqlen_q)[:, None] & (d < HEAD_DIM)[None, :]
    far = queries.to(tl.int64)[:, None]
    Q = tl.load(q + far * q_row + d[None, :], mask=inside, other=0.0)  # line 4: load Q_i
    O = tl.zeros((BR, D), tl.float32)  # line 5: O_i = 0, l_i = 0, m_i = -inf
    l = tl.zeros((BR,), tl.float32)
    m = tl.full((BR,), float("-inf"), tl.float32)

    diagonal = queries + seqlen_k - seqlen_q  # the last key that each query sees
    whole, end = seqlen_k, seqlen_k
    if CAUSAL:
        first = tile * BR + seqlen_k - seqlen_q  # the last key that the first query sees
        whole = tl.minimum(tl.maximum(first + 1, 0), seqlen_k)
        end = tl.minimum(tl.maximum(first + BR, 0), seqlen_k)
    whole = whole // BC * BC  # up to here, no tile needs a mask
    O, l, m = attend(
        O, l, m, Q, k, v, k_row, v_row, d, 0, whole, diagonal, seqlen_k, scale,
        MASKED=False, CAUSAL=CAUSAL, HEAD_DIM=HEAD_DIM, D=D, BC=BC,
    )  # fmt: skip
    O, l, m = attend(
        O, l, m, Q, k, v, k_row, v_row, d, whole, end, diagonal, seqlen_k, scale,
        MASKED=True, CAUSAL=CAUSAL, HEAD_DIM=HEAD_DIM, D=D, BC=BC,
    )  # fmt: skip
    if CAUSAL:
        # 0 * NaN is NaN: in a tile that the diagonal crosses, it has reached those who don't see it, too.
        finite = tl.min((tl.abs(O) < float("inf")).to(tl.int32))
        if finite == 0:
            O = key_by_key(Q, m, k, v, k_row, v_row, d, end, diagonal, scale, HEAD_DIM=HEAD_DIM, D=D)

    O = O / tl.where(l == 0.0, 1.0, l)[:, None]  # line 12: the one division
    rows = first_row + queries
    tl.store(o + rows[:, None] * HEAD_DIM + d[None, :], O.to(o.dtype.element_ty), mask=inside)  # line 14
    log_2 = 0.6931471805599453
    tl.store(lse + rows, (m + tl.log2(l)) * log_2, mask=queries < seqlen_q)  # lines 13 and 15


def configuration(D: int, itemsize: int, device: torch.device) -> dict[str, int]:
    """Tile sizes, warps and stages of the pipeline: the first that the device has the shared memory for.

    maxnreg: registers a thread. With 128, two programs of 8 warps fit on a multiprocessor; before Hopper, that spills.
    """
    tried = SMALL if itemsize == 4 or triton.knobs.runtime.interpret else FAST
    BR, BC, num_warps, num_stages = next(
        (BR, BC, num_warps, num_stages)
        for BR, BC, num_warps, num_stages in tried
        if D * itemsize * (BR + 2 * num_stages * BC) <= limit(device)
    )
    if itemsize == 4 and D > 128:
        num_warps = 8  # with fewer, a thread has not enough registers
    hopper = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)
    if D <= 64 and num_warps == 8 and hopper:
        return {"BR": BR, "BC": BC, "num_warps": num_warps, "num_stages": num_stages, "maxnreg": 128}
    return {"BR": BR, "BC": BC, "num_warps": num_warps, "num_stages": num_stages}


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool = False, scale: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(Q Kᵀ · scale) V and its log-sum-exp.

    q: (B, H, Sq, D), k, v: (B, Hkv, Sk, D), float32, float16 or bfloat16, D up to 256; strides may be any (where the
    last one isn't 1, a copy is made). Returns o, as q, and lse (B, H, Sq), float32. Raises ValueError for what doesn't
    fit together.
    """
    sizes, scale = arguments.check(q, k, v, scale, head_dims=HEAD_DIMS)
    dtype = q.dtype
    if triton.knobs.runtime.interpret and dtype == torch.bfloat16:  # which the interpreter can't multiply
        q, k, v = q.float(), k.float(), v.float()
    q, k, v = map(rows_contiguous, (q, k, v))
    if scale <= 0:  # the kernel takes the largest score before it scales, so its scale must be above 0
        q, scale = -q, max(-scale, 1e-30)
    o = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    if lse.numel() > 0:
        D = max(16, triton.next_power_of_2(sizes.head_dim))
        chosen = configuration(D, q.element_size(), q.device)
        programs = triton.cdiv(sizes.seqlen_q, chosen["BR"]) * sizes.batch * sizes.heads
        flash_v2_kernel[(programs,)](
            q, k, v, o, lse, scale * math.log2(math.e), sizes.heads, sizes.heads // sizes.heads_kv,
            sizes.seqlen_q, sizes.seqlen_k, *q.stride()[:3], *k.stride()[:3], *v.stride()[:3],
            CAUSAL=causal, HEAD_DIM=sizes.head_dim, D=D, **chosen,
        )  # fmt: skip
    return o.to(dtype), lse
