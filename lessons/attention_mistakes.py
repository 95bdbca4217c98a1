"""The mistakes that the attention lessons' checker can name, each as a flaw in one tiled attention in NumPy.

What some of them compute depends on the tile size, so they come once for each size that a submission may have.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import numpy as np

from workbench.check.lesson import Mistake

Block = tuple[int, int]  # queries, keys
BLOCKS = ((16, 16), (32, 32), (64, 64))

# name: (what is wrong, the flaws of `tiled` that it may look like, does the tile size matter?)
KNOWN: Mapping[str, tuple[str, Sequence[str], bool]] = {
    "no maximum subtracted": (
        "exp(s) overflows for large scores: subtract the row's maximum first, exp(s - m).",
        ("no maximum", "no maximum, float64", "maximum only added", "maximum only added, float64"),
        False,
    ),
    "maximum started at 0": (
        "The running maximum must start at -inf: started at 0, exp(s - m) vanishes where all scores are very negative.",
        ("maximum from 0", "maximum from 0, unguarded", "maximum from 0, float64"),
        False,
    ),
    "accumulator not rescaled": (
        "When the running maximum moves, what the accumulator holds must be multiplied by exp(m_old - m_new).",
        (
            "accumulator not rescaled",
            "accumulator not rescaled, masked row divided",
            "accumulator not rescaled, masked row subtracted",
        ),
        True,
    ),
    "sum not rescaled": (
        "When the running maximum moves, the running sum l must be multiplied by exp(m_old - m_new).",
        (
            "sum not rescaled",
            "sum not rescaled, masked row divided",
            "sum not rescaled, masked row subtracted",
        ),
        True,
    ),
    "nothing rescaled": (
        "When the running maximum moves, accumulator and sum must both be multiplied by exp(m_old - m_new).",
        (
            "nothing rescaled",
            "nothing rescaled, masked row divided",
            "nothing rescaled, masked row subtracted",
        ),
        True,
    ),
    "rescaled by the inverse factor": (
        "The sums so far are multiplied by exp(m_new - m_old); they must shrink when m grows, by exp(m_old - m_new).",
        ("inverse factor", "inverse factor, guarded", "inverse factor, guarded, float64"),
        True,
    ),
    "tile measured by its own maximum": (
        "What a tile adds counts from its own maximum: take exp(S - m_new), or multiply it by exp(m_tile - m_new).",
        ("tile's maximum", "tile's maximum in the output", "tile's maximum in the sum"),
        True,
    ),
    "scale missing": (
        "The scores are not multiplied by the scale, 1 / sqrt(head_dim) unless the caller gives one.",
        ("scale missing",),
        False,
    ),
    "scale applied twice": (
        "The scores are multiplied by the scale twice (or by 1 / head_dim).",
        ("scale twice",),
        False,
    ),
    "scale by seqlen": (
        "The scores are divided by sqrt(seqlen_k); it must be sqrt(head_dim).",
        ("scale by seqlen",),
        False,
    ),
    "scale argument ignored": (
        "The caller's scale is ignored: 1 / sqrt(head_dim) is only what None stands for.",
        ("scale ignored",),
        False,
    ),
    "wrong exponent base": (
        "The weights are powers of 2: exp(x) is exp2(x * log2(e)), and the log2(e) is missing.",
        ("base 2", "base 2, log2", "base 2, log2 back"),
        False,
    ),
    "exp in place of exp2": (
        "The scale has the factor log2(e) in it, for exp2; with exp, the factor is one too many.",
        ("exp for exp2", "exp for exp2 in P"),
        True,
    ),
    "last ragged tile dropped": (
        "Keys after the last whole tile are left out: round the number of tiles up, and mask.",
        ("ragged tile dropped", "ragged values dropped"),
        True,
    ),
    "padding keys counted": (
        "Keys past seqlen_k, which the last tile is filled up with, count in the sum: their scores must be -inf.",
        ("padding counted",),
        True,
    ),
    "last queries not written": (
        "Queries after the last whole tile get no output: round the number of tiles up, and mask.",
        ("ragged queries dropped",),
        True,
    ),
    "causal mask ignored": ("Every query sees every key, also with causal=True.", ("causal ignored",), False),
    "causal off by one": (
        "The causal mask is off by one: query i sees key j if j <= i + seqlen_k - seqlen_q, equality included.",
        ("causal strict", "causal one more"),
        False,
    ),
    "causal mask top-left": (
        "The causal mask is aligned at the first key; query i must see key j if j <= i + seqlen_k - seqlen_q.",
        ("causal top-left",),
        False,
    ),
    "diagonal tile skipped": (
        "Tiles that the diagonal crosses are skipped: only those wholly above it may be.",
        ("diagonal skipped",),
        True,
    ),
    "normalised twice": (
        "The output is divided by the sum inside the loop and again at its end.",
        ("normalised twice",),
        True,
    ),
    "not normalised": ("The output is never divided by the sum of its weights.", ("not normalised",), True),
    "wrong K/V head": (
        "Query head h must read K/V head h // (heads / heads_kv): neighbouring query heads share one.",
        ("head modulo", "head 0"),
        False,
    ),
    "LSE without the maximum": (
        "The log-sum-exp is log(l) alone: the maximum that was subtracted must be added again, m + log(l).",
        ("lse without m",),
        False,
    ),
    "LSE in base 2": (
        "The log-sum-exp counts in powers of 2 (in part, at least): multiply what comes from log2 or exp2 by ln(2).",
        ("lse base 2", "lse half base 2", "lse log2"),
        False,
    ),
    "fully masked row is NaN": (
        "A query that sees no key divides 0 by 0 (or subtracts -inf from -inf): its output must be 0.",
        ("masked row divided", "masked row subtracted", "masked weights divided"),
        False,
    ),
    "hidden scores not -inf": (
        "The mask makes hidden scores -1e9 (or so), so a query that sees no key takes the mean of all: make them -inf.",
        ("masked with -1e9",),
        False,
    ),
    "strides ignored": (
        "The memory is read as if q, k and v were contiguous; a transposed tensor's strides say otherwise.",
        ("strides ignored",),
        False,
    ),
}


def mistakes(
    read: Mapping[str, str],
    *,
    blocks: Collection[Block] = BLOCKS,
    normalised: bool = False,
    slips: Mapping[str, tuple[tuple[str, str, str], ...]] | None = None,
) -> tuple[Mistake, ...]:
    """The `KNOWN` mistakes that `read` names, for tiles of each of `blocks`.

    read: name -> where the lesson speaks of it. normalised: see `tiled`. slips: name -> the same mistake in the
    lesson's source code.
    """
    found = []
    for name, where in read.items():
        sentence, flaws, tile_matters = KNOWN[name]
        here = (slips or {}).get(name, ())
        for flaw in flaws:
            for block in blocks if tile_matters else list(blocks)[:1]:
                mutant = partial(tiled, block=block, flaw=flaw, normalised=normalised)
                found.append(Mistake(name, sentence, where, mutant, here))
                here = ()  # one proof is enough
    return tuple(found)


def tiled(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    causal: bool = False,
    scale: float | None = None,
    block: Block = (64, 64),
    flaw: str = "",
    normalised: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """(o, lse) of attention in float32, a tile of keys at a time for all queries together, with one flaw ("": none).

    A flaw that ends in ", float64" happens in float64, in which NumPy submissions compute. ", masked row divided" or
    ", masked row subtracted" at its end is a second flaw: who forgets a factor may well forget the guard, too.

    normalised: the output is kept divided by the sum so far, as FlashAttention-1 does; else divided once, at the end.
    """
    precision: type[np.floating] = np.float64 if flaw.endswith(", float64") else np.float32
    flaw = flaw.removesuffix(", float64")
    q, k, v = (np.asarray(x, dtype=precision) for x in (q, k, v))
    flaw, _, also = flaw.partition(", masked row ")
    unguarded_at = {"divided", "subtracted"} & {also, flaw.removeprefix("masked row ")}
    if flaw == "strides ignored":
        q, k, v = map(_as_it_lies, (q, k, v))
    (heads, seqlen_q, head_dim), (heads_kv, seqlen_k) = q.shape[1:], k.shape[1:3]
    (rows, columns), offset = block, seqlen_k - seqlen_q
    if scale is None or flaw == "scale ignored":
        scale = head_dim**-0.5
    scale = {
        "scale missing": 1.0,
        "scale by seqlen": max(seqlen_k, 1) ** -0.5,
        "scale twice": scale**2,
    }.get(flaw, scale)
    if flaw.startswith("exp for exp2"):
        scale *= np.log2(np.e)
    head = np.arange(heads)
    kv = {"head modulo": head % heads_kv, "head 0": 0 * head}.get(flaw, head // (heads // heads_kv))
    tiles = seqlen_k // columns if flaw == "ragged tile dropped" else -(-seqlen_k // columns)
    padding = ((0, 0), (0, 0), (0, max(tiles * columns - seqlen_k, 0)), (0, 0))
    k, v = (np.pad(x[:, kv], padding) for x in (k, v))
    exp = np.exp2 if flaw.startswith("base 2") else np.exp

    i = np.arange(seqlen_q)[:, None]
    limit = i + {"causal top-left": 0, "causal strict": offset - 1, "causal one more": offset + 1}.get(
        flaw, offset
    )
    m = np.full((*q.shape[:3], 1), 0 if flaw.startswith("maximum from 0") else -np.inf, precision)
    largest, l, o = m, np.zeros_like(m), np.zeros_like(q)
    for tile in range(tiles):
        here = slice(tile * columns, (tile + 1) * columns)
        j = np.arange(here.start, here.stop)
        seen = (j < seqlen_k) | (flaw == "padding counted")
        if causal and flaw != "causal ignored":
            seen = seen & (j <= limit)
        if causal and flaw == "diagonal skipped":
            seen = seen & (here.stop - 1 <= i // rows * rows + offset)
        s = np.where(seen, q @ k[:, :, here].swapaxes(2, 3) * precision(scale), -np.inf)
        if flaw == "masked with -1e9":
            s = np.where(~seen & (j < seqlen_k), -1e9, s)
        m_new = np.maximum(m, s.max(axis=3, keepdims=True))
        if flaw in ("no maximum", "maximum only added"):
            largest = np.maximum(largest, s.max(axis=3, keepdims=True))
            m_new = np.zeros_like(m)
        subtracted = m_new if "subtracted" in unguarded_at else np.where(np.isneginf(m_new), 0, m_new)
        p, keep, add_o, add_l = exp(s - subtracted), exp(m - subtracted), 1, 1
        if flaw == "exp for exp2 in P":
            keep = np.exp2(m - subtracted)
        if flaw.startswith("inverse factor"):
            keep = exp(subtracted - (np.where(np.isneginf(m), 0, m) if flaw.endswith("guarded") else m))
        if flaw.startswith("tile's maximum"):
            m_tile = s.max(axis=3, keepdims=True)
            add = exp(subtracted - np.where(np.isneginf(m_tile), subtracted, m_tile))
            add_o, add_l = 1 if flaw.endswith("sum") else add, 1 if flaw.endswith("output") else add
        keep_o = 1 if flaw in ("accumulator not rescaled", "nothing rescaled") else keep
        keep_l = 1 if flaw in ("sum not rescaled", "nothing rescaled") else keep
        l_new = keep_l * l + add_l * p.sum(axis=3, keepdims=True)
        o = o * keep_o * (l if normalised and flaw != "normalised twice" else 1)
        if flaw != "ragged values dropped" or here.stop <= seqlen_k:
            o = o + add_o * (p @ v[:, :, here])
        if (normalised and flaw != "not normalised") or flaw == "normalised twice":
            o = _divided(o, l_new)
        m, l = m_new, l_new

    unguarded = bool(unguarded_at) or flaw == "maximum from 0, unguarded"
    unguarded |= flaw == "masked weights divided" and seqlen_k > 0  # weights, not sums of them, are divided
    if normalised:  # the division is inside the loop
        o = np.where((l == 0) & (unguarded and tiles > 0), np.nan, o)
    elif flaw != "not normalised":
        o = o / l if unguarded else _divided(o, l)
    if flaw == "ragged values dropped" and seqlen_k < columns:
        o = np.zeros_like(o)
    if flaw == "ragged queries dropped":
        o[:, :, seqlen_q // rows * rows :] = np.nan
    natural = m + np.log(l)
    lse = {
        "lse without m": np.log(l),
        "maximum only added": largest + np.log(l),
        "lse base 2": natural / np.log(2),
        "lse half base 2": m / np.log(2) + np.log(l),
        "lse log2": m + np.log2(l),
        "exp for exp2": (m + np.log2(l)) * np.log(2),
        "exp for exp2 in P": (m + np.log2(l)) * np.log(2),
        "base 2, log2": m + np.log2(l),
        "base 2, log2 back": (m + np.log2(l)) * np.log(2),
    }.get(flaw, natural)
    if flaw == "ragged queries dropped":
        lse[:, :, seqlen_q // rows * rows :] = np.nan
    return o, lse[..., 0]


def _divided(o: np.ndarray, l: np.ndarray) -> np.ndarray:
    return np.where(l == 0, 0, o / np.where(l == 0, 1, l))


def _as_it_lies(x: np.ndarray) -> np.ndarray:
    """The elements in the order of the memory, in x's shape."""
    order = np.argsort([-stride for stride in x.strides], kind="stable")
    return x.transpose(order).reshape(x.shape)
