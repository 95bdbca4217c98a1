"""FlashAttention-2 in Triton, tuned for Hopper: tiles through tensor descriptors, several programs a multiprocessor.

New since flash_v2/triton_version.py:
- A tensor descriptor says once where a tensor lies; a load then names only a tile's first row. From Hopper on, a unit
  of its own (TMA) copies the tile: no thread computes addresses or asks what lies past the end, where zeros arrive.
- The registers that this frees make room for 128 queries in 4 warps, not 8, at head_dim 128. So two programs fit on a
  multiprocessor (three at 64): while one computes exponentials, another multiplies.

On GPUs before Hopper, Triton makes loads of pointers again of it, without a pipeline: there, take flash_v2's.

Predicted for an H100: more than flash_v2's, because tensor cores idle while all 8 warps of its one program are at the
same exponentials. Measured (bfloat16, 16k queries in all, heads * head_dim = 2048, lengths 512 to 16k, causal and not;
geometric means of the time of PyTorch's FlashAttention-2 over ours, and over flash_v2's in the same run):
1.47 (1.36) at head_dim 64, 1.44 (1.26) at 128; at 128, 0.72 to 0.83 of cuDNN's speed. Alone, at 256: 1.48.

Tried at head_dim 128, full, 8,192 keys, where flash_v2 reaches 492 TFLOP/s and this 534 to 560:
- P V of a tile in flight beside the next tile's exponentials, in 8 warps with 128 keys a tile: 512.
- O rescaled only when a maximum has grown by more than 2^8: 500. All 4 warps must meet to decide it.
- tl.range(..., warp_specialize=True), with a warp that only loads: 604 with 128 keys a tile. But Triton 3.6 takes only
  a loop without others beside it, and with 64 keys a tile the results were NaN: left out.
"""

import math

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from flash_attention import arguments
from flash_attention.tiles import for_descriptor, limit

HEAD_DIMS = range(8, 257, 8)
DTYPES = (torch.float16, torch.bfloat16)
# By head_dim, rounded up to a power of 2: (BR, BC, warps, stages), the fastest on an H100 first.
FAST = {
    64: ((64, 128, 4, 2),),
    128: ((128, 64, 4, 2), (64, 64, 4, 2)),
    256: ((128, 64, 8, 2), (64, 64, 4, 2), (64, 32, 4, 2)),
}
SMALL = ((32, 32, 4, 1),)  # for the interpreter, where large tiles waste time on rows past the end


