"""FlashAttention-2 in Gluon, the layer under Triton: who copies, who multiplies and who waits for what is in the code.

New since triton_version.py, which leaves all of that to the compiler (lines are of the same algorithm):

- One warp only loads. The Tensor Memory Accelerator (TMA) brings it a tile with one instruction, with zeros where the
  tile leaves the array. K and V lie in rings of STAGES tiles. Barriers in shared memory (mbarrier) tell when a tile has
  come and when its readers are done. PTX ISA, cp.async.bulk.tensor and mbarrier.
- Two consumers of four warps have 64 queries each. Nothing keeps them in step: one's exponentials run beside the
  other's products.
- Products (wgmma) run on their own until they are waited for. S of one tile and O of the tile before start together,
  and the softmax of S runs beside O's product, as in FlashAttention-3: arXiv 2407.08608, algorithm 2.
- Without a mask, a multiprocessor keeps its program until everything is done: the loader brings the next tile of
  queries while the consumers still finish the last. With one, programs are of unequal length, and the GPU deals them.

Predicted: the tensor cores of an H100 have 2,048 cycles of work for a tile of 128 queries and 128 keys at head_dim 128,
the units for exponentials 1,024. Beside each other instead of in turn: at most 1.5 times as fast.

Measured on an H100 (bfloat16, 16k queries in all, heads * head_dim = 2048, lengths 512 to 16k, causal and not;
geometric means of the time of PyTorch's FlashAttention-2 over ours): 1.71 at head_dim 128, 1.34 at 64. At 128, full,
8k keys: 662 to 681 TFLOP/s in three runs, cuDNN 682 to 686, triton_version.py some 450: nearly all of the 1.5. Short
causal sequences are the weakest (0.73 of cuDNN at 512 keys, head_dim 128): a program's start and end overlap with
nothing.

Tried, in other runs, at 128, full, 8k keys: both consumers as one group of eight warps, in step: 487 TFLOP/s. 64 keys a
tile: 544. At 512 keys, a program for each tile: 402, and 457 where a multiprocessor keeps its program.
"""

import math

import torch
import triton
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

from flash_attention import arguments
from flash_attention.tiles import for_descriptor

HEAD_DIMS = range(8, 129, 8)  # the TMA moves multiples of 16 bytes
DTYPES = (torch.float16, torch.bfloat16)
BR, BC = 64, 128  # queries of a consumer, keys of a tile
STAGES = {64: 3, 128: 2}  # by D
REGISTERS = 240  # of a consumer's thread; the loader needs few


