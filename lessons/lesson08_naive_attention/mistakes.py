"""The mistakes that lesson 8's checker can name: those of all attention lessons that untiled attention can make."""

from typing import Any

import numpy as np

from lessons.attention_mistakes import mistakes, tiled
from workbench.check.lesson import Mistake

SCORES = "the notebook, section 2: Three kernels"
MASK = "the notebook, section 3: Masks and shared heads"
TILE = 32  # of the CUDA kernels


def dimensions_left_out(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Only whole tiles of head_dim count in the scores."""
    whole = q.shape[3] // TILE * TILE
    options["scale"] = q.shape[3] ** -0.5 if options.get("scale") is None else options["scale"]
    o, lse = tiled(np.where(np.arange(q.shape[3]) < whole, q, 0), k, v, **options)
    return o, lse


MISTAKES = (
    *mistakes(
        {
            "no maximum subtracted": SCORES,
            "maximum started at 0": SCORES,
            "scale missing": SCORES,
            "scale applied twice": SCORES,
            "scale by seqlen": SCORES,
            "scale argument ignored": SCORES,
            "wrong exponent base": SCORES,
            "not normalised": SCORES,
            "last ragged tile dropped": SCORES,
            "last queries not written": SCORES,
            "LSE without the maximum": SCORES,
            "LSE in base 2": SCORES,
            "causal mask ignored": MASK,
            "causal off by one": MASK,
            "causal mask top-left": MASK,
            "fully masked row is NaN": MASK,
            "hidden scores not -inf": MASK,
            "wrong K/V head": MASK,
            "strides ignored": MASK,
        },
        blocks=((TILE, TILE),),
        slips={
            "no maximum subtracted": (("numpy_version.py", "np.exp(s - m)", "np.exp(s)"),),
            "scale missing": (
                ("scores.cu", "sum * scale", "sum"),
                ("numpy_version.py", " * q.dtype.type(scale)", ""),
            ),
            "scale applied twice": (("scores.cu", "sum * scale", "sum * scale * scale"),),
            "last ragged tile dropped": (
                ("weighted_sum.cu", "j < seqlen_k; j += TILE", "j + TILE <= seqlen_k; j += TILE"),
            ),
            "hidden scores not -inf": (
                ("scores.cu", "sum * scale : -INFINITY", "sum * scale : -1e9f"),
                ("numpy_version.py", "s, -np.inf)", "s, -1e9)"),
            ),
            "causal mask ignored": (("scores.cu", "!causal || j <= i + seqlen_k - seqlen_q", "true"),),
            "causal off by one": (
                ("scores.cu", "j <= i + seqlen_k", "j < i + seqlen_k"),
                ("numpy_version.py", "j <= i + seqlen_k", "j < i + seqlen_k"),
            ),
            "causal mask top-left": (
                ("scores.cu", "j <= i + seqlen_k - seqlen_q", "j <= i"),
                ("numpy_version.py", "j <= i + seqlen_k - seqlen_q", "j <= i"),
            ),
            "wrong K/V head": (
                ("numpy_version.py", "// max(heads // max(heads_kv, 1), 1)", "% max(heads_kv, 1)"),
            ),
            "LSE without the maximum": (("numpy_version.py", "m + np.log(l)", "np.log(l)"),),
            "LSE in base 2": (
                ("numpy_version.py", "m + np.log(l)", "(m + np.log(l)) / np.log(2)"),
                ("numpy_version.py", "m + np.log(l)", "m + np.log2(l)"),
            ),
            "not normalised": (("numpy_version.py", "np.where(l == 0, 0, p / l)", "p"),),
            "fully masked row is NaN": (("numpy_version.py", "np.where(l == 0, 0, p / l)", "p / l"),),
        },
    ),
    Mistake(
        "last dimensions left out",
        "Dimensions after the last whole tile count in no score: head_dim needn't be a multiple of TILE.",
        SCORES,
        dimensions_left_out,
        slips=(("scores.cu", "d - x < head_dim; d += TILE", "d - x + TILE <= head_dim; d += TILE"),),
    ),
)
