"""The shapes that are compared, the presets that name them, and what a shape costs at least."""

import difflib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
SHORT_NAMES = {"fp32": "float32", "fp16": "float16", "half": "float16", "bf16": "bfloat16"}
LARGEST = 2**31 - 1  # elements of a tensor that a kernel's int can count
TOKENS, WIDTH = 16 * 1024, 2048  # of the FlashAttention-2 paper's figures: batch * seqlen, heads * head_dim


class BadShape(ValueError):
    """What is impossible about a shape, in a sentence."""


@dataclass(frozen=True)
class Shape:
    """One call: q is (batch, nheads, seqlen, headdim), k and v (batch, nheads_kv, seqlen, headdim)."""

    batch: int
    seqlen: int
    nheads: int
    nheads_kv: int
    headdim: int
    dtype: str
    causal: bool = False
    backward: bool = False

    @property
    def name(self) -> str:
        heads = f"{self.nheads}/{self.nheads_kv}" if self.nheads_kv != self.nheads else f"{self.nheads}"
        words = (
            f"batch {self.batch}, seqlen {self.seqlen:,}, heads {heads}, headdim {self.headdim}, {self.dtype}"
        )
        return words + ", causal" * self.causal + ", forward and backward" * self.backward

    @property
    def operations(self) -> int:
        """Floating-point operations: 4 D for each query and key that it sees; 2.5 times as many more backward."""
        pairs = self.seqlen * (self.seqlen + 1) // 2 if self.causal else self.seqlen**2
        forward = 4 * self.batch * self.nheads * self.headdim * pairs
        return forward * 7 // 2 if self.backward else forward

    @property
    def traffic(self) -> int:
        """Bytes that must move: q, k, v read and o, lse written; backward these and dO read, dQ, dK and dV written."""
        rows = self.batch * self.seqlen
        query = rows * self.nheads * self.headdim * BYTES[self.dtype]
        key = rows * self.nheads_kv * self.headdim * BYTES[self.dtype]
        lse = 4 * rows * self.nheads
        forward = 2 * query + 2 * key + lse
        return forward + (forward + 2 * query + 2 * key if self.backward else 0)

    def small(self) -> "Shape":
        """What is left of it where CUDA runs in the PTX machine: one batch, few heads, a short sequence."""
        group = self.nheads // self.nheads_kv
        heads = (min(group, 4), 1) if group > 1 else (min(self.nheads, 2),) * 2
        return replace(
            self, batch=1, seqlen=min(self.seqlen, SMALL), nheads=heads[0], nheads_kv=heads[1], backward=False
        )


SMALL = 100  # ragged for every tile size
Grid = Mapping[str, Sequence[Any]]

# None: what makes batch * seqlen = TOKENS and nheads * headdim = WIDTH; for nheads_kv: as many as nheads.
USUAL: Grid = {
    "batch": (4,),
    "seqlen": (512, 2048, 8192),
    "nheads": (16,),
    "nheads_kv": (None,),
    "headdim": (64,),
    "dtype": ("float16",),
    "causal": (False,),
}
PRESETS: dict[str, Grid] = {
    "gpt2": {"batch": (8,), "seqlen": (1024,), "nheads": (12,), "headdim": (64,), "causal": (True,)},
    "gpt3": {"batch": (2,), "seqlen": (2048,), "nheads": (96,), "headdim": (128,), "causal": (True,)},
    "bert-base": {"batch": (32,), "seqlen": (512,), "nheads": (12,), "headdim": (64,)},
    "bert-large": {"batch": (32,), "seqlen": (512,), "nheads": (16,), "headdim": (64,)},
    "llama3-8b": {
        "batch": (1,),
        "seqlen": (2048, 8192),
        "nheads": (32,),
        "nheads_kv": (8,),
        "headdim": (128,),
        "dtype": ("bfloat16",),
        "causal": (True,),
    },
    "short": {"batch": (16,), "seqlen": (64, 128, 256, 512), "nheads": (16,), "headdim": (64,)},
    "long": {
        "batch": (1,),
        "seqlen": (16384, 32768, 65536),
        "nheads": (16,),
        "headdim": (128,),
        "causal": (True,),
    },
    "paper": {
        "batch": (None,),
        "seqlen": (512, 1024, 2048, 4096, 8192, 16384),
        "nheads": (None,),
        "headdim": (64, 128),
        "dtype": ("bfloat16",),
        "causal": (False, True),
    },
}


def grid(preset: str, given: Grid, *, backward: bool = False) -> list[Shape]:
    """The shapes of a preset ("": the usual ones), with what is `given` in place of the preset's; short ones first.

    Raises BadShape.
    """
    if preset and preset not in PRESETS:
        raise BadShape(f"There is no preset {preset!r}; {nearest(preset, PRESETS)}.")
    wanted = {**USUAL, **PRESETS.get(preset, {}), **given}
    shapes = []
    for seqlen, headdim, causal, dtype, batch, heads, heads_kv in itertools.product(
        *(wanted[axis] for axis in ("seqlen", "headdim", "causal", "dtype", "batch", "nheads", "nheads_kv"))
    ):
        batch = batch or max(1, TOKENS // seqlen)
        heads = heads or max(1, WIDTH // headdim)
        shapes.append(
            possible(Shape(batch, seqlen, heads, heads_kv or heads, headdim, dtype, causal, backward))
        )
    return sorted(dict.fromkeys(shapes), key=lambda shape: (shape.headdim, shape.causal, shape.seqlen))


def possible(shape: Shape) -> Shape:
    """The shape itself. Raises BadShape if there can't be such tensors."""
    if shape.nheads % shape.nheads_kv:
        raise BadShape(
            f"--nheads-kv is {shape.nheads_kv} and --nheads is {shape.nheads}; "
            "the heads of k and v must divide those of q."
        )
    elements = shape.batch * shape.seqlen * shape.nheads * shape.headdim
    if elements > LARGEST:
        raise BadShape(
            f"q would have {elements:,} elements ({shape.name}); at most {LARGEST:,} are possible."
        )
    return shape


def dtype_named(text: str) -> str:
    """ "bf16" -> "bfloat16". Raises BadShape."""
    name = SHORT_NAMES.get(text, text)
    if name not in BYTES:
        raise BadShape(f"--dtype is {text!r}; it may be {', '.join(BYTES)}.")
    return name


def nearest(asked: str, names: Sequence[str] | Mapping[str, Any]) -> str:
    """ "the nearest that exist are ...", or, if nothing is near, all of them."""
    near = difflib.get_close_matches(asked, names, n=3, cutoff=0.5)
    if not near:
        return f"those that exist are {', '.join(names)}"
    return f"the nearest is {near[0]}" if len(near) == 1 else f"the nearest are {', '.join(near)}"