@gluon.jit
def wait_full(full, n):
    """Wait until the n-th tile of a ring has come."""
    mbarrier.wait(full.index(n % full.shape[0]), n // full.shape[0] & 1)


@gluon.jit
def give_back(empty, n):
    """This consumer has read the n-th tile of a ring."""
    mbarrier.arrive(empty.index(n % empty.shape[0]), count=1)


@gluon.jit
def fetch(array, batch, head, row, ring, full, empty, n):
    """Have the TMA bring a tile as the n-th of a ring, once the one that lay there has been read."""
    slot = n % full.shape[0]
    mbarrier.wait(empty.index(slot), n // full.shape[0] & 1 ^ 1)
    mbarrier.expect(full.index(slot), array.block_type.nbytes)
    tma.async_copy_global_to_shared(array, [batch, head, row, 0], full.index(slot), ring.index(slot))


@gluon.jit
def turns(sizes):
    """How many tiles of queries this program computes."""
    return gl.cdiv(sizes[0] - gl.program_id(0), gl.num_programs(0))


@gluon.jit
def tile_of_queries(turn, sizes, ROWS: gl.constexpr, BC: gl.constexpr, CAUSAL: gl.constexpr):
    """Batch, head, first query, number of tiles of keys, and how many of those need no mask.

    A head's last tile comes first: if CAUSAL, it is the longest.
    """
    _, heads, _, seqlen_q, seqlen_k = sizes
    tiles = gl.cdiv(seqlen_q, ROWS)
    item = turn * gl.num_programs(0) + gl.program_id(0)
    batch_head, tile = item // tiles, tiles - 1 - item % tiles
    whole, end = seqlen_k, seqlen_k
    if CAUSAL:
        diagonal = tile * ROWS + seqlen_k - seqlen_q  # the last key that the first query sees
        whole = gl.minimum(gl.maximum(diagonal + 1, 0), seqlen_k)
        end = gl.minimum(gl.maximum(diagonal + ROWS, 1), seqlen_k)
    return batch_head // heads, batch_head % heads, tile * ROWS, gl.cdiv(end, BC), whole // BC


@gluon.jit
def load(arrays, tiles, barriers, sizes, CAUSAL: gl.constexpr):
    """What the loading warp does: Q of each tile of queries, then K_j and V_j, from the last keys to the first."""
    q, k, v, _ = arrays
    Q, K, V, _ = tiles
    q_full, q_empty, k_full, k_empty, v_full, v_empty = barriers
    BR: gl.constexpr = Q.shape[1]
    BC: gl.constexpr = K.shape[1]
    n = 0  # tiles of K so far, and of V
    for turn in range(turns(sizes)):
        batch, head, query_0, end, _whole = tile_of_queries(turn, sizes, 2 * BR, BC, CAUSAL)
        for consumer in gl.static_range(2):
            query = query_0 + consumer * BR
            fetch(q, batch, head, query, Q, q_full, q_empty, 2 * turn + consumer)  # line 4: load Q_i
        for j in range(end - 1, -1, -1):  # line 6
            fetch(k, batch, head // sizes[2], j * BC, K, k_full, k_empty, n)  # line 7: load K_j, V_j
            fetch(v, batch, head // sizes[2], j * BC, V, v_full, v_empty, n)
            n += 1


@gluon.jit
def start_scores(Q, K, n):
    """Start S = Q K_j^T, where K_j is the n-th tile of its ring."""
    BR: gl.constexpr = Q.shape[0]
    BC: gl.constexpr = K.shape[1]
    layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [gl.num_warps(), 1], [16, BC, 16])
    S = gl.zeros([BR, BC], gl.float32, layout)
    return warpgroup_mma(Q, K.index(n % K.shape[0]).permute((1, 0)), S, use_acc=False, is_async=True)


@gluon.jit
def softmax(S, l, m, key_0, last, scale, MASKED: gl.constexpr):
    """P of a tile of scores, what O is to be multiplied by, and the new l and m, which counts in powers of 2.

    last: the last key that each query sees. MASKED: it may lie in this tile, or before.
    """
    if MASKED:
        keys = key_0 + gl.arange(0, S.shape[1], gl.SliceLayout(0, S.type.layout))
        S = gl.where(keys[None, :] <= last[:, None], S, float("-inf"))
    m_new = gl.maximum(m, gl.max(S, 1) * scale)  # line 9
    P = gl.exp2(S * scale - m_new[:, None])
    rescale = gl.exp2(m - m_new)
    return P, rescale, l * rescale + gl.sum(P, 1), m_new


@gluon.jit
def attend(O, l, m, P, n, Q, K, V, barriers, first, end, last, scale, MASKED: gl.constexpr):
    """O, l, m, P and n after the tiles of keys first, first - 1, ... end. O lacks the product of this last P and V."""
    _, _, k_full, k_empty, v_full, v_empty = barriers
    for j in range(first, end - 1, -1):
        wait_full(k_full, n)
        S = start_scores(Q, K, n)  # line 8
        O = warpgroup_mma(P, V.index((n - 1) % V.shape[0]), O, is_async=True)  # line 10, of the tile before
        S = warpgroup_mma_wait(1, [S])  # until only one product runs: O's
        give_back(k_empty, n)
        P32, rescale, l, m = softmax(S, l, m, j * K.shape[1], last, scale, MASKED)
        P = gl.convert_layout(P32.to(V.dtype), P.type.layout)
        # Here, though V is needed later: the assembler would pull the wait for O before the softmax, but not over this.
        wait_full(v_full, n)
        O, P = warpgroup_mma_wait(0, [O, P])
        give_back(v_empty, n - 1)
        O = O * gl.convert_layout(rescale, gl.SliceLayout(1, O.type.layout))[:, None]
        n += 1
    return O, l, m, P, n


@gluon.jit
def consume(arrays, tiles, barriers, sizes, lse, scale, consumer: gl.constexpr, CAUSAL: gl.constexpr):
    """What four warps do: O and lse of BR queries of each tile."""
    Q, K, V, out = tiles
    q_full, q_empty, k_full, k_empty, v_full, v_empty = barriers
    _, heads, _, seqlen_q, seqlen_k = sizes
    BR: gl.constexpr = Q.shape[1]
    D: gl.constexpr = Q.shape[2]
    BC: gl.constexpr = K.shape[1]
    o_layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [gl.num_warps(), 1], [16, D, 16])
    p_layout: gl.constexpr = gl.DotOperandLayout(0, o_layout, 2)  # S lies in the registers where P is wanted
    Q = Q.index(consumer)
    n = 0
    for turn in range(turns(sizes)):  # line 3
        batch, head, query_0, end, whole = tile_of_queries(turn, sizes, 2 * BR, BC, CAUSAL)
        query_0 += consumer * BR
        wait_full(q_full, 2 * turn + consumer)
        wait_full(k_full, n)
        S = warpgroup_mma_wait(0, [start_scores(Q, K, n)])
        give_back(k_empty, n)
        rows: gl.constexpr = gl.SliceLayout(1, S.type.layout)
        queries = query_0 + gl.arange(0, BR, rows)
        last = gl.minimum(queries + (seqlen_k - seqlen_q if CAUSAL else seqlen_k), seqlen_k - 1)
        O = gl.zeros([BR, D], gl.float32, o_layout)  # line 5: O_i = 0, l_i = 0, m_i = the least number:
        l = gl.zeros([BR], gl.float32, rows)
        m = gl.full([BR], -3.4e38, gl.float32, rows)  # where no key is seen, -inf - -inf would be NaN
        P32, _rescale, l, m = softmax(S, l, m, (end - 1) * BC, last, scale, MASKED=True)
        P = gl.convert_layout(P32.to(V.dtype), p_layout)
        wait_full(v_full, n)
        n += 1
        whole = gl.minimum(whole, end - 1)
        if CAUSAL:
            O, l, m, P, n = attend(O, l, m, P, n, Q, K, V, barriers, end - 2, whole, last, scale, MASKED=True)
        O, l, m, P, n = attend(O, l, m, P, n, Q, K, V, barriers, whole - 1, 0, last, scale, MASKED=False)
        give_back(q_empty, 2 * turn + consumer)
        O = warpgroup_mma_wait(0, [warpgroup_mma(P, V.index((n - 1) % V.shape[0]), O, is_async=True)])
        give_back(v_empty, n - 1)

        inverse = 1.0 / gl.where(l == 0.0, 1.0, l)
        O = O * gl.convert_layout(inverse, gl.SliceLayout(1, o_layout))[:, None]  # line 12: the one division
        tma.store_wait(0)  # until the tile before has left `out`
        out.index(consumer).store(O.to(out.dtype))
        fence_async_shared()  # what threads have stored, the TMA may read
        tma.async_copy_shared_to_global(arrays[3], [batch, head, query_0, 0], out.index(consumer))  # line 14
        L = (m + gl.log2(l)) * 0.6931471805599453  # line 13: times log 2
        gl.store(lse + (batch * heads + head) * seqlen_q + queries, L, mask=queries < seqlen_q)  # line 15
    tma.store_wait(0)


@gluon.jit
def barriers_of(SLOTS: gl.constexpr, ARRIVALS: gl.constexpr):
    """A barrier for each place of a ring, that opens after so many arrivals."""
    barriers = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    for i in gl.static_range(SLOTS):
        mbarrier.init(barriers.index(i), count=ARRIVALS)
    return barriers


@gluon.jit(do_not_specialize=["items", "heads", "group", "seqlen_q", "seqlen_k"])
def flash_v2_gluon_kernel(
    q, k, v, o, lse, scale, items, heads, group, seqlen_q, seqlen_k,
    CAUSAL: gl.constexpr, D: gl.constexpr, BR: gl.constexpr, BC: gl.constexpr, STAGES: gl.constexpr,
    REGISTERS: gl.constexpr,
):  # fmt: skip
    """q, k, v, o: descriptors for the TMA; lse (B, H, Sq). scale: above 0, with the factor log2(e) in it.

    items: tiles of 2 BR queries in all heads.
    """
    swizzled: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=2)
    Q = gl.allocate_shared_memory(q.dtype, [2, BR, D], swizzled)
    K = gl.allocate_shared_memory(k.dtype, [STAGES, BC, D], swizzled)
    V = gl.allocate_shared_memory(v.dtype, [STAGES, BC, D], swizzled)
    out = gl.allocate_shared_memory(o.dtype, [2, BR, D], swizzled)
    q_full, q_empty = barriers_of(2, 1), barriers_of(2, 1)
    k_full, k_empty = barriers_of(STAGES, 1), barriers_of(STAGES, 2)  # which both consumers read
    v_full, v_empty = barriers_of(STAGES, 1), barriers_of(STAGES, 2)
    arrays = (q, k, v, o)
    tiles = (Q, K, V, out)
    barriers = (q_full, q_empty, k_full, k_empty, v_full, v_empty)
    sizes = (items, heads, group, seqlen_q, seqlen_k)
    gl.warp_specialize(
        [
            (consume, (arrays, tiles, barriers, sizes, lse, scale, 0, CAUSAL)),
            (consume, (arrays, tiles, barriers, sizes, lse, scale, 1, CAUSAL)),
            (load, (arrays, tiles, barriers, sizes, CAUSAL)),
        ],
        worker_num_warps=[4, 1],
        worker_num_regs=[REGISTERS, 24],
    )


def launch(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, o: torch.Tensor, lse: torch.Tensor,
    scale: float, causal: bool, multiprocessors: int,
) -> None:  # fmt: skip
    """Launch the kernel on so many multiprocessors."""
    (batch, heads, seqlen_q, head_dim), (heads_kv, seqlen_k) = q.shape, k.shape[1:3]
    D = 64 if head_dim <= 64 else 128
    layout = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=4)
    arrays = (
        TensorDescriptor(x, list(x.shape), list(x.stride()), [1, 1, rows, D], layout)
        for x, rows in ((q, BR), (k, BC), (v, BC), (o, BR))
    )
    items = batch * heads * triton.cdiv(seqlen_q, 2 * BR)
    flash_v2_gluon_kernel[(items if causal else min(multiprocessors, items),)](
        *arrays, lse, scale * math.log2(math.e), items, heads, heads // heads_kv, seqlen_q, seqlen_k,
        CAUSAL=causal, D=D, BR=BR, BC=BC, STAGES=STAGES[D], REGISTERS=REGISTERS, num_warps=4,
    )  # fmt: skip


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool = False, scale: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(Q Kᵀ · scale) V and its log-sum-exp, on a Hopper GPU.

    q: (B, H, Sq, D), k, v: (B, Hkv, Sk, D), float16 or bfloat16, D a multiple of 8 up to 128; strides may be any (where
    they aren't multiples of 16 bytes, a copy is made). Returns o, as q, and lse (B, H, Sq), float32. Raises ValueError
    for what doesn't fit together, and where there is no such GPU. NaN and inf in v may reach a query that doesn't see
    their key, if the diagonal crosses their tile.
    """
    sizes, scale = arguments.check(q, k, v, scale, head_dims=HEAD_DIMS, dtypes=DTYPES)
    if q.device.type != "cuda" or torch.cuda.get_device_capability(q.device) != (9, 0):
        raise ValueError(f"q is on {q.device}; it must be on a GPU of compute capability 9.0 (H100, H200)")
    if scale <= 0:  # the kernel takes the largest score before it scales, so its scale must be above 0
        q, scale = -q, max(-scale, 1e-30)
    o = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    if sizes.seqlen_k == 0:
        return o.zero_(), lse.fill_(-math.inf)
    if lse.numel() > 0:
        q, k, v = map(for_descriptor, (q, k, v))
        multiprocessors = torch.cuda.get_device_properties(q.device).multi_processor_count
        launch(q, k, v, o, lse, scale, causal, multiprocessors)
    return o, lse