@triton.jit
def attend(
    O, l, m, Q, k, v, batch, head, first, last, diagonal, seqlen_k, scale,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, D: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """O, l, m of the queries Q after the keys first to last - 1.

    diagonal: if CAUSAL, the last key that each query sees. MASKED: the diagonal or the end of the keys crosses these
    tiles. m counts in powers of 2.
    """
    columns = tl.arange(0, BC)
    for key_0 in range(first, last, BC):  # line 6
        K = k.load([batch, head, key_0, 0]).reshape(BC, D)  # line 7: load K_j
        S = tl.dot(Q, K.T)  # line 8, not scaled yet
        if MASKED:
            seen = (key_0 + columns < seqlen_k)[None, :]
            if CAUSAL:
                seen = seen & (key_0 + columns[None, :] <= diagonal[:, None])
            S = tl.where(seen, S, float("-inf"))

        m_new = tl.maximum(m, tl.max(S, 1) * scale)  # line 9
        base = tl.where(m_new == float("-inf"), 0.0, m_new)  # no key is seen yet: 2^(-inf - 0) is 0, not NaN
        P = tl.exp2(S * scale - base[:, None])  # scaled here, where one instruction multiplies and subtracts
        rescale = tl.exp2(m - base)
        l = l * rescale + tl.sum(P, 1)
        V = v.load([batch, head, key_0, 0]).reshape(BC, D)  # line 7: load V_j
        O = tl.dot(P.to(V.dtype), V, O * rescale[:, None])  # line 10
        m = m_new
    return O, l, m


@triton.jit
def flash_v2_kernel(
    q, k, v, o, lse, scale, heads, group, seqlen_q, seqlen_k,
    CAUSAL: tl.constexpr, D: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """q, k, v, o: descriptors of tiles (1, 1, BR or BC, D); lse (B, H, Sq), a pointer. scale: above 0, with the factor
    log2(e) in it. D: head_dim, rounded up to a power of 2.
    """
    tiles = tl.cdiv(seqlen_q, BR)
    tile = tiles - 1 - tl.program_id(0) % tiles  # line 3; causal: the longest rows begin first
    batch_head = tl.program_id(0) // tiles
    batch, head = batch_head // heads, batch_head % heads
    queries = tile * BR + tl.arange(0, BR)

    Q = q.load([batch, head, tile * BR, 0]).reshape(BR, D)  # line 4: load Q_i
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
        O, l, m, Q, k, v, batch, head // group, 0, whole, diagonal, seqlen_k, scale,
        MASKED=False, CAUSAL=CAUSAL, D=D, BC=BC,
    )  # fmt: skip
    O, l, m = attend(
        O, l, m, Q, k, v, batch, head // group, whole, end, diagonal, seqlen_k, scale,
        MASKED=True, CAUSAL=CAUSAL, D=D, BC=BC,
    )  # fmt: skip

    O = O / tl.where(l == 0.0, 1.0, l)[:, None]  # line 12: the one division
    o.store([batch, head, tile * BR, 0], O.to(o.dtype).reshape(1, 1, BR, D))  # line 14; not past the end
    rows = batch_head.to(tl.int64) * seqlen_q + queries
    log_2 = 0.6931471805599453
    tl.store(lse + rows, (m + tl.log2(l)) * log_2, mask=queries < seqlen_q)  # lines 13 and 15


def configuration(D: int, device: torch.device) -> dict[str, int]:
    """Tile sizes, warps and stages of the pipeline: the first that the device has the shared memory for."""
    tried = SMALL if triton.knobs.runtime.interpret else FAST[max(D, 64)]
    BR, BC, num_warps, num_stages = next(
        (BR, BC, num_warps, num_stages)
        for BR, BC, num_warps, num_stages in tried
        if 2 * D * (BR + 2 * num_stages * BC) + 1024 <= limit(device)
    )
    return {"BR": BR, "BC": BC, "num_warps": num_warps, "num_stages": num_stages}


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool = False, scale: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(Q Kᵀ · scale) V and its log-sum-exp.

    q: (B, H, Sq, D), k, v: (B, Hkv, Sk, D), float16 or bfloat16, D a multiple of 8 up to 256; strides may be any (a
    copy is made where rows aren't contiguous or don't start at a multiple of 16 bytes). Returns o, as q, and
    lse (B, H, Sq), float32. Raises ValueError for what doesn't fit together. NaN and inf in v may reach a query that
    doesn't see their key, if the diagonal crosses their tile: its product counts 0 * NaN.
    """
    sizes, scale = arguments.check(q, k, v, scale, head_dims=HEAD_DIMS, dtypes=DTYPES)
    dtype = q.dtype
    if triton.knobs.runtime.interpret and dtype == torch.bfloat16:  # which the interpreter can't multiply
        q, k, v = q.float(), k.float(), v.float()
    if scale <= 0:  # the kernel takes the largest score before it scales, so its scale must be above 0
        q, scale = -q, max(-scale, 1e-30)
    o = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    if sizes.seqlen_k == 0:  # of nothing there is no descriptor
        return o.to(dtype).zero_(), lse.fill_(-math.inf)
    if lse.numel() > 0:
        D = max(16, triton.next_power_of_2(sizes.head_dim))
        chosen = configuration(D, q.device)
        tensors = ((q, chosen["BR"]), (k, chosen["BC"]), (v, chosen["BC"]), (o, chosen["BR"]))
        programs = triton.cdiv(sizes.seqlen_q, chosen["BR"]) * sizes.batch * sizes.heads
        flash_v2_kernel[(programs,)](
            *(TensorDescriptor.from_tensor(for_descriptor(x), [1, 1, rows, D]) for x, rows in tensors),
            lse, scale * math.log2(math.e), sizes.heads, sizes.heads // sizes.heads_kv,
            sizes.seqlen_q, sizes.seqlen_k, CAUSAL=causal, D=D, **chosen,
        )  # fmt: skip
    return o.to(dtype), lse
