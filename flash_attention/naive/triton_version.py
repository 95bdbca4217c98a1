"""Naive attention in Triton: two matrix products around an online softmax, with S and P in memory between them."""

import torch
import triton
import triton.language as tl

from flash_attention import arguments
from flash_attention.softmax.triton_version import finite

ROWS, COLUMNS = 64, 64  # of a program's tile of the product
DEPTH = 32  # how much of the sum it takes at a time
SOFTMAX = {"ROWS": 16, "COLUMNS": 128}  # of a tile of S
GRID = 65_535  # programs along the second and third direction


@triton.jit
def tile(x, row, column, rows, columns):
    """A tile of a matrix (rows, columns) in float32, for vectors of row and column numbers; zeros outside."""
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    pointers = x + row[:, None].to(tl.int64) * columns + column[None, :]
    # In 16 bits the interpreter's dot goes wrong.
    return tl.load(pointers, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def scores_kernel(
    q, k, s, seqlen_q, seqlen_k, head_dim, group, scale,
    CAUSAL: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """s = q kᵀ * scale, -inf where masked. q: (H, seqlen_q, head_dim), k: (H / group, seqlen_k, head_dim) pointers.

    Grid (tiles of queries, tiles of keys, H).
    """
    head = tl.program_id(2).to(tl.int64)
    q += head * seqlen_q * head_dim
    k += head // group * seqlen_k * head_dim
    s += head * seqlen_q * seqlen_k
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    j = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, head_dim, DEPTH):
        d = start + tl.arange(0, DEPTH)
        queries = tile(q, i, d, seqlen_q, head_dim)
        keys = tile(k, j, d, seqlen_k, head_dim)
        total += tl.dot(queries, tl.trans(keys), input_precision="ieee")
    total *= scale
    if CAUSAL:
        total = tl.where(j[None, :] <= i[:, None] + seqlen_k - seqlen_q, total, -float("inf"))
    inside = (i[:, None] < seqlen_q) & (j[None, :] < seqlen_k)
    tl.store(s + i[:, None].to(tl.int64) * seqlen_k + j[None, :], total, mask=inside)


@triton.jit
def softmax_kernel(s, p, lse, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """p = softmax of each row of s, lse = its log-sum-exp; s, p: pointers to (rows, columns), lse: to (rows,).

    Lesson 7's online softmax, for ROWS rows at a time.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    m = tl.full((ROWS,), -float("inf"), tl.float32)
    l = tl.zeros((ROWS,), tl.float32)
    for start in range(0, columns, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        place = row[:, None] * columns + column[None, :]
        inside = (row[:, None] < rows) & (column[None, :] < columns)
        values = tl.load(s + place, mask=inside, other=-float("inf"))
        m_new = tl.maximum(m, tl.max(values, axis=1))
        l = l * tl.exp(m - finite(m_new)) + tl.sum(tl.exp(values - finite(m_new)[:, None]), axis=1)
        m = m_new
    divisor = tl.where(l == 0.0, 1.0, l)  # 0 where no key is seen: 0 / 1 is 0, and -inf + log(1) is -inf
    for start in range(0, columns, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        place = row[:, None] * columns + column[None, :]
        inside = (row[:, None] < rows) & (column[None, :] < columns)
        values = tl.load(s + place, mask=inside, other=-float("inf"))
        tl.store(p + place, tl.exp(values - finite(m)[:, None]) / divisor[:, None], mask=inside)
    tl.store(lse + row, m + tl.log(divisor), mask=row < rows)


@triton.jit
def product(p, v, seen):
    """p v over the keys that are seen: blocks (queries, keys), (keys, D) and (queries, keys). p is 0 elsewhere.

    0 * NaN and 0 * inf are NaN. So what isn't finite in v is left out of the product, and added for those who see it.
    """
    high, low = (v != v) | (v == float("inf")), (v != v) | (v == -float("inf"))
    total = tl.dot(p.to(v.dtype), tl.where(high | low, 0.0, v), input_precision="ieee")
    if tl.max((high | low).to(tl.int32)) > 0:
        highs = tl.dot(seen.to(v.dtype), high.to(v.dtype), input_precision="ieee")  # how many the query sees
        lows = tl.dot(seen.to(v.dtype), low.to(v.dtype), input_precision="ieee")
        total += tl.where(highs > 0, float("inf"), 0.0) - tl.where(lows > 0, float("inf"), 0.0)
    return total


@triton.jit
def weighted_sum_kernel(
    p, v, o, seqlen_q, seqlen_k, head_dim, group,
    CAUSAL: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """o = p v. p: (H, seqlen_q, seqlen_k), v: (H / group, seqlen_k, head_dim), o: (H, seqlen_q, head_dim) pointers.

    Grid (tiles of queries, tiles of columns of v, H).
    """
    head = tl.program_id(2).to(tl.int64)
    p += head * seqlen_q * seqlen_k
    v += head // group * seqlen_k * head_dim
    o += head * seqlen_q * head_dim
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    d = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, seqlen_k, DEPTH):
        j = start + tl.arange(0, DEPTH)
        weights = tile(p, i, j, seqlen_q, seqlen_k)
        values = tile(v, j, d, seqlen_k, head_dim)
        if CAUSAL:
            total += product(weights, values, j[None, :] <= i[:, None] + seqlen_k - seqlen_q)
        else:
            total += tl.dot(weights, values, input_precision="ieee")
    inside = (i[:, None] < seqlen_q) & (d[None, :] < head_dim)
    tl.store(o + i[:, None].to(tl.int64) * head_dim + d[None, :], total, mask=inside)


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool = False, scale: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(Q Kᵀ · scale) V and its log-sum-exp, in three kernels.

    q: (B, H, Sq, D), k, v: (B, Hkv, Sk, D), float32, float16 or bfloat16; those that aren't contiguous are copied.
    Returns o, as q, and lse (B, H, Sq), float32. S and P take 8 * B * H * Sq * Sk bytes.
    Raises ValueError for what doesn't fit together or is too large for a grid.
    """
    sizes, scale = arguments.check(q, k, v, scale)
    heads, rows = sizes.batch * sizes.heads, sizes.seqlen_q
    if heads > GRID or triton.cdiv(sizes.seqlen_k, COLUMNS) > GRID:
        raise ValueError(
            f"q has shape {tuple(q.shape)} and k {tuple(k.shape)}; "
            f"batch * heads may be {GRID:,} and seqlen_k {GRID * COLUMNS:,} at most"
        )
    q, k, v = (x.contiguous() for x in (q, k, v))
    s = torch.empty(heads * rows, sizes.seqlen_k, dtype=torch.float32, device=q.device)
    p = torch.empty_like(s)
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    o = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    lengths = (rows, sizes.seqlen_k, sizes.head_dim, sizes.heads // max(sizes.heads_kv, 1))
    tiles = {"ROWS": ROWS, "COLUMNS": COLUMNS, "DEPTH": DEPTH}
    if s.numel() > 0:
        grid = (triton.cdiv(rows, ROWS), triton.cdiv(sizes.seqlen_k, COLUMNS), heads)
        scores_kernel[grid](q, k, s, *lengths, scale, CAUSAL=causal, **tiles)
    if o.numel() > 0:
        softmax_kernel[(triton.cdiv(heads * rows, SOFTMAX["ROWS"]),)](
            s, p, lse, heads * rows, sizes.seqlen_k, **SOFTMAX
        )
        grid = (triton.cdiv(rows, ROWS), triton.cdiv(sizes.head_dim, COLUMNS), heads)
        weighted_sum_kernel[grid](p, v, o, *lengths, CAUSAL=causal, **tiles)
    return o, lse
